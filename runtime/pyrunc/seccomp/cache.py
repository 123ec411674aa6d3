"""Compiled filters, kept by the content of their profile: the fast path.

A file's name is the digest of everything that the program depends on: the
profile, the library, and this code.  Its own digest is checked on the way in,
and the directory must belong to root alone, as what it holds decides what a
container may do.
"""

from __future__ import annotations

import posix

from pyrunc import __version__, handover
from pyrunc.errors import UnsupportedError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.seccomp import Seccomp

DIGEST = 32
FILE_MAX = 1 << 20
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/libseccomp.so.2",
    "/usr/lib/aarch64-linux-gnu/libseccomp.so.2",
    "/usr/lib64/libseccomp.so.2",
)
FORMAT = "1"
OTHERS_WRITE = 0o022


class Program(Record):
    """A filter, ready for seccomp(2)."""

    bpf: bytes
    flags: int


def load(seccomp: Seccomp, directory: str) -> Program:
    """Return the filter for SECCOMP, from DIRECTORY if it has been compiled before.

    Raises what compile_filter raises, and UnsupportedError if others may write
    to DIRECTORY.
    """
    name = key(seccomp)
    bpf = _read(f"{directory}/{name}")
    if not bpf:
        from pyrunc.seccomp import compile as compiler

        bpf = compiler.compile_filter(seccomp).bpf
        _write(directory, name, bpf)
    return Program(bpf, _flags(seccomp))


def ensure_compiler(seccomp: Seccomp | None, directory: str) -> None:
    """Go over to the script, which has libseccomp, if SECCOMP is not in DIRECTORY yet and this is the native program."""
    if handover.NATIVE and seccomp is not None and not _read(f"{directory}/{key(seccomp)}"):
        handover.need_script()


def _flags(seccomp: Seccomp) -> int:
    """Return the flags for seccomp(2)."""
    if not seccomp.flags and not seccomp.listenerPath:
        return 0
    from pyrunc.seccomp.compile import flags

    return flags(seccomp)


def key(seccomp: Seccomp) -> str:
    """Return the digest that names the filter of SECCOMP."""
    described = [FORMAT, __version__, repr(posix.uname()[2:]), repr(seccomp)]
    for path in LIBRARIES:
        try:
            found = posix.stat(path)
        except OSError:
            continue
        described.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    return _digest("\n".join(described).encode("utf-8", "replace")).hex()


def _digest(data: bytes) -> bytes:
    """Return the digest of DATA: of a profile as its name, of a kept program as the check that stands before it."""
    from _blake2 import blake2b  # 0.1 ms, for containers with a filter

    return bytes(blake2b(data, digest_size=DIGEST).digest())


def _read(path: str) -> bytes:
    """Return the program kept at PATH; nothing if there is none, or it is damaged, or not ours."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        found = posix.fstat(fd)
        if found.st_uid != posix.geteuid() or found.st_mode & OTHERS_WRITE:
            return b""
        data = posix.read(fd, FILE_MAX)
    finally:
        posix.close(fd)
    bpf = data[DIGEST:]
    return bpf if bpf and _digest(bpf) == data[:DIGEST] else b""


def _write(directory: str, name: str, bpf: bytes) -> None:
    """Keep BPF; a reader sees the whole file or none."""
    try:
        posix.mkdir(directory, 0o700)
    except FileExistsError:
        pass  # made before, or by somebody quicker
    found = posix.stat(directory, follow_symlinks=False)
    if found.st_uid != posix.geteuid() or found.st_mode & OTHERS_WRITE:
        raise UnsupportedError(f"{directory} may be written by others", hint="remove it: it is only a cache")
    path = f"{directory}/{name}"
    draft = f"{path}.{posix.getpid()}"
    fd = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
    try:
        posix.write(fd, _digest(bpf) + bpf)
        posix.rename(draft, path)
    except BaseException:
        posix.unlink(draft)
        raise
    finally:
        posix.close(fd)
