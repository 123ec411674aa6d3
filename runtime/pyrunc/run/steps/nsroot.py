"""The root of a mount namespace, which need not be that of a process in it.

setns(2) puts who enters a mount namespace at the root of all of it.  Where the runtime
is in a chroot, that is the machine's: what the container sees of it is a part.
"""

from __future__ import annotations

import posix

from pyrunc.errors import OpError
from pyrunc.linux import process
from pyrunc.linux.fs import O_PATH, mount_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

DIRECTORY = O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC


def enter_namespace_root(_: Context, proc: int) -> None:
    """Make the root of our mount namespace our own root and directory; PROC is the host's procfs.

    What pivot_root(2) then puts in its place is the container's, for all that ever enter the namespace.
    """
    enter_whole(proc, "self/ns/mnt")


def enter_whole(directory: int, path: str) -> None:
    """Do the same by our own mount namespace at PATH below DIRECTORY."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=directory)
    process.setns(fd, process.CLONE_NEWNS)
    posix.close(fd)


def find_root(context: Context, init_root: int) -> int:
    """Return the container's root, once we have entered its mount namespace, and make it ours if it is not.

    INIT_ROOT is the root that its init has, opened by the host's procfs (-1: not to be seen).  An init that has gone
    to another root inside is not followed.  Raises OpError where it is not known which is the container's.
    """
    found, mount = posix.open("/", DIRECTORY), context.root_mount
    if mount in (0, mount_id(found)) or (init_root >= 0 and _same(found, init_root)):
        return found
    if init_root < 0 or mount_id(init_root) != mount:
        raise OpError(
            "cannot tell the container's root: its mount namespace begins elsewhere, and its init has left it",
            hint="make it anew where the runtime has CAP_SYS_CHROOT: then its mount namespace begins at its root",
        )
    posix.close(found)
    take_root(init_root)
    return init_root


def take_root(fd: int) -> None:
    """Make directory FD our root and current directory."""
    posix.fchdir(fd)
    posix.chroot(".")


def _same(one: int, other: int) -> bool:
    """Return whether descriptors ONE and OTHER are of the same directory, by the same mount."""
    left, right = posix.fstat(one), posix.fstat(other)
    return (left.st_dev, left.st_ino, mount_id(one)) == (right.st_dev, right.st_ino, mount_id(other))
