"""The root directory of a container's init, as the host's procfs shows it."""

from __future__ import annotations

import posix
from errno import EACCES, ENOENT, EPERM, ESRCH

from pyrunc.linux.fs import O_PATH, mount_id

UNSEEN = -1
HIDDEN = (EACCES, EPERM)  # to who may not trace it (ptrace(2))
GONE = (ENOENT, ESRCH)  # a process, or its first thread, that has ended has no root


def open_root(pid: int) -> int:
    """Return the root directory of process PID, or UNSEEN where that is gone, or not for us to see."""
    try:
        return posix.open(f"/proc/{pid}/root", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (*HIDDEN, *GONE):
            raise
        return UNSEEN


def mount_of(pid: int) -> int:
    """Return the id of the mount that is the root of process PID, or 0 where it is not to be seen."""
    root = open_root(pid)
    if root == UNSEEN:
        return 0
    try:
        return mount_id(root)
    finally:
        posix.close(root)
