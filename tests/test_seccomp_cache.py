"""The cache of compiled filters: taken if whole and ours, compiled anew if not."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from pyrunc.oci.seccomp import Seccomp, seccomp
from pyrunc.seccomp import cache, entry, library
from pyrunc.seccomp.compile import compile_filter

pytest.importorskip("pyseccomp", reason="it compiles filters")


def profile(**changes: object) -> Seccomp:
    rules = [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]
    return seccomp({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules, **changes}, "")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def kept(directory: Path) -> Path:
    """Return the one file in DIRECTORY."""
    (found,) = directory.iterdir()
    return found


def plant(directory: Path, bpf: bytes = b"planted!") -> Path:
    """Put BPF, with a right digest, into the place of the kept program: whoever reads that back took it from there."""
    path = kept(directory)
    path.write_bytes(entry.new(library.loaded_file(), (), bpf).pack())
    return path


def test_the_first_load_compiles_and_keeps(directory: Path):
    program = cache.load(profile(), str(directory))
    assert program.bpf == compile_filter(profile()).bpf
    assert directory.stat().st_mode & 0o777 == 0o700
    assert kept(directory).stat().st_mode & 0o777 == 0o600
    assert kept(directory).name == entry.key(profile())


def test_the_second_load_does_not_compile(directory: Path):
    cache.load(profile(), str(directory))
    plant(directory)
    assert cache.load(profile(), str(directory)).bpf == b"planted!"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(path.read_bytes()[:32]),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        lambda path: path.unlink(),
    ],
    ids=["empty", "cut off", "longer", "digest only", "another digest", "gone"],
)
def test_a_damaged_file_is_compiled_anew(directory: Path, damage):
    right = cache.load(profile(), str(directory)).bpf
    damage(kept(directory))
    assert cache.load(profile(), str(directory)).bpf == right
    assert kept(directory).read_bytes() == entry.new(library.loaded_file(), (), right).pack()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_taken(directory: Path, mode: int):
    right = cache.load(profile(), str(directory)).bpf
    plant(directory).chmod(mode)
    assert cache.load(profile(), str(directory)).bpf == right


def test_a_link_is_not_followed(directory: Path, tmp_path: Path):
    right = cache.load(profile(), str(directory)).bpf
    path = plant(directory)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.load(profile(), str(directory)).bpf == right


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_owner_is_not_taken(directory: Path):
    right = cache.load(profile(), str(directory)).bpf
    os.chown(plant(directory), 65534, -1)
    assert cache.load(profile(), str(directory)).bpf == right


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_left_alone(directory: Path, mode: int):
    """Nothing in it is believed, not even a file of ours, which another of ours may have got the name of."""
    right = cache.load(profile(), str(directory)).bpf
    before = plant(directory).read_bytes()
    directory.chmod(mode)
    said: list[str] = []
    assert cache.load(profile(), str(directory), said.append).bpf == right
    assert kept(directory).read_bytes() == before
    assert len(said) == 1
    assert f"not using {directory}, as it may be written by others" in said[0]


def test_a_directory_behind_a_link_is_left_alone(directory: Path, tmp_path: Path):
    """The link itself is looked at: it says 0777."""
    (tmp_path / "real").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "real")
    assert cache.load(profile(), str(directory)).bpf == compile_filter(profile()).bpf
    assert not list((tmp_path / "real").iterdir())


def test_a_draft_of_our_pid_is_in_nobodys_way(directory: Path):
    """A process that was killed while it wrote has left it, and pids come again."""
    directory.mkdir(mode=0o700)
    draft = directory / f"{entry.key(profile())}.{os.getpid()}"
    draft.write_bytes(b"x" * 100_000)
    right = cache.load(profile(), str(directory)).bpf
    assert kept(directory).read_bytes() == entry.new(library.loaded_file(), (), right).pack()


@pytest.mark.parametrize("place", ["/proc/self/cache", "/dev/null/cache", "/nonexistent/far/away"])
def test_where_nothing_can_be_kept_it_is_compiled(place: str):
    assert cache.load(profile(), place).bpf == compile_filter(profile()).bpf


@pytest.mark.parametrize("size", [0, 40])
def test_a_full_disk_leaves_nothing(directory: Path, size: int):
    """A limit on the size of files stands for it: write(2) says EFBIG, or that it has written a part."""
    directory.mkdir(mode=0o700)
    data = entry.new(library.loaded_file(), (), compile_filter(profile()).bpf).pack()
    before, heeded = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        cache._write(str(directory), str(directory / "name"), data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heeded)
    assert not list(directory.iterdir())


def test_it_does_not_grow_without_end(directory: Path):
    directory.mkdir(mode=0o700)
    for number in range(cache.FILES_MAX):
        (directory / f"{number:064x}.1").write_bytes(b"left")
    cache.load(profile(), str(directory))
    assert kept(directory).name == entry.key(profile())


def test_a_libseccomp_that_has_been_replaced_compiles_anew(directory: Path, tmp_path: Path):
    """Wherever it lies: the entry says which file has made it, and how that looked."""
    right = cache.load(profile(), str(directory)).bpf
    own = tmp_path / "libseccomp.so.2"
    own.write_bytes(b"the one that compiled it")
    kept(directory).write_bytes(entry.new(str(own), (), b"planted!").pack())
    assert cache.load(profile(), str(directory)).bpf == b"planted!"
    newer = tmp_path / "newer"
    newer.write_bytes(own.read_bytes())
    newer.rename(own)
    assert cache.load(profile(), str(directory)).bpf == right
    kept(directory).write_bytes(entry.new(str(own), (), b"planted!").pack())
    own.unlink()
    assert cache.load(profile(), str(directory)).bpf == right


def test_the_library_is_the_one_that_compiles(directory: Path):
    cache.load(profile(), str(directory))
    file = Path(library.loaded_file())
    assert file.name.startswith("libseccomp.so")
    assert kept(directory).read_bytes()[entry.DIGEST :].startswith(f"{file}\n".encode())


@pytest.mark.parametrize("name", ["no_such_call", "no\nsuch\ncall", "no such call", "\N{SNOWMAN}"])
def test_unknown_calls_are_warned_of_each_time(directory: Path, name: str):
    strange = profile(syscalls=[{"names": ["read", name], "action": "SCMP_ACT_ALLOW"}])
    said: list[str] = []
    programs = [cache.load(strange, str(directory), said.append).bpf for _ in range(3)]
    assert programs == [compile_filter(strange).bpf] * 3
    assert len(said) >= 3
    assert all(line.startswith("ignoring the seccomp rule for ") and "\n" not in line for line in said)


def test_what_makes_another_program_has_another_name():
    changes = (
        {},
        {"defaultErrnoRet": 5},
        {"defaultAction": "SCMP_ACT_KILL"},
        {"architectures": ["SCMP_ARCH_X86"]},
        {"syscalls": [{"names": ["write"], "action": "SCMP_ACT_ALLOW"}]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]},
    )
    assert len({entry.key(profile(**change)) for change in changes}) == len(changes)
    assert entry.key(profile()) == entry.key(profile())


def test_what_makes_no_other_program_has_no_other_name():
    """Metadata may name a container: a file for each would never end."""
    changes = (
        {"flags": ["SECCOMP_FILTER_FLAG_LOG"]},
        {"listenerPath": "/run/agent"},
        {"listenerPath": "/run/agent", "listenerMetadata": "container 4711"},
    )
    assert {entry.key(profile(**change)) for change in changes} == {entry.key(profile())}


def test_flags_come_with_it(directory: Path):
    flagged = profile(flags=["SECCOMP_FILTER_FLAG_LOG"])
    assert [cache.load(flagged, str(directory)).flags for _ in range(2)] == [2, 2]
