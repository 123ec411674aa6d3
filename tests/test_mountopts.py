"""Mount options: each word of the specification's table, and that a later one undoes an earlier one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.container.verbs.features import mount_options
from pyrunc.linux import mount as m
from pyrunc.plan import mountopts
from pyrunc.plan.mountopts import ATTRIBUTES, PROPAGATION, RECURSIVE, RECURSIVE_TIMES, TIMES, Options, parse

# Of each pair the second undoes the first (mount(8)).
OPPOSITES = [
    ("ro", "rw", m.MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", m.MOUNT_ATTR_NOSUID),
    ("nodev", "dev", m.MOUNT_ATTR_NODEV),
    ("noexec", "exec", m.MOUNT_ATTR_NOEXEC),
    ("nodiratime", "diratime", m.MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", "symfollow", m.MOUNT_ATTR_NOSYMFOLLOW),
]
# How access times are kept, as mount(8) and mount(2) have it: the words, the attribute of a new mount, and whether a bind's
# top gets it (else it keeps that of its source).
NOATIME, STRICT, RELATIME = m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR_RELATIME
TIMES_OF_PLAIN_WORDS = [
    ("noatime", NOATIME, True),
    ("strictatime", STRICT, True),
    ("relatime", RELATIME, True),
    ("atime", RELATIME, False),
    ("norelatime", RELATIME, False),
    ("nostrictatime", RELATIME, False),
    ("noatime relatime", NOATIME, True),
    ("relatime noatime", NOATIME, True),
    ("noatime strictatime", STRICT, True),
    ("strictatime noatime", STRICT, True),
    ("strictatime atime", STRICT, True),
    ("strictatime norelatime", STRICT, True),
    ("noatime nostrictatime", NOATIME, True),
    ("noatime atime", RELATIME, False),
    ("noatime atime noatime", NOATIME, True),
    ("strictatime nostrictatime", RELATIME, False),
    ("strictatime noatime nostrictatime", NOATIME, True),
    ("relatime norelatime", RELATIME, False),
]
# A recursive word before a plain one: what the tree gets, and what its top has at last.
TIMES_OF_BOTH = [
    ("rnoatime", NOATIME, NOATIME),
    ("rnoatime relatime", NOATIME, RELATIME),
    ("rnoatime atime", NOATIME, RELATIME),
    ("rnoatime strictatime", NOATIME, STRICT),
    ("rnoatime norelatime", NOATIME, NOATIME),
    ("rstrictatime atime", STRICT, STRICT),
    ("noatime rstrictatime", STRICT, STRICT),
    ("noatime rrelatime", RELATIME, RELATIME),
    ("noatime ratime", RELATIME, RELATIME),
    ("rstrictatime nostrictatime rnoatime", STRICT, STRICT),
]
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


@pytest.mark.parametrize(("words", "attribute", "named"), TIMES_OF_PLAIN_WORDS, ids=[row[0] for row in TIMES_OF_PLAIN_WORDS])
def test_how_access_times_are_kept(words: str, attribute: int, named: bool):
    """The kernel wants the whole mask cleared when one of it is set (mount_setattr(2))."""
    options = parse(tuple(words.split()))
    mask = m.MOUNT_ATTR__ATIME if named else 0
    assert (options.attr_set, options.attr_clr, options.attributes) == (attribute & mask, mask, attribute)
    options = parse(tuple(f"r{word}" for word in words.split()))
    assert (options.rec_set, options.rec_clr, options.attr_clr) == (attribute, m.MOUNT_ATTR__ATIME, 0)


@pytest.mark.parametrize(("words", "tree", "top"), TIMES_OF_BOTH, ids=[row[0] for row in TIMES_OF_BOTH])
def test_access_times_of_a_tree_and_its_top(words: str, tree: int, top: int):
    options = parse(tuple(words.split()))
    assert (options.rec_set, options.attributes) == (tree, top)


@pytest.mark.parametrize("word", SPECIFIED)
def test_no_word_of_the_specification_is_taken_for_data(word: str):
    assert parse((word,)).data == ()
    assert word in mount_options()


@pytest.mark.parametrize("word", ["size=5", "mode=755", "RO", "ro ", "nobody", "rrro", "context=a", "context=u:r:t:s0:c1,c2"])
def test_everything_else_is_the_file_systems(word: str):
    assert parse(("ro", word)).data == ((word, 1),)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), Options()),
        (("bind",), Options(bind=True)),
        (("rbind",), Options(bind=True, rbind=True)),
        (("rbind", "bind"), Options(bind=True, rbind=True)),
        (("defaults", ""), Options()),
        (("silent",), Options(named=True)),
        (("loud", "async", "nomand"), Options(named=True)),
        (("rro",), Options(rec_set=m.MOUNT_ATTR_RDONLY)),
        (("diratime",), Options(attr_clr=m.MOUNT_ATTR_NODIRATIME, named=True, undone=m.MS_NODIRATIME)),
        (("norelatime",), Options(named=True, undone=m.MS_RELATIME)),
        (("shared",), Options(propagation=((m.MS_SHARED, False),))),
        (("rslave", "shared"), Options(propagation=((m.MS_SLAVE, True), (m.MS_SHARED, False)))),
        (("sync", "lazytime"), Options(superblock=("sync", "lazytime"), named=True)),
        (("a=1", "ro", "b"), Options(attr_set=m.MOUNT_ATTR_RDONLY, data=(("a=1", 0), ("b", 2)), named=True)),
        (("a=1,ro,b", "c"), Options(attr_set=m.MOUNT_ATTR_RDONLY, data=(("a=1", 0), ("b", 0), ("c", 1)), named=True)),
        (("bind,idmap",), Options(bind=True, ours=frozenset(("idmap",)))),
        (("idmap=uids=0-1-2;gids=0-1-2",), Options(ours=frozenset(("idmap",)))),
        (("copy-symlink", "src-nofollow"), Options(ours=frozenset(("copy-symlink", "src-nofollow")))),
        (("rsync", "rdirsync", "rmand"), Options(superblock=("rsync", "rdirsync", "rmand"))),
        (("rsync", "rmand", "async", "nomand"), Options(named=True)),
        (("sync", "mand", "rasync", "rnomand"), Options(named=True)),
    ],
)
def test_sorting(words: tuple[str, ...], options: Options):
    assert parse(words) == options


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("size=64m,mode=1770", ["size=64m", "mode=1770"]),
        (",size=64m,,ro,", ["size=64m", "ro", ""]),
        ('context="u:r:t:s0:c1,c2",ro', ['context="u:r:t:s0:c1,c2"', "ro"]),
        ("context=u:r:t:s0:c1,c2,ro", ["context=u:r:t:s0:c1,c2", "ro"]),
        (r"lowerdir=/a\,b:/c,ro", [r"lowerdir=/a\,b:/c", "ro"]),
        ("lowerdir=/a,upperdir=/b,workdir=/c", ["lowerdir=/a", "upperdir=/b", "workdir=/c"]),
    ],
)
def test_several_in_one_string(option: str, words: list[str]):
    assert mountopts.split(("x", option)) == [("x", 0), *((word, 1) for word in words)]


EVERY_WORD = [*ATTRIBUTES, *RECURSIVE, *TIMES, *RECURSIVE_TIMES, *PROPAGATION, "bind", "rbind", "size=1"]
WORDS = st.lists(st.sampled_from(EVERY_WORD), max_size=8)


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
    tables = (ATTRIBUTES, RECURSIVE, PROPAGATION, mountopts.RECURSIVE_PROPAGATION, mountopts.SUPERBLOCK, TIMES, RECURSIVE_TIMES)
    words = [word for table in (*tables, mountopts.NOTHING, mountopts.BIND) for word in table]
    assert len(words) == len(set(words))
