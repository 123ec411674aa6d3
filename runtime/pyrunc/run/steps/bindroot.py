"""The rootfs of a container without a mount namespace of its own: a mount in that of the caller.

Loaded only for such a container.  What is mounted below it stays there when the
container has ended, and is the caller's; but a create that fails takes all of it away.
"""

from __future__ import annotations

import posix
from fcntl import F_DUPFD_CLOEXEC, fcntl

from pyrunc.linux import mount as m
from pyrunc.linux.fs import O_PATH
from pyrunc.plan.op import Token
from pyrunc.run.interrupt import Holding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context


class BoundRootfs:
    """A rootfs that is mounted over itself: a descriptor of that mount, as long as it may have to be taken away."""

    def __init__(self, tree: int) -> None:
        """Begin with a copy of the descriptor TREE."""
        self.tree = fcntl(tree, F_DUPFD_CLOEXEC, 0)

    def unmount(self) -> None:
        """Take the mount away, with all that is mounted below."""
        try:
            m.umount2(f"/proc/self/fd/{self.tree}", m.MNT_DETACH)
        finally:
            self.close()

    def close(self) -> None:
        """Leave it to the caller, who may unmount it."""
        posix.close(self.tree)


def bind_rootfs(context: Context, path: str, propagation: int) -> int:
    """Bind the rootfs at PATH over itself, with PROPAGATION unless that is 0, and return the descriptor of the new mount."""
    directory = posix.open(path, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        tree = m.open_tree(directory, "", m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | m.AT_RECURSIVE | m.AT_EMPTY_PATH)
        with Holding():
            m.move_mount(tree, "", directory, "", m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH)
            context.rootfs = BoundRootfs(tree)
            context.record(Token("bind_rootfs"))
        # After the move: a mount that is attached to a shared one becomes shared by that.
        if propagation:
            m.mount_setattr(tree, "", m.AT_EMPTY_PATH | m.AT_RECURSIVE, 0, 0, propagation, 0)
        return tree
    finally:
        posix.close(directory)
