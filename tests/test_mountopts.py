"""Mount options: each word of the specification's table, and that a later one undoes an earlier one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.container.verbs.features import mount_options
from pyrunc.linux import mount as m
from pyrunc.plan import mountopts
from pyrunc.plan.mountopts import ATTRIBUTES, PROPAGATION, RECURSIVE, Options, parse

# Of each pair the second undoes the first (mount(8)).
OPPOSITES = [
    ("ro", "rw", m.MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", m.MOUNT_ATTR_NOSUID),
    ("nodev", "dev", m.MOUNT_ATTR_NODEV),
    ("noexec", "exec", m.MOUNT_ATTR_NOEXEC),
    ("nodiratime", "diratime", m.MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", "symfollow", m.MOUNT_ATTR_NOSYMFOLLOW),
]
ATIME = {
    "noatime": m.MOUNT_ATTR_NOATIME,
    "strictatime": m.MOUNT_ATTR_STRICTATIME,
    "relatime": m.MOUNT_ATTR_RELATIME,
    "atime": m.MOUNT_ATTR_RELATIME,
    "norelatime": m.MOUNT_ATTR_STRICTATIME,
    "nostrictatime": m.MOUNT_ATTR_RELATIME,
}
# config.md, "Linux mount options": what a runtime must know, and what it should.
SPECIFIED = (
    "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec noiversion "
    "nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime rexec rnoatime "
    "rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave "
    "rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync unbindable"
).split()


@pytest.mark.parametrize(("word", "opposite", "bit"), OPPOSITES)
@pytest.mark.parametrize("recursive", [False, True])
def test_pairs(word: str, opposite: str, bit: int, recursive: bool):
    on, off = (f"r{word}", f"r{opposite}") if recursive else (word, opposite)

    def found(*words: str) -> tuple[int, int]:
        options = parse(words)
        return (options.rec_set, options.rec_clr) if recursive else (options.attr_set, options.attr_clr)

    assert found(on) == found(off, on) == found(on, on) == (bit, 0)
    assert found(off) == found(on, off) == (0, bit)


@pytest.mark.parametrize("word", ATIME)
def test_access_times_are_one_choice(word: str):
    """The kernel wants the whole mask cleared when one of it is set (mount_setattr(2))."""
    for before in ATIME:
        options = parse((before, word))
        assert (options.attr_set & m.MOUNT_ATTR__ATIME, options.attr_clr) == (ATIME[word], m.MOUNT_ATTR__ATIME)
        options = parse((f"r{before}", f"r{word}"))
        assert (options.rec_set & m.MOUNT_ATTR__ATIME, options.rec_clr) == (ATIME[word], m.MOUNT_ATTR__ATIME)


@pytest.mark.parametrize("word", SPECIFIED)
def test_no_word_of_the_specification_is_taken_for_data(word: str):
    assert parse((word,)).data == ()
    assert word in mount_options()


@pytest.mark.parametrize("word", ["size=5", "mode=755", "RO", "ro ", "nobody", "rrro", "context=a,b"])
def test_everything_else_is_the_file_systems(word: str):
    assert parse(("ro", word)).data == ((word, 1),)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), Options()),
        (("bind",), Options(bind=True)),
        (("rbind",), Options(bind=True, rbind=True)),
        (("rbind", "bind"), Options(bind=True, rbind=True)),
        (("defaults", "silent", "loud", "async", ""), Options()),
        (("shared",), Options(propagation=((m.MS_SHARED, False),))),
        (("rslave", "shared"), Options(propagation=((m.MS_SLAVE, True), (m.MS_SHARED, False)))),
        (("sync", "lazytime"), Options(superblock=("sync", "lazytime"))),
        (("a=1", "ro", "b"), Options(attr_set=m.MOUNT_ATTR_RDONLY, data=(("a=1", 0), ("b", 2)))),
    ],
)
def test_sorting(words: tuple[str, ...], options: Options):
    assert parse(words) == options


WORDS = st.lists(st.sampled_from([*ATTRIBUTES, *RECURSIVE, *PROPAGATION, "bind", "rbind", "size=1"]), max_size=8)


@given(WORDS)
def test_nothing_is_set_and_cleared_at_once(words: list[str]):
    """The kernel refuses that; but for access times, which are cleared to be set."""
    options = parse(tuple(words))
    for on, off in ((options.attr_set, options.attr_clr), (options.rec_set, options.rec_clr)):
        assert on & off & ~m.MOUNT_ATTR__ATIME == 0
        if on & m.MOUNT_ATTR__ATIME:
            assert off & m.MOUNT_ATTR__ATIME == m.MOUNT_ATTR__ATIME


@given(WORDS, st.sampled_from([*ATTRIBUTES]))
def test_the_last_word_holds(words: list[str], last: str):
    on, off = ATTRIBUTES[last]
    options = parse((*words, last))
    assert options.attr_set & (on | off) == on


def test_no_word_stands_in_two_tables():
    tables = (ATTRIBUTES, RECURSIVE, PROPAGATION, mountopts.RECURSIVE_PROPAGATION, mountopts.SUPERBLOCK)
    words = [word for table in (*tables, mountopts.NOTHING, mountopts.BIND) for word in table]
    assert len(words) == len(set(words))
