"""Mount options: the specification's table (config.md, "Linux mount options").

mount(8)'s words become attributes of mount_setattr(2); what is not in a table
here belongs to the file system and is handed to it.
"""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.record import Record

# option -> (attributes set, attributes cleared)
ATTRIBUTES = {
    "ro": (m.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, m.MOUNT_ATTR_RDONLY),
    "nosuid": (m.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, m.MOUNT_ATTR_NOSUID),
    "nodev": (m.MOUNT_ATTR_NODEV, 0),
    "dev": (0, m.MOUNT_ATTR_NODEV),
    "noexec": (m.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, m.MOUNT_ATTR_NOEXEC),
    "noatime": (m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR__ATIME),
    "atime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "relatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "norelatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR__ATIME),
    "strictatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR__ATIME),
    "nostrictatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "nodiratime": (m.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, m.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (m.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, m.MOUNT_ATTR_NOSYMFOLLOW),
}
# The same with an "r" before, for the mount and all below it.
RECURSIVE = {f"r{name}": value for name, value in ATTRIBUTES.items()}
PROPAGATION = {
    "shared": m.MS_SHARED,
    "slave": m.MS_SLAVE,
    "private": m.MS_PRIVATE,
    "unbindable": m.MS_UNBINDABLE,
}
RECURSIVE_PROPAGATION = {f"r{name}": value for name, value in PROPAGATION.items()}
# Flags of the superblock: fsconfig(2) takes the word, mount(2) the flag.
SUPERBLOCK = {
    "sync": m.MS_SYNCHRONOUS,
    "dirsync": m.MS_DIRSYNC,
    "mand": m.MS_MANDLOCK,
    "lazytime": m.MS_LAZYTIME,
    "iversion": m.MS_I_VERSION,
}
# Words that undo a default, and what mount(8) keeps for itself.
NOTHING = frozenset(("defaults", "async", "nomand", "loud", "noiversion", "nolazytime", "silent"))
BIND = frozenset(("bind", "rbind"))


class Options(Record):
    """The options of one mount, sorted by who takes them."""

    bind: bool = False
    rbind: bool = False
    attr_set: int = 0
    attr_clr: int = 0
    rec_set: int = 0
    rec_clr: int = 0
    propagation: tuple[tuple[int, bool], ...] = ()
    superblock: tuple[str, ...] = ()
    data: tuple[tuple[str, int], ...] = ()


def parse(options: tuple[str, ...]) -> Options:
    """Sort OPTIONS; a later one undoes an earlier one that it contradicts.

    `data` keeps (option, its index), so that an error can point to it.
    """
    attr_set = attr_clr = rec_set = rec_clr = 0
    bind = rbind = False
    propagation: list[tuple[int, bool]] = []
    superblock: list[str] = []
    data: list[tuple[str, int]] = []
    for index, option in enumerate(options):
        if option in ATTRIBUTES:
            on, off = ATTRIBUTES[option]
            attr_set, attr_clr = attr_set & ~off | on, attr_clr & ~on | off
        elif option in RECURSIVE:
            on, off = RECURSIVE[option]
            rec_set, rec_clr = rec_set & ~off | on, rec_clr & ~on | off
        elif option in BIND:
            bind, rbind = True, rbind or option == "rbind"
        elif option in PROPAGATION:
            propagation.append((PROPAGATION[option], False))
        elif option in RECURSIVE_PROPAGATION:
            propagation.append((RECURSIVE_PROPAGATION[option], True))
        elif option in SUPERBLOCK:
            superblock.append(option)
        elif option not in NOTHING:
            data.append((option, index))
    return Options(
        bind=bind,
        rbind=rbind,
        attr_set=attr_set,
        attr_clr=attr_clr,
        rec_set=rec_set,
        rec_clr=rec_clr,
        propagation=tuple(propagation),
        superblock=tuple(superblock),
        data=tuple(data),
    )
