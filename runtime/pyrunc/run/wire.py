"""What the two sides of a plan say to each other: six kinds of frame over one socket pair.

    at(barrier)[+fd]     child to host: I wait here
    give(slots)+fds      host to child, before go: descriptors for you
    go                   host to child: go on
    fail(op index, errno, text)   child to host: this op failed; the host knows its story
    moved(pid)           child to host: I forked once more, follow that one
    did(op index, times, text)    child to host, with --debug: this op is done

A frame is one SOCK_SEQPACKET message, so none is ever half-read.  End of file
without a frame means that the child is gone, or that its execve worked: the
socket is close-on-exec.
"""

from __future__ import annotations

from _struct import calcsize, pack, unpack_from

from pyrunc.linux.socket import socketpair
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.errors import PyruncError
    from pyrunc.linux.socket import Socket

AT, GIVE, GO, FAIL, MOVED, DID = b"A", b"D", b"G", b"F", b"P", b"T"
FRAME_MAX = 4096
SEPARATOR = "\0"  # of the names in a give, and of the parts of what failed
_PLACE = "=ii"
_TIMES = "=iqq"


class Frame(Record):
    """One message: `kind`, and what goes with it."""

    kind: bytes
    name: str = ""
    fds: tuple[int, ...] = ()
    index: int = 0
    errno: int = 0
    text: str = ""
    pid: int = 0
    times: tuple[int, int] = (0, 0)


def pair() -> tuple[Socket, Socket]:
    """Return both ends, close-on-exec."""
    return socketpair()


def send_at(sock: Socket, name: str, fd: int = -1) -> None:
    """Say that this side waits at barrier NAME; pass descriptor FD along."""
    if fd < 0:
        sock.send(AT + name.encode())
    else:
        sock.send_descriptors(AT + name.encode(), fd)


def send_give(sock: Socket, slots: dict[str, int]) -> None:
    """Give the other side descriptors for its SLOTS, by their names."""
    sock.send_descriptors(GIVE + SEPARATOR.join(slots).encode(), *slots.values())


def send_go(sock: Socket) -> None:
    """Let the other side go on."""
    sock.send(GO)


def fail(index: int, errno: int, text: str) -> bytes:
    """Return the frame that says that op INDEX failed; TEXT is for what errno cannot say."""
    return FAIL + pack(_PLACE, index, errno) + text.encode("utf-8", "replace")[: FRAME_MAX - 64]


def said(error: PyruncError) -> str:
    """Return ERROR in one text, which failure.describe takes apart: what to do, where, what went wrong."""
    return f"{error.hint}{SEPARATOR}{error.pointer}{SEPARATOR}{error.message}"


def send_moved(sock: Socket, pid: int) -> None:
    """Say that process PID goes on instead of this one."""
    sock.send(MOVED + pack("=i", pid))


def send_did(sock: Socket, index: int, at: int, took: int, text: str) -> None:
    """Say that op INDEX is done: begun AT so many nanoseconds, it TOOK so many; TEXT is what it has chosen."""
    sock.send(DID + pack(_TIMES, index, at, took) + text.encode("utf-8", "replace")[: FRAME_MAX - 64])


def receive(sock: Socket) -> Frame | None:
    """Wait for a frame; None at end of file."""
    return parse(*sock.receive(FRAME_MAX))


def parse(data: bytes, fds: tuple[int, ...] = ()) -> Frame | None:
    """Return the frame that DATA is, with descriptors FDS; None if it is none."""
    kind = data[:1]
    if kind in (AT, GIVE):
        return Frame(kind, name=str(data[1:], "utf-8"), fds=fds)
    if kind == FAIL:
        index, errno = unpack_from(_PLACE, data, 1)
        return Frame(kind, index=index, errno=errno, text=str(data[1 + calcsize(_PLACE) :], "utf-8", "ignore"))
    if kind == MOVED:
        return Frame(kind, pid=unpack_from("=i", data, 1)[0])
    if kind == DID:
        index, *times = unpack_from(_TIMES, data, 1)
        return Frame(kind, index=index, times=tuple(times), text=str(data[1 + calcsize(_TIMES) :], "utf-8", "ignore"))
    return Frame(kind) if kind == GO else None
