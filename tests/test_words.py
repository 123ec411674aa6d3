"""The nearest right word to a wrong one."""

from __future__ import annotations

import pytest

from pyrunc.linux import caps
from pyrunc.oci.process import POLICIES
from pyrunc.plan import mountopts
from pyrunc.words import nearest, slips, suggestion

OPTIONS = [word for table in mountopts.TABLES for word in table]


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("nosiud", OPTIONS, "nosuid"),
        ("NOSUID", OPTIONS, "nosuid"),
        ("rbnd", OPTIONS, "rbind"),
        ("rprivat", OPTIONS, "rprivate"),
        ("zzz", OPTIONS, ""),
        ("", OPTIONS, ""),
        ("CAP_NET_BIND", caps.NUMBER, "CAP_NET_BIND_SERVICE"),
        ("cap_sysadmin", caps.NUMBER, "CAP_SYS_ADMIN"),
        ("SCHED_FIF0", POLICIES, "SCHED_FIFO"),
        ("netwrok", ["network", "mount", "pid"], "network"),
        ("x" * 1000, OPTIONS, ""),
    ],
)
def test_nearest(word, known, near):
    assert nearest(word, known) == near


@pytest.mark.parametrize(
    ("word", "other", "count"),
    [("a", "a", 0), ("ab", "ba", 1), ("abc", "abd", 1), ("abc", "ab", 1), ("", "ab", 2), ("abcd", "badc", 2)],
)
def test_slips(word, other, count):
    assert slips(word, other) == slips(other, word) == count


def test_every_word_is_the_nearest_to_itself():
    assert [nearest(word, OPTIONS) for word in OPTIONS] == OPTIONS


def test_a_suggestion():
    assert suggestion("nosiud", OPTIONS, "remove it") == "did you mean nosuid?"
    assert suggestion("zzz", OPTIONS, "remove it") == "remove it"
