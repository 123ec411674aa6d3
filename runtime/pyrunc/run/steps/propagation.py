"""Make the mount that holds the rootfs private: what the host mounts there later is not the container's."""

from __future__ import annotations

import errno
import posix

from pyrunc.linux import mount as m
from pyrunc.linux.fs import O_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

DIRECTORY = O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC


def make_holder_private(_: Context, directory: int) -> None:
    """Make the mount that DIRECTORY is on private, in our mount namespace.

    A mount is named by its top, so this goes up until the kernel finds one.
    """
    fd = posix.open(".", DIRECTORY, dir_fd=directory)
    while not _make_private(fd):
        parent = posix.open("..", DIRECTORY, dir_fd=fd)
        above, here = posix.fstat(parent), posix.fstat(fd)
        if (above.st_dev, above.st_ino) == (here.st_dev, here.st_ino):
            raise OSError(errno.EINVAL, posix.strerror(errno.EINVAL))  # our own root directory is not the top of a mount
        posix.close(fd)
        fd = parent
    posix.close(fd)


def _make_private(fd: int) -> bool:
    """Make the mount behind FD private; return False if FD is not its top."""
    try:
        m.mount_setattr(fd, "", m.AT_EMPTY_PATH, 0, 0, m.MS_PRIVATE, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True
