"""What the two sides of a plan say to each other: five kinds of frame over one socket pair.

    at(barrier)[+fd]     child to host: I wait here
    give(slot)+fd        host to child, before go: a descriptor for you
    go                   host to child: go on
    fail(op index, errno, text)   child to host: this op failed; the host knows its story
    moved(pid)           child to host: I forked once more, follow that one

A frame is one SOCK_SEQPACKET message, so none is ever half-read.  End of file
without a frame means that the child is gone, or that its execve worked: the
socket is close-on-exec.
"""

from __future__ import annotations

from _socket import AF_UNIX, CMSG_LEN, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair
from _struct import calcsize, pack, unpack_from

from pyrunc.record import Record

AT, GIVE, GO, FAIL, MOVED = b"A", b"D", b"G", b"F", b"P"
FRAME_MAX = 4096
_PLACE = "=ii"
_FD = "i"


class Frame(Record):
    """One message: `kind`, and what goes with it."""

    kind: bytes
    name: str = ""
    fd: int = -1
    index: int = 0
    errno: int = 0
    text: str = ""
    pid: int = 0


def pair() -> tuple[socket, socket]:
    """Return both ends, close-on-exec."""
    host, child = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    return host, child


def send_at(sock: socket, name: str, fd: int = -1) -> None:
    """Say that this side waits at barrier NAME; pass descriptor FD along."""
    sock.sendmsg([AT + name.encode()], _rights(fd))


def send_give(sock: socket, name: str, fd: int) -> None:
    """Give the other side descriptor FD for its slot NAME."""
    sock.sendmsg([GIVE + name.encode()], _rights(fd))


def _rights(fd: int) -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that passes FD along, if there is one (unix(7))."""
    return [(SOL_SOCKET, SCM_RIGHTS, pack(_FD, fd))] if fd >= 0 else []


def send_go(sock: socket) -> None:
    """Let the other side go on."""
    sock.send(GO)


def fail(index: int, errno: int, text: str) -> bytes:
    """Return the frame that says that op INDEX failed; TEXT is for what errno cannot say."""
    return FAIL + pack(_PLACE, index, errno) + text.encode("utf-8", "replace")[: FRAME_MAX - 64]


def send_moved(sock: socket, pid: int) -> None:
    """Say that process PID goes on instead of this one."""
    sock.send(MOVED + pack("=i", pid))


def receive(sock: socket) -> Frame | None:
    """Wait for a frame; None at end of file."""
    try:
        data, ancillary, _, _ = sock.recvmsg(FRAME_MAX, CMSG_LEN(calcsize(_FD)))
    except ConnectionResetError:
        return None
    return parse(data, ancillary)


def parse(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> Frame | None:
    """Return the frame that DATA is; None if it is none."""
    kind = data[:1]
    if kind in (AT, GIVE):
        fd: int = unpack_from(_FD, ancillary[0][2])[0] if ancillary else -1
        return Frame(kind, name=str(data[1:], "utf-8"), fd=fd)
    if kind == FAIL:
        index, errno = unpack_from(_PLACE, data, 1)
        return Frame(kind, index=index, errno=errno, text=str(data[1 + calcsize(_PLACE) :], "utf-8", "ignore"))
    if kind == MOVED:
        return Frame(kind, pid=unpack_from("=i", data, 1)[0])
    return Frame(kind) if kind == GO else None
