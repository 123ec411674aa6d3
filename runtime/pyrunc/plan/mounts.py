"""/mounts: every mount of the configuration, in its order (config.md, "Mounts").

Each mount is made detached, given its attributes, and only then attached to a
mount point that was resolved once, inside the rootfs, to a descriptor: there is
no moment at which a path could be swapped (CVE-2021-30465, CVE-2023-27561).
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import cgroupfs, mountopts
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import CHILD, ROOT, Op, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount
    from pyrunc.plan.request import Request

# fsconfig(2) takes values shorter than this; longer ones go through mount(2).
FSCONFIG_VALUE_MAX = 256
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
# What may be bound below /proc: what lxcfs emulates, and what engines hide.
PROC_FILES = frozenset(
    "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid "
    "sys/crypto/fips_enabled".split()
)
PROPAGATES = (m.MS_SHARED,)
HOST, INSIDE, CHILDS = "host", "inside", "child"


def child(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that make every mount, in order."""
    for index, mount in enumerate(config.mounts):
        at = f"/mounts/{index}"
        options = mountopts.parse(mount.options)
        _refuse(mount, options, at)
        if mount.type == "cgroup":
            yield from cgroupfs.mounts(config, facts, request, mount, options, index)
        elif options.bind:
            yield from _bind(config, request, mount, options, index)
        elif _too_long(options):
            yield from _classic(mount, options, index)
        else:
            yield from _new(mount, options, index)


def host(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that open, before the fork, what is to stay a peer of the host's mount."""
    for index, mount in enumerate(config.mounts):
        options = mountopts.parse(mount.options)
        if options.bind and _opener(config, options) == HOST:
            args = (m.AT_FDCWD, *_source(request, mount, options))
            yield Op("open_tree", args, f"/mounts/{index}/source", Slot(f"mount{index}"), describe(mount))


def inside(config: Config, request: Request) -> list[Op]:
    """Return the host's side of barrier sources: open what root of a user namespace could not reach.

    By the host's root, but in the child's mount namespace: there the kernel has
    locked what the host's mounts forbid (mount_namespaces(7)).
    """
    ops = []
    for index, mount in enumerate(config.mounts):
        options = mountopts.parse(mount.options)
        if mount.type != "cgroup" and options.bind and _opener(config, options) == INSIDE:
            tree, args = Slot(f"mount{index}"), (CHILD, *_source(request, mount, options))
            ops += [Op("open_tree_inside", args, f"/mounts/{index}/source", tree, describe(mount)), Op("give", (tree,))]
    return barrier("sources", *ops, Op("leave_inside")) if ops else []


def receive(config: Config) -> Iterator[Op]:
    """Yield the child's side of barrier sources."""
    binds = (mountopts.parse(mount.options) for mount in config.mounts if mount.type != "cgroup")
    if any(options.bind and _opener(config, options) == INSIDE for options in binds):
        yield Op("barrier", ("sources",))


def describe(mount: Mount) -> str:
    """Say what is being mounted, in the words that runc's users grep for."""
    return f'error mounting "{mount.source or mount.type}" to rootfs at "{mount.destination}"'


def _refuse(mount: Mount, options: mountopts.Options, at: str) -> None:
    """Refuse what would break the rules about /proc, and what is not done yet."""
    if mount.uidMappings or mount.gidMappings:
        raise UnsupportedError("idmapped mounts are not supported", pointer=f"{at}/uidMappings")
    for option, index in options.data:
        if option in ("idmap", "ridmap", "tmpcopyup"):
            pointer = f"{at}/options/{index}"
            raise UnsupportedError(f"mount option {option} is not supported", pointer=pointer)
    path = "/" + "/".join(part for part in mount.destination.split("/") if part not in ("", "."))
    if path == "/proc" and mount.type != "proc" and not _binds_proc(mount, options):
        raise ConfigError(
            f"a mount of type {mount.type or 'bind'} on /proc",
            pointer=f"{at}/type",
            hint="only procfs may stand there: system settings are written through it",
        )
    if path.startswith("/proc/") and path[6:] not in PROC_FILES:
        raise ConfigError(
            f'cannot mount on "{mount.destination}" because it is inside /proc',
            pointer=f"{at}/destination",
            hint="only files such as /proc/meminfo may be replaced",
        )


def _binds_proc(mount: Mount, options: mountopts.Options) -> bool:
    """Return whether this binds the host's own procfs, as containers in its pid namespace do."""
    return options.bind and (mount.source or "").rstrip("/") == "/proc"


def _bind(
    config: Config, request: Request, mount: Mount, options: mountopts.Options, index: int
) -> Iterator[Op]:
    """Bind a file or directory of the host."""
    at, doing = f"/mounts/{index}", describe(mount)
    tree, point = Slot(f"mount{index}"), Slot(f"point{index}")
    if has(config.linux, "user"):
        options = _without_atime(options)
    if _opener(config, options) == CHILDS:
        yield Op("open_tree", (m.AT_FDCWD, *_source(request, mount, options)), f"{at}/source", tree, doing)
    yield Op("mount_point", (ROOT, mount.destination, tree), f"{at}/destination", point, doing)
    yield from attributes(tree, options, index, doing, default=_default_propagation(config))
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)
    for option, number in options.data:
        raise ConfigError(
            f'mount option "{option}" means nothing for a bind mount',
            pointer=f"{at}/options/{number}",
            hint="remove it",
        )


def _source(request: Request, mount: Mount, options: mountopts.Options) -> tuple[str, int]:
    """Return the path whose mount is copied, detached, and the flags for that."""
    source = mount.source or ""
    if not source.startswith("/"):
        source = f"{request.bundle}/{source}"
    return source, m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | (m.AT_RECURSIVE if options.rbind else 0)


def _opener(config: Config, options: mountopts.Options) -> str:
    """Return who opens the source of a bind mount: the child, the host before the fork, or the host inside."""
    if has(config.linux, "user"):
        return INSIDE
    peers = any(flag in PROPAGATES for flag, _ in options.propagation)
    spread = (config.linux.rootfsPropagation or "") in ("shared", "rshared")
    return HOST if peers or spread else CHILDS


def _without_atime(options: mountopts.Options) -> mountopts.Options:
    """Return OPTIONS as far as a user namespace allows: how access times are kept is always the host's there."""
    own = ~(m.MOUNT_ATTR__ATIME | m.MOUNT_ATTR_NODIRATIME)
    return options.replace(
        attr_set=options.attr_set & own,
        attr_clr=options.attr_clr & own,
        rec_set=options.rec_set & own,
        rec_clr=options.rec_clr & own,
    )


def _default_propagation(config: Config) -> int:
    """Return the propagation of a bind mount that asks for none: what `/` got (0: leave it)."""
    spread = (config.linux.rootfsPropagation or "") in ("shared", "rshared")
    return 0 if spread else m.MS_SLAVE


def attributes(
    tree: Slot, options: mountopts.Options, index: int, doing: str, *, default: int = 0
) -> Iterator[Op]:
    """Yield the ops that give mount TREE its attributes and its propagation."""
    at = f"/mounts/{index}/options"
    empty = m.AT_EMPTY_PATH
    if options.attr_set or options.attr_clr:
        args = (tree, "", empty, options.attr_set, options.attr_clr, 0, 0)
        yield Op("mount_setattr", args, at, doing=doing)
    if options.rec_set or options.rec_clr:
        args = (tree, "", empty | m.AT_RECURSIVE, options.rec_set, options.rec_clr, 0, 0)
        yield Op("mount_setattr", args, at, doing=doing)
    chosen = options.propagation or (((default, True),) if default else ())
    for flag, recursive in chosen:
        flags = empty | (m.AT_RECURSIVE if recursive else 0)
        yield Op("mount_setattr", (tree, "", flags, 0, 0, flag, 0), at, doing=doing)


def _new(mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
    """Make a new file system and mount it."""
    at, doing = f"/mounts/{index}", describe(mount)
    context, tree, point = Slot(f"fs{index}"), Slot(f"mount{index}"), Slot(f"point{index}")
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
    yield Op("fsopen", (fstype, m.FSOPEN_CLOEXEC), f"{at}/type", context, doing)
    source = mount.source or fstype
    set_string, set_flag = m.FSCONFIG_SET_STRING, m.FSCONFIG_SET_FLAG
    yield Op("fsconfig", (context, set_string, "source", source, 0), f"{at}/source", doing=doing)
    for word in options.superblock:
        yield Op("fsconfig", (context, set_flag, word, None, 0), f"{at}/options", doing=doing)
    for option, number in options.data:
        key, equals, value = option.partition("=")
        where = f"{at}/options/{number}"
        command = set_string if equals else set_flag
        args = (context, command, key, value if equals else None, 0)
        yield Op("fsconfig", args, where, doing=doing)
    if fstype == "tmpfs" and not any(option.startswith("mode=") for option, _ in options.data):
        yield Op("tmpfs_mode", (context, point), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at, doing=doing)
    yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, options.attr_set), at, tree, doing)
    yield from attributes(tree, options.replace(attr_set=0, attr_clr=0), index, doing)
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)


def _too_long(options: mountopts.Options) -> bool:
    """Return whether a value is too long for fsconfig(2), as overlay's lowerdir may be."""
    return any(len(option.partition("=")[2].encode()) >= FSCONFIG_VALUE_MAX for option, _ in options.data)


def _classic(mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
    """Mount by mount(2), on the directory that a descriptor holds."""
    at, doing = f"/mounts/{index}", describe(mount)
    point, tree = Slot(f"point{index}"), Slot(f"mount{index}")
    yield Op("mount_point", (ROOT, mount.destination, "directory"), f"{at}/destination", point, doing)
    flags = 0
    for word in options.superblock:
        flags |= mountopts.SUPERBLOCK[word]
    data = ",".join(option for option, _ in options.data)
    yield Op("mount_on", (point, mount.source or mount.type, mount.type, flags, data), at, tree, doing)
    yield from attributes(tree, options, index, doing)
