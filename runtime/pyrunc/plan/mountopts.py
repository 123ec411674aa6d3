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
    "nodiratime": (m.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, m.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (m.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, m.MOUNT_ATTR_NOSYMFOLLOW),
}
# The same with an "r" before, for the mount and all below it.
RECURSIVE = {f"r{name}": value for name, value in ATTRIBUTES.items()}
READ_ONLY = tuple(word for table in (ATTRIBUTES, RECURSIVE) for word, (on, _) in table.items() if on & m.MOUNT_ATTR_RDONLY)
# How access times are kept: option -> (flags of mount(2) set, flags cleared).  Each word has a flag of its own, as with
# mount(8): `atime` undoes a `noatime` before it and no more.  Of several that are left the strongest holds.
TIMES = {
    "noatime": (m.MS_NOATIME, 0),
    "atime": (0, m.MS_NOATIME),
    "relatime": (m.MS_RELATIME, 0),
    "norelatime": (0, m.MS_RELATIME),
    "strictatime": (m.MS_STRICTATIME, 0),
    "nostrictatime": (0, m.MS_STRICTATIME),
}
RECURSIVE_TIMES = {f"r{name}": value for name, value in TIMES.items()}
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
# crun's words for a whole tree.  A superblock has no tree: of a new file system they mean what the plain words mean.
RECURSIVE_SUPERBLOCK = {"rsync": "sync", "rdirsync": "dirsync", "rmand": "mand"}
RECURSIVE_SUPERBLOCK_UNDONE = {"rasync": "sync", "rnomand": "mand"}
# Words that change nothing: a default anyway, and what mount(8) keeps for itself.  So is an empty one, which buildah writes.
NOTHING = frozenset(("defaults", "loud", "silent"))
BIND = frozenset(("bind", "rbind"))
# What counts as a flag of a bind mount: with one of these, those that are not named are cleared.
FLAGS = frozenset((*ATTRIBUTES, *TIMES, *SUPERBLOCK, *SUPERBLOCK_UNDONE, "loud", "silent"))
# What the runtime does itself.
OURS = frozenset(("copy-symlink", "dest-nofollow", "idmap", "remount", "ridmap", "src-nofollow", "tmpcopyup"))
# Of these, what is for bind mounts only: crun's words about links (crun(1)).
ABOUT_LINKS = ("copy-symlink", "dest-nofollow", "src-nofollow")
# Of these, what may have a value: mappings of the option's own (plan/idmapoption.py).
MAPPED = ("idmap", "ridmap")
TABLES = (
    ATTRIBUTES,
    RECURSIVE,
    TIMES,
    RECURSIVE_TIMES,
    PROPAGATION,
    RECURSIVE_PROPAGATION,
    SUPERBLOCK,
    SUPERBLOCK_UNDONE,
    RECURSIVE_SUPERBLOCK,
    RECURSIVE_SUPERBLOCK_UNDONE,
    NOTHING,
    BIND,
    OURS,
)


# What may follow a comma in a label of SELinux: categories, as in context=system_u:object_r:container_file_t:s0:c1,c2.
LABELS = ("context=", "fscontext=", "defcontext=", "rootcontext=")


class Options(Record):
    """The options of one mount, sorted by who takes them.

    What `rec_` says is for the whole tree and is done first, what `attr_` says is for its top.  `named` says that there is a
    flag of the mount at all, `undone` which flags of mount(2) for access times were taken back by name.
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
    named: bool = False
    undone: int = 0

    @property
    def attributes(self) -> int:
        """Return the attributes of a mount that begins without any."""
        return self.rec_set & ~self.attr_clr | self.attr_set


def idmapped(mount: Mount) -> bool:
    """Return whether MOUNT is to be idmapped; mappings alone ask for it too."""
    named = any("idmap" in option for option in mount.options) and parse(mount.options).ours & {"idmap", "ridmap"}
    return bool(mount.uidMappings or mount.gidMappings or named)


def of(mount: Mount) -> Options:
    """Return the options of MOUNT.  One of type bind is a bind mount, even where its options forget to say so."""
    options = parse(mount.options)
    return options.replace(bind=True) if mount.type == "bind" else options


def place(mount: Mount, *words: str) -> int:
    """Return which of MOUNT's options holds one of WORDS, that is there."""
    return next(index for word, index in split(mount.options) if word in words or _without_value(word) in words)


def _without_value(word: str) -> str:
    """Return the option that WORD is, without the value that some of ours may have."""
    name = word.partition("=")[0]
    return name if name in MAPPED else word


def split(options: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return each word of OPTIONS with the index of its option: several may stand in one, with commas, as for mount(8).

    Not at a comma within double quotes, after a backslash (overlay's lowerdir), or between categories of a label.
    """
    found: list[tuple[str, int]] = []
    for index, option in enumerate(options):
        if "," not in option:
            found.append((option, index))
            continue
        word = ""
        for piece in option.split(","):
            whole = word.count('"') % 2 == 0 and not word.endswith("\\")
            category = word.startswith(LABELS) and piece[:1] == "c" and piece[1:2].isdigit()
            if word and (not whole or category):
                word += "," + piece
                continue
            found += [(word, index)] if word else []
            word = piece
        found.append((word, index))
    return found


def plain(word: str) -> str:
    """Return the superblock's own word for WORD, which may be the recursive one."""
    return RECURSIVE_SUPERBLOCK.get(word, word)


class _Times:
    """Which words for access times hold, for the tree and for its top."""

    def __init__(self) -> None:
        """Begin without any."""
        self.top = self.tree = 0  # flags of mount(2)
        self.recursive = False
        self.lost = 0  # what the tree has and the top has not
        self.undone = 0

    def plain(self, on: int, off: int) -> None:
        """Take a word for the top."""
        self.top = self.top & ~off | on
        self.lost = self.lost & ~on | off & self.tree
        self.undone = self.undone & ~on | off

    def deep(self, on: int, off: int) -> None:
        """Take a word for the tree, and so for its top."""
        self.tree = self.tree & ~off | on
        self.recursive = True
        self.top = self.lost = self.undone = 0

    def for_top(self) -> tuple[int, int]:
        """Return the attributes to set and clear on the top: none where nothing says how access times are kept there."""
        if self.top:
            return _kept(self.top), m.MOUNT_ATTR__ATIME
        return (_kept(self.tree & ~self.lost), m.MOUNT_ATTR__ATIME) if self.lost else (0, 0)

    def for_tree(self) -> tuple[int, int]:
        """Return the attributes to set and clear on the tree.  One of these words is always a choice, if of the default."""
        return (_kept(self.tree), m.MOUNT_ATTR__ATIME) if self.recursive else (0, 0)


def _kept(flags: int) -> int:
    """Return the attribute for FLAGS of mount(2), of which the strongest holds; relatime for none, as in the kernel."""
    if flags & m.MS_STRICTATIME:
        return m.MOUNT_ATTR_STRICTATIME
    return m.MOUNT_ATTR_NOATIME if flags & m.MS_NOATIME else m.MOUNT_ATTR_RELATIME


def parse(options: tuple[str, ...]) -> Options:
    """Sort OPTIONS; a later one undoes an earlier one that it contradicts.

    `data` keeps (option, its index), so that an error can point to it.
    """
    attr_set = attr_clr = rec_set = rec_clr = 0
    times = _Times()
    bind = rbind = named = False
    propagation: list[tuple[int, bool]] = []
    superblock: list[str] = []
    ours: set[str] = set()
    data: list[tuple[str, int]] = []
    for option, index in split(options):
        if option in ATTRIBUTES:
            on, off = ATTRIBUTES[option]
            attr_set, attr_clr = attr_set & ~off | on, attr_clr & ~on | off
        elif option in RECURSIVE:
            on, off = RECURSIVE[option]
            rec_set, rec_clr = rec_set & ~off | on, rec_clr & ~on | off
            attr_set, attr_clr = attr_set & ~(on | off), attr_clr & ~(on | off)  # it is for the top too
        elif option in TIMES:
            times.plain(*TIMES[option])
        elif option in RECURSIVE_TIMES:
            times.deep(*RECURSIVE_TIMES[option])
        elif option in BIND:
            bind, rbind = True, rbind or option == "rbind"
        elif option in PROPAGATION:
            propagation.append((PROPAGATION[option], False))
        elif option in RECURSIVE_PROPAGATION:
            propagation.append((RECURSIVE_PROPAGATION[option], True))
        elif option in SUPERBLOCK:
            superblock.append(option)
        elif option in SUPERBLOCK_UNDONE:
            superblock = [word for word in superblock if plain(word) != SUPERBLOCK_UNDONE[option]]
        elif option in RECURSIVE_SUPERBLOCK:
            superblock.append(option)
        elif option in RECURSIVE_SUPERBLOCK_UNDONE:
            superblock = [word for word in superblock if plain(word) != RECURSIVE_SUPERBLOCK_UNDONE[option]]
        elif _without_value(option) in OURS:
            ours.add(_without_value(option))
        elif option and option not in NOTHING:
            data.append((option, index))
        named = named or option in FLAGS
    top, tree = times.for_top(), times.for_tree()
    return Options(
        bind=bind,
        rbind=rbind,
        attr_set=attr_set | top[0],
        attr_clr=attr_clr | top[1],
        rec_set=rec_set | tree[0],
        rec_clr=rec_clr | tree[1],
        propagation=tuple(propagation),
        superblock=tuple(superblock),
        ours=frozenset(ours),
        data=tuple(data),
        named=named,
        undone=times.undone | (m.MS_NODIRATIME if attr_clr & m.MOUNT_ATTR_NODIRATIME else 0),
    )
