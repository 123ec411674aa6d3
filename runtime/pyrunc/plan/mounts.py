"""/mounts: every mount of the configuration, in its order (config.md, "Mounts").

Each mount is made detached, given its attributes, and only then attached to a
mount point that was resolved once, inside the rootfs, to a descriptor: there is
no moment at which a path could be swapped (CVE-2021-30465, CVE-2023-27561).
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import cgroupfs, idmap, mountopts
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
MOUNT_DATA_MAX = 4095  # of which mount(2) reads one page, and silently no more
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
        options = mountopts.of(mount)
        _refuse(mount, options, facts, at)
        if idmap.wanted(mount, options):
            idmap.check(config, facts, mount, options, at)
        if options.bind:
            yield from _bind(config, request, mount, options, index)
        elif cgroupfs.wanted(mount, facts):
            yield from cgroupfs.mounts(config, facts, request, mount, options, index)
        elif _classic_only(options):
            yield from _classic(mount, options, index)
        else:
            yield from _new(config, mount, options, index)


def host(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that open, before the fork, what is to stay a peer of the host's mount."""
    if not has(config.linux, "user"):
        yield from idmap.namespaces(config)
    for index, mount in enumerate(config.mounts):
        options = mountopts.of(mount)
        if options.bind and _opener(config, options) == HOST:
            args = (m.AT_FDCWD, *_source(request, mount, options))
            yield Op("open_tree", args, f"/mounts/{index}/source", Slot(f"mount{index}"), describe(mount))


def inside(config: Config, request: Request) -> list[Op]:
    """Return the host's side of barrier sources: open what root of a user namespace could not reach.

    By the host's root, but in the child's mount namespace: there the kernel has
    locked what the host's mounts forbid (mount_namespaces(7)).
    """
    ops: list[Op] = []
    for index, mount in enumerate(config.mounts):
        options = mountopts.of(mount)
        if options.bind and _opener(config, options) == INSIDE:
            tree, args, doing = Slot(f"mount{index}"), (CHILD, *_source(request, mount, options)), describe(mount)
            ops.append(Op("open_tree_inside", args, f"/mounts/{index}/source", tree, doing))
            ops += [*idmap.apply(config, mount, options, index, doing), Op("give", (tree,))]
    return barrier("sources", *idmap.namespaces(config), *ops, Op("leave_inside")) if ops else []


def receive(config: Config) -> Iterator[Op]:
    """Yield the child's side of barrier sources."""
    binds = (mountopts.of(mount) for mount in config.mounts)
    if any(options.bind and _opener(config, options) == INSIDE for options in binds):
        yield Op("barrier", ("sources",))


def after_cgroup(mount: Mount) -> bool:
    """Return whether MOUNT may only be made once the process sits in its cgroups."""
    return mount.type in ("cgroup", "cgroup2") or "tmpcopyup" in mount.options


def describe(mount: Mount) -> str:
    """Say what is being mounted, in the words that runc's users grep for."""
    return f'error mounting "{mount.source or mount.type}" to rootfs at "{mount.destination}"'


def _refuse(mount: Mount, options: mountopts.Options, facts: HostFacts, at: str) -> None:
    """Refuse what would break the rules about /proc, and what this kernel cannot do."""
    if "tmpcopyup" in options.ours and (options.bind or mount.type != "tmpfs"):
        pointer = f"{at}/options/{mount.options.index('tmpcopyup')}"
        raise ConfigError("tmpcopyup is for mounts of type tmpfs", pointer=pointer, hint="remove it, or change the type")
    symfollow = m.MOUNT_ATTR_NOSYMFOLLOW & (options.attr_set | options.attr_clr | options.rec_set | options.rec_clr)
    if symfollow and not facts.has_nosymfollow:
        number = next(i for i, option in enumerate(mount.options) if option.endswith("symfollow"))
        pointer, hint = f"{at}/options/{number}", "Linux 5.14 has it"
        raise UnsupportedError(f"this kernel has no {mount.options[number]}", pointer=pointer, hint=hint)
    for option, number in options.data:
        if option == "remount":
            hint = "give the options to the mount itself"
            raise UnsupportedError("remount is not supported", pointer=f"{at}/options/{number}", hint=hint)
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
    if _opener(config, options) != INSIDE:
        yield from idmap.apply(config, mount, options, index, doing)
    yield Op("mount_point", (ROOT, mount.destination, tree), f"{at}/destination", point, doing)
    yield from attributes(tree, options, index, doing, default=_default_propagation(config))
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)
    words = [(word, mount.options.index(word)) for word in options.superblock] + [*options.data]
    for option, number in words:
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
    if options.rec_set or options.rec_clr:
        args = (tree, "", empty | m.AT_RECURSIVE, options.rec_set, options.rec_clr, 0, 0)
        yield Op("mount_setattr", args, at, doing=doing)
    if options.attr_set or options.attr_clr:
        args = (tree, "", empty, options.attr_set, options.attr_clr, 0, 0)
        yield Op("mount_setattr", args, at, doing=doing)
    chosen = options.propagation or (((default, True),) if default else ())
    for flag, recursive in chosen:
        flags = empty | (m.AT_RECURSIVE if recursive else 0)
        yield Op("mount_setattr", (tree, "", flags, 0, 0, flag, 0), at, doing=doing)


def _new(config: Config, mount: Mount, options: mountopts.Options, index: int) -> Iterator[Op]:
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
    yield from _parameters(context, mount, options, at, doing)
    keys = {option.partition("=")[0] for option, _ in options.data}
    if fstype == "tmpfs" and "mode" not in keys:
        yield Op("tmpfs_mode", (context, point), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at, doing=doing)
    wanted = options.attributes
    copies = "tmpcopyup" in options.ours
    late = m.MOUNT_ATTR_RDONLY & wanted if copies else 0
    yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, wanted & ~late), at, tree, doing)
    if copies:
        # A user namespace allows no mknod(2), and its file systems no devices.
        devices = not has(config.linux, "user") and not wanted & m.MOUNT_ATTR_NODEV
        args = (point, tree, not keys & {"uid", "gid"}, devices)
        yield Op("copy_up", args, f"{at}/options/{mount.options.index('tmpcopyup')}", doing=doing)
    yield from idmap.apply(config, mount, options, index, doing)
    left = options.replace(attr_set=late, attr_clr=0, rec_set=0, rec_clr=0)
    yield from attributes(tree, left, index, doing)
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)


def _parameters(context: Slot, mount: Mount, options: mountopts.Options, at: str, doing: str) -> Iterator[Op]:
    """Yield the ops that tell a new file system its source and its own options."""
    set_string, set_flag = m.FSCONFIG_SET_STRING, m.FSCONFIG_SET_FLAG
    yield Op("fsconfig", (context, set_string, "source", mount.source or mount.type, 0), f"{at}/source", doing=doing)
    for word in options.superblock:
        where = f"{at}/options/{mount.options.index(word)}"
        yield Op("fsconfig", (context, set_flag, word, None, 0), where, doing=doing)
    for option, number in options.data:
        key, equals, value = option.partition("=")
        command = set_string if equals else set_flag
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
        flags |= mountopts.SUPERBLOCK[word]
    args = (point, mount.source or mount.type, mount.type, flags, data)
    yield Op("mount_on", args, f"{at}/options", tree, doing)
    left = options.replace(attr_set=options.attributes, rec_set=0, rec_clr=0)
    yield from attributes(tree, left, index, doing)
