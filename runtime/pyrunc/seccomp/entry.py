"""What is kept of a compiled filter: its name, and bytes that say which libseccomp has made it, and whether they are whole."""

from __future__ import annotations

import posix

from pyrunc import __version__
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.seccomp import Seccomp

DIGEST = 32
FORMAT = "2"
LOADER_CACHE = "/etc/ld.so.cache"  # which library a name means changes with it


class Entry(Record):
    """A BPF program, and the calls that nobody knew; the libseccomp that made it, and how that and LOADER_CACHE looked then."""

    library: str
    stamp: str
    loader: str
    unknown: tuple[str, ...]
    bpf: bytes

    def is_current(self) -> bool:
        """Return whether the library, and what the loader would take for it, are still the same."""
        return (self.stamp, self.loader) == (_stamp(self.library), _stamp(LOADER_CACHE))

    def pack(self) -> bytes:
        """Return the bytes that are kept of it."""
        head = (self.library, self.stamp, self.loader, " ".join(self.unknown))
        data = "".join(f"{line}\n" for line in head).encode("utf-8", "surrogateescape") + self.bpf
        return _digest(data) + data


def new(library: str, unknown: tuple[str, ...], bpf: bytes) -> Entry:
    """Return the entry of program BPF, which the libseccomp in file LIBRARY has made now, and to which calls UNKNOWN are none."""
    names = tuple(ascii(name)[1:-1].replace(" ", "?") for name in unknown)  # whatever they are, in one line
    return Entry(library, _stamp(library), _stamp(LOADER_CACHE), names, bpf)


def key(seccomp: Seccomp) -> str:
    """Return the digest that names the filter of SECCOMP: who its agent is, and the flags, change no program."""
    profile = seccomp.replace(flags=(), listenerPath="", listenerMetadata="")
    described = [FORMAT, __version__, repr(posix.uname()[2:]), repr(profile)]
    return _digest("\n".join(described).encode("utf-8", "replace")).hex()


def unpack(data: bytes) -> Entry | None:
    """Return the entry that was packed as DATA; None if it is not whole."""
    digest, data = data[:DIGEST], data[DIGEST:]
    if _digest(data) != digest or data.count(b"\n") < 4:
        return None
    *head, bpf = data.split(b"\n", 4)
    library, stamp, loader, unknown = (str(line, "utf-8", "surrogateescape") for line in head)
    return Entry(library, stamp, loader, tuple(unknown.split()), bpf) if bpf else None


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
