"""The fast path: compiled filters, kept by the content of their profile.

A file's name is the digest of all of the profile that the program depends on,
of this code, and of the kernel.  In it is which libseccomp has compiled it: one
that has been replaced since makes it worthless.  Its own digest is checked on
the way in, and the directory must belong to root alone, as what it holds
decides what a container may do.

Nothing here fails a container: what cannot be read is compiled, and what cannot
be kept is not.
"""

from __future__ import annotations

import posix

from pyrunc import handover
from pyrunc.oci.seccomp import DEFAULT_FLAGS
from pyrunc.record import Record
from pyrunc.seccomp import entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.seccomp.entry import Entry

SPEC_ALLOW = 4  # seccomp(2), include/uapi/linux/seccomp.h
FILE_MAX = 1 << 20
FILES_MAX = 64  # then all go: a machine has a few profiles, and one that has more compiles them again now and then
OTHERS_WRITE = 0o022
S_IFMT, S_IFDIR = 0o170000, 0o040000


class Program(Record):
    """A filter, ready for seccomp(2); `unknown` are the system calls of its rules that nobody knows."""

    bpf: bytes
    flags: int
    unknown: tuple[str, ...] = ()


def load(seccomp: Seccomp, directory: str, warn: Callable[[str], None] = lambda _: None) -> Program:
    """Return the filter for SECCOMP, from DIRECTORY if it has been compiled before; WARN of what it cannot do.

    Raises what compile_filter raises, and UnsupportedError if the script that compiles for us cannot.
    """
    path = f"{directory}/{entry.key(seccomp)}"
    ours = _is_ours(directory, warn)
    found = _read(path) if ours else None
    if found is None:
        if handover.NATIVE:
            from pyrunc.seccomp.apart import compile_apart as compiled
        else:
            from pyrunc.seccomp.compile import compiled
        found = compiled(seccomp)
        if ours:
            _write(directory, path, found.pack())
    for name in found.unknown:
        warn(f"ignoring the seccomp rule for {name}: neither libseccomp nor this runtime knows such a system call")
    return Program(found.bpf, _flags(seccomp), found.unknown)


def _flags(seccomp: Seccomp) -> int:
    """Return the flags for seccomp(2)."""
    if not seccomp.listenerPath and seccomp.flags in ((), DEFAULT_FLAGS):
        return SPEC_ALLOW if seccomp.flags else 0
    from pyrunc.seccomp.compile import flags

    return flags(seccomp)


def _is_ours(directory: str, warn: Callable[[str], None]) -> bool:
    """Return whether DIRECTORY, which is made if it is missing, can be believed: nobody else may change what is in it."""
    try:
        try:
            found = posix.stat(directory, follow_symlinks=False)
        except FileNotFoundError:
            posix.mkdir(directory, 0o700)
            found = posix.stat(directory, follow_symlinks=False)
    except OSError:
        return False
    if found.st_mode & S_IFMT == S_IFDIR and found.st_uid == posix.geteuid() and not found.st_mode & OTHERS_WRITE:
        return True
    warn(f"not using {directory}, as it may be written by others: remove it, it is only a cache")
    return False


def _read(path: str) -> Entry | None:
    """Return what is kept at PATH; None if it is missing, damaged, outdated or not ours."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = posix.fstat(fd)
        if found.st_uid != posix.geteuid() or found.st_mode & OTHERS_WRITE:
            return None
        kept = entry.unpack(posix.read(fd, FILE_MAX))
    except OSError:
        return None
    finally:
        posix.close(fd)
    return kept if kept is not None and kept.is_current() else None


def _write(directory: str, path: str, data: bytes) -> None:
    """Keep DATA at PATH in DIRECTORY if that can be done; a reader sees the whole file or none."""
    draft = f"{path}.{posix.getpid()}"
    try:
        _make_room(directory)
        # What a process of our pid has left, we may take: it is gone.
        fd = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)
        try:
            if posix.write(fd, data) == len(data):
                posix.rename(draft, path)
                return
        finally:
            posix.close(fd)
        posix.unlink(draft)
    except OSError:
        _discard(draft)


def _make_room(directory: str) -> None:
    """Empty DIRECTORY if there is too much in it, among that the drafts of the dead."""
    names = posix.listdir(directory)
    if len(names) >= FILES_MAX:
        for name in names:
            _discard(f"{directory}/{name}")


def _discard(path: str) -> None:
    """Remove the file at PATH, if it can be."""
    try:
        posix.unlink(path)
    except OSError:
        pass  # it is gone, or the disk is read-only: it is in nobody's way
