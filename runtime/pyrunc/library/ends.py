"""How a process ended: by what the helper says who is its parent, or by what the kernel remembers of it.

The kernel tells that a process has ended to whoever has a pidfd, but its exit status only to its parent; from Linux 6.15 on
also to the others, once the parent has waited for it (ioctl_pidfd(2), PIDFD_INFO_EXIT).
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import time

from pyrunc.errors import StateError
from pyrunc.helper import message
from pyrunc.host import facts

PIDFD_GET_INFO, PIDFD_INFO_EXIT = 0xC040FF0B, 1 << 3  # include/uapi/linux/pidfd.h
INFO_SIZE, EXIT_CODE = 64, 60  # of struct pidfd_info, and where in it the status is
STATUS_SIZE = 4
TELLS_OTHERS = (6, 15)
PARENT_SECONDS = 1.0  # how long a parent may take to wait for its child
UNKNOWN = "it has ended, and its exit status went to its parent"
HINT = "Linux 6.15 tells others too; a container that this program has made tells its exit status on every kernel"


class Ended:
    """What is held of one process: `pidfd`, and its `tether` (helper/serve.py); closed as soon as its exit status is known."""

    def __init__(self, pid: int, pidfd: int, tether: int) -> None:
        """Begin with descriptors PIDFD and TETHER, or -1 for a process that has ended already."""
        self.pid, self.pidfd = pid, pidfd
        self.tether = socket.socket(fileno=tether) if tether >= 0 else None
        self.status: int | None = None
        self.is_ours = tether >= 0  # whether the helper tells
        self._waited_for: select.epoll | None = None  # of one that has ended: readable once its parent has waited for it
        self._end = 0.0

    def __del__(self) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Let go of the process."""
        tether, pidfd, self.pidfd, self.tether = self.tether, self.pidfd, -1, None
        for each in (tether, self._waited_for):
            if each is not None:
                each.close()
        if pidfd >= 0:
            os.close(pidfd)

    def let_go(self) -> None:
        """Close it, as its container is gone; what is known of the end by now can still be asked for."""
        self.say(message.LEAVE)
        end = time.monotonic() + PARENT_SECONDS
        try:
            while not self.look() and self.is_ours and (left := end - time.monotonic()) > 0:
                _readable(self.fd(), left)
        except StateError:
            pass  # nobody asks
        self.close()

    def say(self, word: bytes) -> None:
        """Tell the helper WORD about the container whose init this is; a helper that is gone does not mind."""
        try:
            if self.tether is not None:
                self.tether.send(word)
        except OSError:
            return

    def fd(self) -> int:
        """Return the descriptor that is readable when there is something to `look` at."""
        if self._waited_for is not None:
            return self._waited_for.fileno()
        return self.tether.fileno() if self.is_ours and self.tether is not None else self.pidfd

    def look(self) -> bool:
        """Look whether it has ended, without waiting; keep the status then.  Raises StateError if that cannot be known."""
        if self.status is not None:
            return True
        if self.is_ours and self.tether is not None:
            try:
                said = self.tether.recv(STATUS_SIZE, socket.MSG_PEEK | socket.MSG_DONTWAIT)  # it stays, for whoever else waits
            except BlockingIOError:
                return False
            except ConnectionError:
                said = b""
            if len(said) == STATUS_SIZE:
                self.status = os.waitstatus_to_exitcode(struct.unpack("=i", said)[0])
                return True
            self.is_ours = False  # the helper is gone, or has it not for a child
        if self.pidfd >= 0 and not _readable(self.pidfd, 0):
            return False
        code = self._remembered()
        if code is None:
            return self._is_to_come()
        self.status = os.waitstatus_to_exitcode(code)
        return True

    def _remembered(self) -> int | None:
        """Return the status as wait(2) has it, if the kernel remembers; None if not."""
        info = bytearray(struct.pack("=Q", PIDFD_INFO_EXIT).ljust(INFO_SIZE, b"\0"))
        try:
            fcntl.ioctl(self.pidfd, PIDFD_GET_INFO, info)
        except (OSError, ValueError):
            return None  # this kernel remembers nothing, or we have nothing to ask it by
        known = struct.unpack_from("=Q", info)[0] & PIDFD_INFO_EXIT
        return int(struct.unpack_from("=i", info, EXIT_CODE)[0]) if known else None

    def _is_to_come(self) -> bool:
        """Return False, as the status may still be told, once the parent has waited for its child.  Raises StateError if not."""
        if self._waited_for is None:
            self._end = time.monotonic() + PARENT_SECONDS
            self._waited_for = select.epoll()
            if self.pidfd >= 0:
                self._waited_for.register(self.pidfd, 0)  # for EPOLLHUP alone
        if self.pidfd < 0 or facts.kernel_version(os.uname().release) < TELLS_OTHERS or time.monotonic() >= self._end:
            raise StateError(UNKNOWN, hint=HINT)
        return False

    def patience(self) -> float | None:
        """Return for how many seconds at most `fd` is to be waited for before the next look; None: for ever."""
        return None if self._waited_for is None else max(0.0, self._end - time.monotonic())

    def wait(self, seconds: float | None) -> bool:
        """Wait for the end for so many SECONDS, None for ever; return whether it has come.  Raises StateError as `look` does."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.look():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if left == 0.0:
                return False
            _readable(self.fd(), min((each for each in (left, self.patience()) if each is not None), default=None))
        return True


def _readable(fd: int, seconds: float | None) -> bool:
    """Wait for so many SECONDS (None: for ever) until FD can be read; return whether it can."""
    watch = select.poll()
    watch.register(fd, select.POLLIN)
    return bool(watch.poll(None if seconds is None else seconds * 1000))
