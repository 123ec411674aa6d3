"""The cache of compiled filters: taken if whole and ours, compiled anew if not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrunc.errors import UnsupportedError
from pyrunc.oci.seccomp import Seccomp, seccomp
from pyrunc.seccomp import cache
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
    path.write_bytes(cache._digest(bpf) + bpf)
    return path


def test_the_first_load_compiles_and_keeps(directory: Path):
    program = cache.load(profile(), str(directory))
    assert program.bpf == compile_filter(profile()).bpf
    assert directory.stat().st_mode & 0o777 == 0o700
    assert kept(directory).stat().st_mode & 0o777 == 0o600
    assert kept(directory).name == cache.key(profile())


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
    assert kept(directory).read_bytes() == cache._digest(right) + right


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
def test_a_directory_that_others_may_write_is_refused(directory: Path, mode: int):
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(UnsupportedError, match="may be written by others"):
        cache.load(profile(), str(directory))


def test_a_directory_behind_a_link_is_refused(directory: Path, tmp_path: Path):
    """The link itself is looked at: it says 0777."""
    (tmp_path / "real").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "real")
    with pytest.raises(UnsupportedError):
        cache.load(profile(), str(directory))


def test_what_makes_another_program_has_another_name():
    changes = (
        {},
        {"defaultErrnoRet": 5},
        {"defaultAction": "SCMP_ACT_KILL"},
        {"architectures": ["SCMP_ARCH_X86"]},
        {"flags": ["SECCOMP_FILTER_FLAG_LOG"]},
        {"syscalls": [{"names": ["write"], "action": "SCMP_ACT_ALLOW"}]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]},
    )
    assert len({cache.key(profile(**change)) for change in changes}) == len(changes)
    assert cache.key(profile()) == cache.key(profile())


def test_flags_come_with_it(directory: Path):
    flagged = profile(flags=["SECCOMP_FILTER_FLAG_LOG"])
    assert [cache.load(flagged, str(directory)).flags for _ in range(2)] == [2, 2]
