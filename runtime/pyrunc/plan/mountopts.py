"""Mount options: the specification's table (config.md, "Linux mount options").

mount(8)'s words become attributes of mount_setattr(2); what is not in a table
here belongs to the file system and is handed to it.
"""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.mounts import Mount

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
# What undoes them.
SUPERBLOCK_UNDONE = {"async": "sync", "nomand": "mand", "nolazytime": "lazytime", "noiversion": "iversion"}
# Words that are a default anyway, and what mount(8) keeps for itself.  So is an empty one, which buildah writes.
NOTHING = frozenset(("defaults", "loud", "silent"))
BIND = frozenset(("bind", "rbind"))
# What the runtime does itself.
OURS = frozenset(("idmap", "remount", "ridmap", "tmpcopyup"))
TABLES = (
    ATTRIBUTES,
    RECURSIVE,
    PROPAGATION,
    RECURSIVE_PROPAGATION,
    SUPERBLOCK,
    SUPERBLOCK_UNDONE,
    NOTHING,
    BIND,
    OURS,
)


class Options(Record):
    """The options of one mount, sorted by who takes them.

    What `rec_` says is for the whole tree and is done first, what `attr_` says is for its top.
    """

    bind: bool = False
    rbind: bool = False
    attr_set: int = 0
    attr_clr: int = 0
    rec_set: int = 0
    rec_clr: int = 0
    propagation: tuple[tuple[int, bool], ...] = ()
    superblock: tuple[str, ...] = ()
    ours: frozenset[str] = frozenset()
    data: tuple[tuple[str, int], ...] = ()

    @property
    def attributes(self) -> int:
        """Return the attributes of a mount that begins without any."""
        return self.rec_set & ~self.attr_clr | self.attr_set


def idmapped(mount: Mount) -> bool:
    """Return whether MOUNT is to be idmapped; mappings alone ask for it too."""
    return bool(mount.uidMappings or mount.gidMappings or "idmap" in mount.options or "ridmap" in mount.options)


def of(mount: Mount) -> Options:
    """Return the options of MOUNT.  One of type bind is a bind mount, even where its options forget to say so."""
    options = parse(mount.options)
    return options.replace(bind=True) if mount.type == "bind" else options


def parse(options: tuple[str, ...]) -> Options:
    """Sort OPTIONS; a later one undoes an earlier one that it contradicts.

    `data` keeps (option, its index), so that an error can point to it.
    """
    attr_set = attr_clr = rec_set = rec_clr = 0
    bind = rbind = False
    propagation: list[tuple[int, bool]] = []
    superblock: list[str] = []
    ours: set[str] = set()
    data: list[tuple[str, int]] = []
    for index, option in enumerate(options):
        if option in ATTRIBUTES:
            on, off = ATTRIBUTES[option]
            attr_set, attr_clr = attr_set & ~off | on, attr_clr & ~on | off
        elif option in RECURSIVE:
            on, off = RECURSIVE[option]
            rec_set, rec_clr = rec_set & ~off | on, rec_clr & ~on | off
            attr_set, attr_clr = attr_set & ~(on | off), attr_clr & ~(on | off)  # it is for the top too
        elif option in BIND:
            bind, rbind = True, rbind or option == "rbind"
        elif option in PROPAGATION:
            propagation.append((PROPAGATION[option], False))
        elif option in RECURSIVE_PROPAGATION:
            propagation.append((RECURSIVE_PROPAGATION[option], True))
        elif option in SUPERBLOCK:
            superblock.append(option)
        elif option in SUPERBLOCK_UNDONE:
            superblock = [word for word in superblock if word != SUPERBLOCK_UNDONE[option]]
        elif option in OURS:
            ours.add(option)
        elif option and option not in NOTHING:
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
        ours=frozenset(ours),
        data=tuple(data),
    )
