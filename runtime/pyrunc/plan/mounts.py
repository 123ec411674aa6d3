"""/mounts: every mount of the configuration, in its order (config.md, "Mounts").

Each mount is made detached, given its attributes, and only then attached to a
mount point that was resolved once, inside the rootfs, to a descriptor: there is
no moment at which a path could be swapped (CVE-2021-30465, CVE-2023-27561).
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import bindflags, cgroupfs, mountopts, newfs, ondemand, sources
from pyrunc.plan.op import ROOT, Op, Slot

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


def child(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that make every mount, in order; `read_only` has those that come last."""
    for index, mount in enumerate(config.mounts):
        at = f"/mounts/{index}"
        options = mountopts.of(mount)
        _refuse(mount, options, facts, at)
        ondemand.check_idmap(config, facts, mount, options, at)
        opener = sources.opener(config, facts, request, index, options)
        if opener == sources.HELPER_LATER:
            yield Op("barrier", ("sources",), f"{at}/source")
        opened = {f"mount{index}"} if opener in sources.BY_OTHERS else set()
        opened |= {f"fs{index}", f"mount{index}"} if newfs.by_host(config, mount, options) else set()
        for op in _one(config, facts, request, mount, options, index):
            yield op
            opened.add(op.into)
        if _read_only_later(mount, options, facts):
            opened.remove(f"mount{index}")
        # Descriptors of ours must not limit how many mounts there are.
        yield Op("close", tuple(Slot(slot) for slot in sorted(opened - {""})))


def read_only(config: Config, facts: HostFacts) -> Iterator[Op]:
    """Yield the ops that make new mounts read-only, now that all is there that goes below them, the current directory too.

    Before paths are made read-only, which copies what is mounted below these.
    """
    later: dict[int, str] = {}
    opened = []
    for index, mount in enumerate(config.mounts):
        options = mountopts.of(mount)
        if "remount" in options.ours and options.attr_clr & m.MOUNT_ATTR_RDONLY:
            later = {i: at for i, at in later.items() if config.mounts[i].destination != mount.destination}
        if _read_only_later(mount, options, facts):
            later[index] = f"/mounts/{index}/options/{mountopts.place(mount, *mountopts.READ_ONLY)}"
            opened.append(Slot(f"mount{index}"))
    for index, at in later.items():
        args = (Slot(f"mount{index}"), "", m.AT_EMPTY_PATH, m.MOUNT_ATTR_RDONLY, 0, 0, 0)
        yield Op("mount_setattr", args, at, doing=newfs.describe(config.mounts[index]))
    if opened:
        yield Op("close", tuple(opened))


def _read_only_later(mount: Mount, options: mountopts.Options, facts: HostFacts) -> bool:
    """Return whether MOUNT becomes read-only at the end."""
    return newfs.read_only_later(mount, options) or cgroupfs.read_only_later(mount, options, facts)


def _one(
    config: Config, facts: HostFacts, request: Request, mount: Mount, options: mountopts.Options, index: int
) -> Iterator[Op]:
    """Return the ops that make MOUNT, number INDEX."""
    if "remount" in options.ours:
        return newfs.change(mount, options, index)
    if (target := sources.link(request, index)) is not None:
        return _link(mount, target, index)
    if options.bind:
        return _bind(config, facts, request, mount, options, index)
    if cgroupfs.wanted(mount, facts):
        return cgroupfs.mounts(config, facts, request, mount, options, index)
    return newfs.new(config, mount, options, index)


def first_after_cgroup(config: Config) -> int:
    """Return the index of the first mount that may only be made once the process sits in its cgroups, or how many there are."""
    for index, mount in enumerate(config.mounts):
        if mount.type in ("cgroup", "cgroup2") or any("tmpcopyup" in option for option in mount.options):
            return index
    return len(config.mounts)


def _refuse(mount: Mount, options: mountopts.Options, facts: HostFacts, at: str) -> None:
    """Refuse what would break the rules about /proc, what means nothing, and what this kernel cannot do."""
    if "tmpcopyup" in options.ours and (options.bind or mount.type != "tmpfs" or "remount" in options.ours):
        pointer = f"{at}/options/{mountopts.place(mount, 'tmpcopyup')}"
        raise ConfigError("tmpcopyup is for new mounts of type tmpfs", pointer=pointer, hint="remove it, or change the type")
    for word in mountopts.ABOUT_LINKS if options.ours and (not options.bind or "remount" in options.ours) else ():
        if word in options.ours:
            pointer = f"{at}/options/{mountopts.place(mount, word)}"
            raise ConfigError(f"{word} is for bind mounts", pointer=pointer, hint="remove it, or add bind")
    if "remount" in options.ours and mountopts.idmapped(mount):
        pointer = f"{at}/options/{mountopts.place(mount, 'remount')}"
        raise ConfigError("a mount that is there already cannot be idmapped", pointer=pointer, hint="remove one of both")
    words = [(word, mountopts.place(mount, word)) for word in options.superblock] + [*options.data]
    for option, number in words if options.bind else ():
        text = f'bind mounts cannot have any filesystem-specific options applied: "{option}"'
        raise ConfigError(text, pointer=f"{at}/options/{number}", hint="remove it")
    symfollow = m.MOUNT_ATTR_NOSYMFOLLOW & (options.attr_set | options.attr_clr | options.rec_set | options.rec_clr)
    if symfollow and not facts.has_nosymfollow:
        word, number = next(found for found in mountopts.split(mount.options) if found[0].endswith("symfollow"))
        pointer, hint = f"{at}/options/{number}", "Linux 5.14 has it"
        raise UnsupportedError(f"this kernel has no {word}", pointer=pointer, hint=hint)
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
    opener = sources.opener(config, facts, request, index, options)
    if opener == sources.CHILDS:
        yield Op("open_tree", (m.AT_FDCWD, *sources.source(request, mount, options)), f"{at}/source", tree, doing)
    if opener not in sources.BY_HELPER:
        yield from ondemand.idmap(config, mount, options, index, doing)
    where = (ROOT, mount.destination, tree, *(("nofollow",) if "dest-nofollow" in options.ours else ()))
    yield Op("mount_point", where, f"{at}/destination", point, doing)
    yield from newfs.attributes(tree, options.replace(attr_set=0, attr_clr=0), index, doing)
    yield from bindflags.replace(config, facts, tree, options, f"{at}/options", doing)
    yield from newfs.propagation(tree, options, index, doing, default=_default_propagation(config))
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)


def _link(mount: Mount, target: str, index: int) -> Iterator[Op]:
    """Make a link to TARGET where MOUNT, whose source is such a link, has its destination."""
    yield Op("copy_link", (ROOT, mount.destination, target), f"/mounts/{index}", doing=newfs.describe(mount))


def _default_propagation(config: Config) -> int:
    """Return the propagation of a bind mount that asks for none: what `/` got (0: leave it)."""
    spread = (config.linux.rootfsPropagation or "") in ("shared", "rshared")
    return 0 if spread else m.MS_SLAVE
