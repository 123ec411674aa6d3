"""New file systems (tmpfs, proc, sysfs, mqueue, devpts), and the attributes of any mount (config.md, "Mounts").

By fsopen(2), fsconfig(2) and fsmount(2), so that each option is refused by its
own name; by mount(2) only where these cannot say it.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.oci.crun import CONTEXTS
from pyrunc.plan import mountopts, ondemand
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount

# fsconfig(2) takes values shorter than this; longer ones go through mount(2).
FSCONFIG_VALUE_MAX = 256
MOUNT_DATA_MAX = 4095  # of which mount(2) reads one page, and silently no more
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
# File systems in which what is to be mounted below may still have to be made.
FILLED_LATER = ("tmpfs", "ramfs", "overlay")
# File systems on devices (those in /proc/filesystems without "nodev"), which are of no namespace.
ON_DEVICES = frozenset(
    "bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs hfs hfsplus iso9660 jfs msdos nilfs2 ntfs3 reiserfs squashfs udf vfat "
    "xfs".split()
)


def describe(mount: Mount) -> str:
    """Say what is being mounted, in the words that runc's users grep for."""
    return f'error mounting "{mount.source or mount.type}" to rootfs at "{mount.destination}"'


def read_only_later(mount: Mount, options: mountopts.Options) -> bool:
    """Return whether MOUNT is to be read-only, but only once all that goes below it is there (plan/mounts.py, `read_only`).

    A bind is so at once: in a directory of the host's nothing is made that the configuration calls read-only.
    """
    wanted = options.attributes & m.MOUNT_ATTR_RDONLY
    return bool(wanted and not options.bind and (mount.type in FILLED_LATER or mount.destination.rstrip("/") == "/dev"))


def attributes(tree: Slot, options: mountopts.Options, index: int, doing: str) -> Iterator[Op]:
    """Yield the ops that give mount TREE its attributes: to all of it, then to its top."""
    at = f"/mounts/{index}/options"
    if options.rec_set or options.rec_clr:
        args = (tree, "", m.AT_EMPTY_PATH | m.AT_RECURSIVE, options.rec_set, options.rec_clr, 0, 0)
        yield Op("mount_setattr", args, at, doing=doing)
    if options.attr_set or options.attr_clr:
        args = (tree, "", m.AT_EMPTY_PATH, options.attr_set, options.attr_clr, 0, 0)
        yield Op("mount_setattr", args, at, doing=doing)


def propagation(tree: Slot, options: mountopts.Options, index: int, doing: str, *, default: int = 0) -> Iterator[Op]:
    """Yield the ops that give mount TREE its propagation, which is DEFAULT if nothing says (0: as it is)."""
    chosen = options.propagation or (((default, True),) if default else ())
    for flag, recursive in chosen:
        flags = m.AT_EMPTY_PATH | (m.AT_RECURSIVE if recursive else 0)
        yield Op("mount_setattr", (tree, "", flags, 0, 0, flag, 0), f"/mounts/{index}/options", doing=doing)


def new(config: Config, mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
    """Make a new file system and mount it."""
    if _classic_only(options):
        yield from _classic(mount, options, index)
        return
    at, doing = f"/mounts/{index}", describe(mount)
    tree, point = Slot(f"mount{index}"), Slot(f"point{index}")
    fstype = mount.type or ""
    if not fstype:
        raise ConfigError(
            f'mount on "{mount.destination}" has neither a type nor the option bind',
            pointer=f"{at}/type",
            hint='give a type such as "tmpfs", or the option "bind"',
        )
    # procfs and sysfs must not land on what a symbolic link in the image points to.
    kind = "directory!" if fstype in ("proc", "sysfs") else "directory"
    yield Op("mount_point", (ROOT, mount.destination, kind), f"{at}/destination", point, doing)
    if not by_host(config, mount, options):
        yield from make(mount, options, index)
    if "tmpcopyup" in options.ours:
        # A user namespace allows no mknod(2), and its file systems no devices.
        devices = not has(config.linux, "user") and not options.attributes & m.MOUNT_ATTR_NODEV
        own = not _keys(options) & {"uid", "gid"}
        args = (point, tree, own, devices)
        yield Op("copy_up", args, f"{at}/options/{mountopts.place(mount, 'tmpcopyup')}", doing=doing)
    yield from ondemand.idmap(config, mount, options, index, doing)
    yield from propagation(tree, options, index, doing)
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)


def by_host(config: Config, mount: Mount, options: mountopts.Options) -> bool:
    """Return whether the host makes the file system of MOUNT before the fork: one on a device, which the container's device
    rules may forbid.  No file system on a device can be mounted in a user namespace.
    """
    new = not options.bind and "remount" not in options.ours and not _classic_only(options)
    return new and _on_device(mount) and not has(config.linux, "user")


def make(mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
    """Make the file system of MOUNT, and a detached mount of it."""
    at, doing, fstype = f"/mounts/{index}", describe(mount), mount.type
    context, tree, point = Slot(f"fs{index}"), Slot(f"mount{index}"), Slot(f"point{index}")
    yield Op("fsopen", (fstype, m.FSOPEN_CLOEXEC), f"{at}/type", context, doing)
    source = mount.source or fstype
    yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "source", source, 0), f"{at}/source", doing=doing)
    if _opened_read_only(mount, options):
        where = f"{at}/options/{mountopts.place(mount, *mountopts.READ_ONLY)}"
        yield Op("fsconfig", (context, m.FSCONFIG_SET_FLAG, "ro", None, 0), where, doing=doing)
    yield from _parameters(context, mount, options, at, doing)
    if _takes_mode(mount, options):
        yield Op("tmpfs_mode", (context, point), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at, doing=doing)
    wanted = options.attributes & ~(m.MOUNT_ATTR_RDONLY if read_only_later(mount, options) else 0)
    yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, wanted), at, tree, doing)


def _on_device(mount: Mount) -> bool:
    """Return whether the file system of MOUNT lies on a device."""
    return mount.source.startswith("/") and mount.type in ON_DEVICES


def _opened_read_only(mount: Mount, options: mountopts.Options) -> bool:
    """Return whether the device of MOUNT is opened to read only: it may allow no more."""
    wanted = options.attributes & m.MOUNT_ATTR_RDONLY
    return bool(wanted) and _on_device(mount) and not read_only_later(mount, options)


def _keys(options: mountopts.Options) -> set[str]:
    """Return the names of the options that the file system takes."""
    return {option.partition("=")[0] for option, _ in options.data}


def _takes_mode(mount: Mount, options: mountopts.Options) -> bool:
    """Return whether MOUNT is a tmpfs that gets the mode of the directory below it."""
    return mount.type == "tmpfs" and "mode" not in _keys(options)


def _parameters(context: Slot, mount: Mount, options: mountopts.Options, at: str, doing: str) -> Iterator[Op]:
    """Yield the ops that tell a file system its own options."""
    set_string, set_flag = m.FSCONFIG_SET_STRING, m.FSCONFIG_SET_FLAG
    for word in options.superblock:
        where = f"{at}/options/{mountopts.place(mount, word)}"
        yield Op("fsconfig", (context, set_flag, mountopts.plain(word), None, 0), where, doing=doing)
    for option, number in options.data:
        key, equals, value = option.partition("=")
        command = set_string if equals else set_flag
        if key in CONTEXTS:  # whose quotes only mount(2) takes off
            value = value.replace('"', "")
        args = (context, command, key, value if equals else None, 0)
        yield Op("fsconfig", args, f"{at}/options/{number}", doing=doing)


def _classic_only(options: mountopts.Options) -> bool:
    """Return whether fsconfig(2) cannot say this: a value that is too long, as overlay's lowerdir may be, or iversion."""
    long = any(len(option.partition("=")[2].encode()) >= FSCONFIG_VALUE_MAX for option, _ in options.data)
    return long or "iversion" in options.superblock


def _classic(mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
    """Mount by mount(2), on the directory that a descriptor holds."""
    at, doing = f"/mounts/{index}", describe(mount)
    point, tree = Slot(f"point{index}"), Slot(f"mount{index}")
    refused = sorted(options.ours) or (["uidMappings"] if mount.uidMappings else [])
    data = ",".join(option for option, _ in options.data)
    if refused or len(data.encode()) > MOUNT_DATA_MAX:
        what = f"{refused[0]} beside such options" if refused else f"more than {MOUNT_DATA_MAX} bytes of options"
        hint = "shorten them: fewer layers, or shorter paths"
        raise UnsupportedError(f"{what} cannot be given to the kernel", pointer=f"{at}/options", hint=hint)
    yield Op("mount_point", (ROOT, mount.destination, "directory"), f"{at}/destination", point, doing)
    flags = 0
    for word in options.superblock:
        flags |= mountopts.SUPERBLOCK[mountopts.plain(word)]
    if _opened_read_only(mount, options):
        flags |= m.MS_RDONLY
    args = (point, mount.source or mount.type, mount.type, flags, data, _takes_mode(mount, options))
    yield Op("mount_on", args, f"{at}/options", tree, doing)
    late = m.MOUNT_ATTR_RDONLY if read_only_later(mount, options) else 0
    clear = (options.attr_clr | options.rec_clr) & (~options.attributes | m.MOUNT_ATTR__ATIME)
    left = options.replace(attr_set=options.attributes & ~late, attr_clr=clear, rec_set=0, rec_clr=0)
    yield from attributes(tree, left, index, doing)
    yield from propagation(tree, options, index, doing)


def change(mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
    """Change what is mounted there already (option remount): the attributes named, and, unless the option bind says
    that the mount alone is meant, its file system's options.
    """
    at, doing = f"/mounts/{index}", describe(mount)
    tree, context = Slot(f"mount{index}"), Slot(f"fs{index}")
    yield Op("open_mount", (ROOT, mount.destination), f"{at}/destination", tree, doing)
    if options.data or options.superblock:
        yield Op("fspick", (tree, "", m.FSPICK_CLOEXEC | m.FSPICK_EMPTY_PATH), at, context, doing)
        yield from _parameters(context, mount, options, at, doing)
        yield Op("fsconfig", (context, m.FSCONFIG_CMD_RECONFIGURE, None, None, 0), at, doing=doing)
    late = m.MOUNT_ATTR_RDONLY if read_only_later(mount, options) else 0
    left = options.replace(attr_set=options.attr_set & ~late, rec_set=options.rec_set & ~late)
    yield from attributes(tree, left, index, doing)
    yield from propagation(tree, options, index, doing)
