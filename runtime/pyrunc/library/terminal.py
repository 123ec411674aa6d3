"""The terminal of a process in a container, as its user's end has it (pty(7))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios


class Terminal:
    """The master of a pseudoterminal: what is written to it is typed, what is read from it is shown.

    `fileno` makes it fit for select, for asyncio, and for `os.read`.
    """

    def __init__(self, fd: int) -> None:
        """Own descriptor FD."""
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._fd

    def read(self, size: int = 65536) -> bytes:
        """Wait for what is shown and return up to SIZE bytes of it; b"" once nobody is at the other end any more."""
        try:
            return os.read(self._fd, size)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise

    def write(self, data: bytes) -> None:
        """Type DATA, all of it.  Raises OSError if nobody is at the other end."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def resize(self, rows: int, columns: int) -> None:
        """Give it a size, in characters; who is in the foreground there gets SIGWINCH."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Hang up; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        """Close it, when nobody has it any more."""
        self.close()
