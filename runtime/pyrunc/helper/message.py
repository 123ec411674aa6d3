"""What goes between the library and its helper: messages of one head, in JSON, one document, and descriptors.

Both sides use it, so it imports nothing that either lacks.  What is too long for a message goes in a file of memory beside it.
"""

from __future__ import annotations

import posix

from pyrunc.jsonio import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Head = dict[str, Any]

MAX = 1 << 16  # bytes of a message: the receiver's room
INLINE, IN_MEMORY = b"I", b"M"
END = b"\n"  # of the head, which has none inside
ACCEPTED = b"A"  # by the library: what a call has made is in good hands
CALLER, MAIN = "caller", 3  # how the descriptors are called and numbered that a helper begins with
TASK = "-Xtask=helper"  # as the first word: be the helper
OWN, LEAVE = b"O", b"L"  # by a tether: remove the container when this ends, or do not


def pack(head: Head, document: bytes = b"") -> tuple[bytes, int]:
    """Return HEAD and DOCUMENT as a message, and the descriptor that has to go with it, as the last; -1 for none.

    The descriptor is the caller's, to be closed.
    """
    data = dumps(head).encode() + END + document
    return (INLINE + data, -1) if len(data) < MAX else (IN_MEMORY, _memory(data))


def in_memory(head: Head, document: bytes) -> int:
    """Return a descriptor that `unpack` takes with IN_MEMORY, of a message of HEAD and DOCUMENT, however short."""
    return _memory(dumps(head).encode() + END + document)


def _memory(data: bytes) -> int:
    """Return a file of memory that holds DATA.  Raises OSError."""
    fd = posix.memfd_create("pyrunc", posix.MFD_CLOEXEC)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[posix.write(fd, rest) :]
    except OSError:
        posix.close(fd)
        raise
    return fd


def unpack(data: bytes, fds: tuple[int, ...]) -> tuple[Head, bytes, tuple[int, ...]]:
    """Return the head, the document and the descriptors of the message DATA that came with FDS."""
    if data[:1] == IN_MEMORY:
        *others, memory = fds
        fds = tuple(others)
        try:
            data = _all(memory)
        finally:
            posix.close(memory)
    else:
        data = data[1:]
    text, _, document = data.partition(END)
    head: Any = loads(text, "the message")
    return head, document, fds


def _all(memory: int) -> bytes:
    """Return all that is in file MEMORY."""
    parts, place = [], 0
    while part := posix.pread(memory, 1 << 24, place):
        parts.append(part)
        place += len(part)
    return b"".join(parts)
