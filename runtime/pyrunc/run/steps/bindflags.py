"""Flags of a bind mount where a user namespace may have locked some of them (mount_namespaces(7))."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError
from pyrunc.linux import mount as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

# The flags that can be locked: statvfs(3) tells them by the same numbers as mount_setattr(2) takes them.
SWITCHES = {
    m.MOUNT_ATTR_RDONLY: "ro",
    m.MOUNT_ATTR_NOSUID: "nosuid",
    m.MOUNT_ATTR_NODEV: "nodev",
    m.MOUNT_ATTR_NOEXEC: "noexec",
}
# How access times are kept is locked as a whole: statvfs(3)'s flag, mount_setattr(2)'s, mount(2)'s, the word.
TIMES = (
    (0x400, m.MOUNT_ATTR_NOATIME, m.MS_NOATIME, "noatime"),
    (0x800, m.MOUNT_ATTR_NODIRATIME, m.MS_NODIRATIME, "nodiratime"),
    (0x1000, m.MOUNT_ATTR_RELATIME, m.MS_RELATIME, "relatime"),
)
ALL_TIMES = m.MOUNT_ATTR__ATIME | m.MOUNT_ATTR_NODIRATIME


def set_bind_flags(_: Context, tree: int, on: int, off: int, named: int, undone: int) -> None:
    """Set ON and clear OFF on TREE, but for what is locked: that stays, unless the configuration names it.

    NAMED are the flags of mount_setattr(2) that it wants cleared, UNDONE those of mount(2) for access times.  Raises
    OpError if one of these is locked, or if ON and OFF want access times kept otherwise than they are.
    """
    try:
        m.mount_setattr(tree, "", m.AT_EMPTY_PATH, on, off, 0, 0)
        return
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
    found = posix.fstatvfs(tree).f_flag
    locked = found & sum(SWITCHES)
    words = [word for flag, word in SWITCHES.items() if locked & named & flag]
    words += [word for flag, _attribute, old, word in TIMES if found & flag and undone & old]
    if words:
        text = f"cannot clear locked flags: the host's mount is {','.join(words)}: operation not permitted"
        raise OpError(text, errno=errno.EPERM, hint="keep the flag that the host's mount has")
    if off & m.MOUNT_ATTR__ATIME and on & ALL_TIMES != _times(found):
        words = [word for flag, _attribute, _old, word in TIMES if found & flag] or ["strictatime"]
        text = f"cannot change locked atime flags: the host's mount is {','.join(words)}: operation not permitted"
        raise OpError(text, errno=errno.EPERM, hint="keep the flag that the host's mount has")
    m.mount_setattr(tree, "", m.AT_EMPTY_PATH, on & ~ALL_TIMES | locked, off & ~ALL_TIMES & ~sum(SWITCHES), 0, 0)


def _times(found: int) -> int:
    """Return how the access times of a mount with flags FOUND are kept, as mount_setattr(2) says it."""
    kept = sum(attribute for flag, attribute, _old, _word in TIMES if found & flag)
    return kept if found & 0x1400 else kept | m.MOUNT_ATTR_STRICTATIME
