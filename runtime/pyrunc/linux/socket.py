"""Sockets between processes of ours, without `_socket`: that takes 0.3 ms, most of it for names of other families."""

from __future__ import annotations

import posix
from _struct import pack, unpack, unpack_from
from errno import EMFILE

from pyrunc.linux.abi import NR, Buffer, failure, syscall

AF_UNIX = 1
AF_INET = 2
SOCK_DGRAM = 2
SOCK_SEQPACKET = 5
SOCK_CLOEXEC = 0o2000000
SOL_SOCKET = 1
SCM_RIGHTS = 1
MSG_CTRUNC = 0x8
MSG_CMSG_CLOEXEC = 0x40000000
SHUT_RDWR = 2

_MSGHDR = "=QI4xQQQQi4x"  # name, its length, iovec, their number, control, its length, flags
_RIGHTS = "=Qii"  # struct cmsghdr: length, level, type; descriptors follow, 4 bytes each
_RIGHTS_LEN = 16
_CONTROL_MAX = _RIGHTS_LEN + 4 * 32  # descriptors in one message of ours; the kernel takes 253 (SCM_MAX_FD)
_CONTROL_LEN = 40  # where in struct msghdr the length of control stands


class Socket:
    """One end of a connection; each `send` is a message, which `receive` takes whole."""

    def __init__(self, fd: int) -> None:
        """Own descriptor FD."""
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._fd

    def close(self) -> None:
        """Close it; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            posix.close(fd)

    def shutdown(self) -> None:
        """End the connection, for whoever else has this end open too (shutdown(2))."""
        syscall(NR["shutdown"], self._fd, SHUT_RDWR)

    def __del__(self) -> None:
        """Close it, when nobody has it any more."""
        self.close()

    def send(self, data: bytes) -> None:
        """Send DATA.  Raises OSError: BrokenPipeError if the other end is closed."""
        posix.write(self._fd, data)

    def send_descriptors(self, data: bytes, *fds: int) -> None:
        """Send DATA, and copies of descriptors FDS with it (unix(7), SCM_RIGHTS).  Raises OSError."""
        size = _RIGHTS_LEN + 4 * len(fds)
        control = Buffer(pack(f"{_RIGHTS}{len(fds)}i", size, SOL_SOCKET, SCM_RIGHTS, *fds))
        text = Buffer(data)
        part = Buffer(pack("=QQ", text.address, len(data)))
        header = Buffer(pack(_MSGHDR, 0, 0, part.address, 1, control.address, size, 0))
        _again(NR["sendmsg"], self._fd, header.address, 0)

    def receive(self, most: int) -> tuple[bytes, tuple[int, ...]]:
        """Wait for a message of up to MOST bytes; return it, b"" at end of file, and the descriptors that came with it.

        What the other end has said is heard even if it has left something of ours unread at its end: the kernel tells
        that (ECONNRESET) before it hands the rest out.  Raises OSError: EMFILE if there was no room for all descriptors.
        """
        control = Buffer(_CONTROL_MAX)
        text = Buffer(most)
        part = Buffer(pack("=QQ", text.address, most))
        header = Buffer(pack(_MSGHDR, 0, 0, part.address, 1, control.address, _CONTROL_MAX, 0))
        try:
            size = _again(NR["recvmsg"], self._fd, header.address, MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            size = _again(NR["recvmsg"], self._fd, header.address, MSG_CMSG_CLOEXEC)
        filled, flags = unpack_from("=Qi", bytes(header), _CONTROL_LEN)
        fds: tuple[int, ...] = ()
        if filled >= _RIGHTS_LEN:
            (length,) = unpack_from("=Q", bytes(control))
            fds = unpack_from(f"{(length - _RIGHTS_LEN) // 4}i", bytes(control), _RIGHTS_LEN)
        if flags & MSG_CTRUNC:  # there is room for all of them, so it is the table of descriptors that was full
            for fd in fds:
                posix.close(fd)
            raise failure(EMFILE, NR["recvmsg"])
        return bytes(text)[:size], fds


def _again(number: int, *args: int) -> int:
    """Make system call NUMBER, and make it again if a signal came between (PEP 475: its handler has run by then)."""
    while True:
        try:
            return syscall(number, *args)
        except InterruptedError:
            continue


def socketpair() -> tuple[Socket, Socket]:
    """Return two connected ends for messages, close-on-exec.  Raises OSError."""
    both = Buffer(8)
    syscall(NR["socketpair"], AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both.address)
    one, other = unpack("=ii", bytes(both))
    return Socket(one), Socket(other)


def internet() -> Socket:
    """Return a socket that names this network namespace to an ioctl(2) of netdevice(7), close-on-exec.  Raises OSError."""
    return Socket(syscall(NR["socket"], AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))
