"""Signals by name and number."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cli import signals
from pyrunc.errors import UsageError


@pytest.mark.parametrize("name", [name for name in vars(signal) if name.startswith("SIG") and "_" not in name])
def test_every_name_that_python_knows(name: str):
    expected = getattr(signal, name)
    for text in (name, name[3:], name.lower(), name[3:].lower(), str(int(expected))):
        assert signals.number(text) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("64", 64), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmin+30", 64), ("RTMAX", 64), ("RTMAX-1", 63), ("RTMAX-30", 34)],
)
def test_numbers_and_real_time_signals(text: str, number: int):
    assert signals.number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "65", "-1", "+9", "9.0", " 9", "0x9", "999999", "9" * 5000, "FLY", "SIGSIGTERM", "SIG", "SIG_DFL", "TERM+1", "RTMIN-1"]
    + ["RTMAX+1", "RTMIN+31", "RTMIN+", "RTMIN+x", "RTMIN+\N{SUPERSCRIPT TWO}", "\N{SUPERSCRIPT TWO}", "٩", "TERM\n", "+", "-"],
)
def test_what_is_no_signal(text: str):
    with pytest.raises(UsageError) as caught:
        signals.number(text)
    assert caught.value.message == f'unknown signal "{text}"'


@given(st.text(max_size=8))
def test_any_text(text: str):
    try:
        assert 0 <= signals.number(text) <= 64
    except UsageError:
        return


@pytest.mark.parametrize(("text", "near"), [("TREM", "TERM"), ("sigkil", "KILL"), ("SIGUSR3", "USR")])
def test_the_nearest_signal(text: str, near: str):
    with pytest.raises(UsageError) as caught:
        signals.number(text)
    assert f"did you mean {near}" in caught.value.hint
