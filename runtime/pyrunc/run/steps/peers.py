"""Keep a shared bind mount off the mounts that must not be its peers (mount_namespaces(7), "Shared subtrees")."""

from __future__ import annotations

import posix

from pyrunc.host import mounted
from pyrunc.linux import mount as m
from pyrunc.linux.fs import O_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context


def make_private_beside(_: Context, tree: int, source: str, rootfs: str) -> None:
    """Make detached mount TREE private if it is a copy of the mount that ROOTFS is on: its SOURCE lies beside that.

    For the container that mount is private (propagation.py), whoever opens a source on it.
    """
    if _mount_id(source) == _mount_id(rootfs):
        m.mount_setattr(tree, "", m.AT_EMPTY_PATH, 0, 0, m.MS_PRIVATE, 0)


def _mount_id(path: str) -> int:
    """Return the id of the mount that PATH is on."""
    fd = posix.open(path, O_PATH | posix.O_CLOEXEC)
    try:
        return mounted.mount_id("self", fd)
    finally:
        posix.close(fd)
