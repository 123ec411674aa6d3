"""Steps about the container's terminal (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import posix
from _struct import pack
from fcntl import ioctl

from pyrunc.errors import OpError
from pyrunc.linux.fs import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

TIOCSCTTY = 0x540E
TIOCSWINSZ = 0x5414
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441
PTMX_DEVICE = posix.makedev(5, 2)


def open_pty(_: Context, root: int) -> int:
    """Open a new terminal of the devpts at ROOT's /dev/pts, and return its master."""
    flags = posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC
    fd = openat2(root, "dev/pts/ptmx", flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    found = posix.fstat(fd)
    if found.st_mode & rootpath.S_IFMT != rootpath.S_IFCHR or found.st_rdev != PTMX_DEVICE:
        raise OpError(
            "/dev/pts/ptmx is not the terminal multiplexer (character device 5:2)",
            hint="mount a devpts at /dev/pts, with newinstance",
        )
    ioctl(fd, TIOCSPTLCK, pack("i", 0))
    return fd


def pty_slave(_: Context, master: int) -> int:
    """Return the other end of MASTER, without looking up any path."""
    slave: int = ioctl(master, TIOCGPTPEER, posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC)
    return slave


def set_window_size(_: Context, slave: int, rows: int, columns: int) -> None:
    """Set the size of the terminal, in characters."""
    ioctl(slave, TIOCSWINSZ, pack("4H", rows, columns, 0, 0))


def take_terminal(_: Context, slave: int) -> None:
    """Make SLAVE the controlling terminal and the three standard streams."""
    ioctl(slave, TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        posix.dup2(slave, fd)
