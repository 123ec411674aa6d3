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

from pyrunc import __version__, handover
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.oci.seccomp import Seccomp

DIGEST = 32
FILE_MAX = 1 << 20
FILES_MAX = 64  # then all go: a machine has a few profiles, and one that has more compiles them again now and then
FORMAT = "2"
OTHERS_WRITE = 0o022
S_IFMT, S_IFDIR = 0o170000, 0o040000
LOADER_CACHE = "/etc/ld.so.cache"  # which library a name means changes with it


class Program(Record):
    """A filter, ready for seccomp(2)."""

    bpf: bytes
    flags: int


def load(seccomp: Seccomp, directory: str, warn: Callable[[str], None] = lambda _: None) -> Program:
    """Return the filter for SECCOMP, from DIRECTORY if it has been compiled before; WARN of what it cannot do.

    Raises what compile_filter raises.
    """
    path = f"{directory}/{key(seccomp)}"
    ours = _is_ours(directory, warn)
    found = _read(path) if ours else None
    if found is None:
        from pyrunc.seccomp import compile as compiler
        from pyrunc.seccomp import library

        made = compiler.compile_filter(seccomp)
        found = made.bpf, tuple(ascii(name)[1:-1] for name in made.unknown)
        if ours:
            _write(directory, path, _entry(library.loaded_file(), made.unknown, made.bpf))
    bpf, unknown = found
    for name in unknown:
        warn(f"ignoring the seccomp rule for {name}: neither libseccomp nor this runtime knows such a system call")
    return Program(bpf, _flags(seccomp))


def ensure_compiler(seccomp: Seccomp | None, directory: str) -> None:
    """Go over to the script, which has libseccomp, if SECCOMP is not in DIRECTORY yet and this is the native program."""
    if not handover.NATIVE or seccomp is None:
        return
    if not _is_ours(directory, lambda _: None) or _read(f"{directory}/{key(seccomp)}") is None:
        handover.need_script()


def _flags(seccomp: Seccomp) -> int:
    """Return the flags for seccomp(2)."""
    if not seccomp.flags and not seccomp.listenerPath:
        return 0
    from pyrunc.seccomp.compile import flags

    return flags(seccomp)


def key(seccomp: Seccomp) -> str:
    """Return the digest that names the filter of SECCOMP: who its agent is, and the flags, change no program."""
    profile = seccomp.replace(flags=(), listenerPath="", listenerMetadata="")
    described = [FORMAT, __version__, repr(posix.uname()[2:]), repr(profile)]
    return _digest("\n".join(described).encode("utf-8", "replace")).hex()


def _digest(data: bytes) -> bytes:
    """Return the digest of DATA: of a profile as its name, of a kept program as the check that stands before it."""
    from _blake2 import blake2b  # 0.1 ms, for containers with a filter

    return bytes(blake2b(data, digest_size=DIGEST).digest())


def _stamp(path: str) -> str:
    """Return what changes when the file at PATH is replaced; as much for none."""
    try:
        found = posix.stat(path)
    except OSError:
        return "none"
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"


def _entry(library: str, unknown: tuple[str, ...], bpf: bytes) -> bytes:
    """Return what is kept of program BPF, made by the libseccomp in file LIBRARY, to which calls UNKNOWN are none."""
    names = " ".join(ascii(name)[1:-1].replace(" ", "?") for name in unknown)  # whatever they are, in one line
    head = (library, _stamp(library), _stamp(LOADER_CACHE), names)
    data = "".join(f"{line}\n" for line in head).encode("utf-8", "surrogateescape") + bpf
    return _digest(data) + data


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


def _read(path: str) -> tuple[bytes, tuple[str, ...]] | None:
    """Return the program kept at PATH, and the calls unknown to it; None if it is missing, damaged, outdated or not ours."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = posix.fstat(fd)
        if found.st_uid != posix.geteuid() or found.st_mode & OTHERS_WRITE:
            return None
        data = posix.read(fd, FILE_MAX)
    except OSError:
        return None
    finally:
        posix.close(fd)
    digest, data = data[:DIGEST], data[DIGEST:]
    if _digest(data) != digest or data.count(b"\n") < 4:
        return None
    library, stamp, loader, unknown, bpf = data.split(b"\n", 4)
    where = str(library, "utf-8", "surrogateescape")
    if not bpf or [stamp, loader] != [_stamp(each).encode() for each in (where, LOADER_CACHE)]:
        return None
    return bpf, tuple(str(unknown, "utf-8", "surrogateescape").split())


def _write(directory: str, path: str, entry: bytes) -> None:
    """Keep ENTRY at PATH in DIRECTORY if that can be done; a reader sees the whole file or none."""
    draft = f"{path}.{posix.getpid()}"
    try:
        _make_room(directory)
        # What a process of our pid has left, we may take: it is gone.
        fd = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)
        try:
            if posix.write(fd, entry) == len(entry):
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
