"""/mounts: every mount of the configuration, in its order (config.md, "Mounts").

Each mount is made detached, given its attributes, and only then attached to a
mount point that was resolved once, inside the rootfs, to a descriptor: there is
no moment at which a path could be swapped (CVE-2021-30465, CVE-2023-27561).
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import cgroupfs, mountopts, newfs, ondemand
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import CHILD, ROOT, Op, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount
    from pyrunc.plan.request import Request

ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
# What may be bound below /proc: what lxcfs emulates, and what engines hide.
PROC_FILES = frozenset(
    "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid "
    "sys/crypto/fips_enabled".split()
)
# With these, no mount of the container's stays a peer of one of the host's.
CUT_OFF = ("", "rslave", "rprivate")
HOST, INSIDE, CHILDS = "host", "inside", "child"


def child(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that make every mount, in order."""
    for index, mount in enumerate(config.mounts):
        at = f"/mounts/{index}"
        options = mountopts.of(mount)
        _refuse(mount, options, facts, at)
        ondemand.check_idmap(config, facts, mount, options, at)
        opened = {f"mount{index}"} if _opener(config, facts, options) in (HOST, INSIDE) else set()
        for op in _one(config, facts, request, mount, options, index):
            yield op
            opened.add(op.into)
        # Descriptors of ours must not limit how many mounts there are.
        yield Op("close", tuple(Slot(slot) for slot in sorted(opened - {""})))


def _one(
    config: Config, facts: HostFacts, request: Request, mount: Mount, options: mountopts.Options, index: int
) -> Iterator[Op]:
    """Return the ops that make MOUNT, number INDEX."""
    if "remount" in options.ours:
        return newfs.change(mount, options, index)
    if options.bind:
        return _bind(config, facts, request, mount, options, index)
    if cgroupfs.wanted(mount, facts):
        return cgroupfs.mounts(config, facts, request, mount, options, index)
    return newfs.new(config, mount, options, index)


def host(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that open, before the fork, what is to stay a peer of the host's mount."""
    if not has(config.linux, "user"):
        yield from ondemand.idmap_namespaces(config)
    for index, mount in enumerate(config.mounts):
        options = mountopts.of(mount)
        if _opener(config, facts, options) == HOST:
            source, flags = _source(request, mount, options)
            at, tree, doing = f"/mounts/{index}/source", Slot(f"mount{index}"), newfs.describe(mount)
            yield Op("open_tree", (m.AT_FDCWD, source, flags), at, tree, doing)
            yield Op("make_private_beside", (tree, source, request.rootfs), at, doing=doing)


def sources_by_helper(config: Config, facts: HostFacts, request: Request) -> list[Op]:
    """Return the host's side of barrier sources: open what root of a user namespace could not reach.

    By the host's root, but in the child's mount namespace: there the kernel has
    locked what the host's mounts forbid (mount_namespaces(7)).  An ordinary user
    has nothing to add to what the child may do, who is the same user.
    """
    ops: list[Op] = []
    for index, mount in enumerate(config.mounts if has(config.linux, "user") else ()):
        options = mountopts.of(mount)
        if _opener(config, facts, options) == INSIDE:
            tree, args, doing = Slot(f"mount{index}"), (CHILD, *_source(request, mount, options)), newfs.describe(mount)
            ops.append(Op("open_tree_by_helper", args, f"/mounts/{index}/source", tree, doing))
            ops += [*ondemand.idmap(config, mount, options, index, doing), Op("give", (tree,))]
    return barrier("sources", *ondemand.idmap_namespaces(config), *ops, Op("end_helper")) if ops else []


def receive_sources(config: Config, facts: HostFacts) -> Iterator[Op]:
    """Yield the child's side of barrier sources."""
    binds = (mountopts.of(mount) for mount in config.mounts)
    if has(config.linux, "user") and any(_opener(config, facts, options) == INSIDE for options in binds):
        yield Op("barrier", ("sources",))


def after_cgroup(mount: Mount) -> bool:
    """Return whether MOUNT may only be made once the process sits in its cgroups."""
    return mount.type in ("cgroup", "cgroup2") or "tmpcopyup" in mount.options


def _refuse(mount: Mount, options: mountopts.Options, facts: HostFacts, at: str) -> None:
    """Refuse what would break the rules about /proc, what means nothing, and what this kernel cannot do."""
    if "tmpcopyup" in options.ours and (options.bind or mount.type != "tmpfs" or "remount" in options.ours):
        pointer = f"{at}/options/{mount.options.index('tmpcopyup')}"
        raise ConfigError("tmpcopyup is for new mounts of type tmpfs", pointer=pointer, hint="remove it, or change the type")
    if "remount" in options.ours and mountopts.idmapped(mount):
        pointer = f"{at}/options/{mount.options.index('remount')}"
        raise ConfigError("a mount that is there already cannot be idmapped", pointer=pointer, hint="remove one of both")
    words = [(word, mount.options.index(word)) for word in options.superblock] + [*options.data]
    for option, number in words if options.bind else ():
        text = f'mount option "{option}" means nothing for a bind mount'
        raise ConfigError(text, pointer=f"{at}/options/{number}", hint="remove it")
    symfollow = m.MOUNT_ATTR_NOSYMFOLLOW & (options.attr_set | options.attr_clr | options.rec_set | options.rec_clr)
    if symfollow and not facts.has_nosymfollow:
        number = next(i for i, option in enumerate(mount.options) if option.endswith("symfollow"))
        pointer, hint = f"{at}/options/{number}", "Linux 5.14 has it"
        raise UnsupportedError(f"this kernel has no {mount.options[number]}", pointer=pointer, hint=hint)
    _refuse_proc(mount, options, at)


def _refuse_proc(mount: Mount, options: mountopts.Options, at: str) -> None:
    """Refuse what would stand on or below /proc and is neither procfs nor a file that may be replaced."""
    path = mount.destination
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
    config: Config, facts: HostFacts, request: Request, mount: Mount, options: mountopts.Options, index: int
) -> Iterator[Op]:
    """Bind a file or directory of the host."""
    at, doing = f"/mounts/{index}", newfs.describe(mount)
    tree, point = Slot(f"mount{index}"), Slot(f"point{index}")
    if has(config.linux, "user"):
        options = _without_atime(options)
    opener = _opener(config, facts, options)
    if opener == CHILDS:
        yield Op("open_tree", (m.AT_FDCWD, *_source(request, mount, options)), f"{at}/source", tree, doing)
    if opener != INSIDE:
        yield from ondemand.idmap(config, mount, options, index, doing)
    yield Op("mount_point", (ROOT, mount.destination, tree), f"{at}/destination", point, doing)
    yield from newfs.attributes(tree, options, index, doing, default=_default_propagation(config))
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)


def _source(request: Request, mount: Mount, options: mountopts.Options) -> tuple[str, int]:
    """Return the path whose mount is copied, detached, and the flags for that."""
    source = mount.source or ""
    if not source.startswith("/"):
        source = f"{request.bundle}/{source}"
    return source, m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | (m.AT_RECURSIVE if options.rbind else 0)


def _opener(config: Config, facts: HostFacts, options: mountopts.Options) -> str:
    """Return who opens the source of a bind mount: the child, the host before the fork, or the host inside; "" for no source."""
    if not options.bind or "remount" in options.ours:
        return ""
    if has(config.linux, "user"):
        return CHILDS if facts.user else INSIDE
    wanted = config.linux.rootfsPropagation or ""
    peers = wanted not in CUT_OFF and any(flag == m.MS_SHARED for flag, _ in options.propagation)
    return HOST if peers or wanted in ("shared", "rshared") else CHILDS


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
