"""`mounts add` and `mounts remove`: mounts in a container that is there already (crun(1), "mounts add").

A process of ours makes them, as `create` would (plan/mounts.py), but in the container's own mount namespace: it opens the
sources outside, enters the namespaces that the file systems are of, and attaches each mount to a place that is resolved once,
inside the container's root.  It never enters the container's pid namespace, so nobody there can see it, or its descriptors.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.linux import process as p
from pyrunc.oci import crun
from pyrunc.plan import labels, mountopts, mounts, namespaces, newfs, ondemand, paths, sources
from pyrunc.plan.op import PROC, ROOT, Op, Plan, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount
    from pyrunc.plan.request import Request

NOTES = Slot("notes")  # memory for the ids of the mounts, which the caller opens
# What a file system is of, beside the mount namespace, and those that can be made in one that is running.
OF = {"sysfs": "network", "mqueue": "ipc"}
TYPES = frozenset(("tmpfs", "ramfs", "devpts", *OF))
# What makes no mount, or changes one that is there: nothing could take that back.
REFUSED = ("remount", "copy-symlink")


def add(config: Config, joins: tuple[str, ...], facts: HostFacts, request: Request) -> Plan:
    """Return the plan that mounts what CONFIG lists, in the container whose namespaces are of the types JOINS.

    The rest of CONFIG is the container's.  Raises ConfigError and UnsupportedError for what cannot be.
    """
    config = ondemand.own_mappings(paths.cleaned(_own(config, joins), request.rootfs))
    request = request.replace(live=True)
    for index, mount in enumerate(config.mounts):
        _refuse(config, mount, index)
    label, kind = config.linux.mountLabel, config.annotations.get(crun.MOUNT_CONTEXT, "context")
    opened = sources.by_helper(config, facts, request)
    host = [
        Op("open_directory", ("/proc",), into=PROC),
        *labels.mounts(label, facts, sources.host(config, facts, request), kind),
        namespaces.fork(0, None),
        *(op for _, ops in opened for op in ops),
        *barrier("ready", Op("commit")),
    ]
    kinds = {OF[mount.type] for mount in config.mounts if mount.type in OF}
    early = [*sources.child(config, facts, request), *_early(config, facts, request)]
    made = labels.mounts(label, facts, mounts.child(config, facts, request), kind)
    child = [
        Op("umask", (0,)),
        *_enter(joins, kinds, early),
        *_noted(made),
        *mounts.read_only(config, facts),
        *_leave(),
    ]
    return Plan(host=tuple(host), child=tuple(child))


def remove(ids: tuple[tuple[int, str], ...], joins: tuple[str, ...]) -> Plan:
    """Return the plan that takes mounts away: IDS are the kernel's numbers of them, and what asks for each, in order."""
    host = [Op("open_directory", ("/proc",), into=PROC), namespaces.fork(0, None), *barrier("ready", Op("commit"))]
    gone = [Op("detach_mount", (ROOT, PROC, number), at) for number, at in ids]
    return Plan(host=tuple(host), child=(*_enter(joins, set(), ()), *gone, *_leave()))


def _own(config: Config, joins: tuple[str, ...]) -> Config:
    """Return CONFIG with the namespaces of types JOINS, each as if it were the container's own: that is the one to enter."""
    kinds = {each.type: each.replace(path="") for each in config.linux.namespaces if each.type in joins}
    return config.replace(linux=config.linux.replace(namespaces=tuple(kinds.values())))


def _refuse(config: Config, mount: Mount, index: int) -> None:
    """Refuse MOUNT, number INDEX of CONFIG, if it cannot be made in a running container, or not taken back."""
    options, at = mountopts.of(mount), f"/mounts/{index}"
    for word in REFUSED:
        if word in options.ours:
            pointer = f"{at}/options/{mountopts.place(mount, word)}"
            raise ConfigError(f"{word} makes no mount that could be removed again", pointer=pointer, hint="remove it")
    if not options.bind and mount.type not in TYPES and not newfs.by_host(config, mount, options):
        text = f"a new {mount.type or 'file system'} cannot be mounted in a running container"
        raise UnsupportedError(text, pointer=f"{at}/type", hint="mount it on the host, and bind it from there")


def _early(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that open sources outside of the container, where nobody else does."""
    for index, mount in enumerate(config.mounts):
        options = mountopts.of(mount)
        if sources.opener(config, facts, request, index, options) == sources.EARLY:
            where = (m.AT_FDCWD, *sources.source(request, mount, options))
            yield Op("open_tree", where, f"/mounts/{index}/source", Slot(f"mount{index}"), newfs.describe(mount))


def _enter(joins: tuple[str, ...], kinds: set[str], early: Iterable[Op]) -> Iterator[Op]:
    """Yield the ops by which the new process gets into the mount namespace behind `init`, and those of KINDS; EARLY come before.

    In a container with a user namespace it is root of that, in a copy of the host's mounts with all flags locked.
    """
    yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    if "user" in joins:
        yield from namespaces.join_init(("user",))
        yield Op("setresgid", (0, 0, 0))
        yield Op("setresuid", (0, 0, 0))
        yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
        yield Op("unshare", (p.CLONE_NEWNS,))
    yield from early
    yield from namespaces.join_init(("mount", *(kind for kind in sorted(kinds) if kind in joins)))
    yield Op("setsid")
    yield from namespaces.container_root(joins)


def _noted(ops: Iterable[Op]) -> Iterator[Op]:
    """Yield OPS, and with each mount that is attached one that notes its id: before that, or after mount(2), which makes it."""
    for op in ops:
        index = int(op.at.split("/")[2]) if op.at.startswith("/mounts/") else 0
        if op.call == "move_mount":
            yield Op("note_mount", (op.args[0], PROC, NOTES, index), op.at)
        yield op
        if op.call == "mount_on":
            yield Op("note_mount", (Slot(op.into), PROC, NOTES, index), op.at)


def _leave() -> Iterator[Op]:
    """Yield the ops by which the new process says that all is done, and ends."""
    yield Op("barrier", ("ready",))
    yield Op("leave")
