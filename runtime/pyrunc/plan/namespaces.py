"""/linux/namespaces: which are made, which are joined, and in what order (config-linux.md, "Namespaces").

Joining needs privileges over the namespace's owner, which root of a new user
namespace does not have: so what has a path is joined first, the user namespace
last, and what is new is made after that, to be owned by it.  As a pid namespace
is only entered by children, a child that joined one forks once more.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.linux import process as p
from pyrunc.plan.op import CHILD, INIT_ROOT, OWN_PROC, PROC, ROOT, Op, Slot, barrier, barrier_if

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.linux import Linux
    from pyrunc.oci.mounts import IDMapping
    from pyrunc.plan.op import Argument
    from pyrunc.plan.request import Request

FLAGS = {
    "time": p.CLONE_NEWTIME,
    "mount": p.CLONE_NEWNS,
    "cgroup": p.CLONE_NEWCGROUP,
    "uts": p.CLONE_NEWUTS,
    "ipc": p.CLONE_NEWIPC,
    "pid": p.CLONE_NEWPID,
    "network": p.CLONE_NEWNET,
    "user": p.CLONE_NEWUSER,
}
# The names below /proc/PID/ns.
FILES = {"mount": "mnt", "network": "net"}
CLOCKS = "/linux/timeOffsets"
# Made by the child itself, later: cgroup once it sits in its cgroup, time once its offsets are known.
LATER = ("cgroup", "time")
# In a user namespace made once the child is root there, and that is mapped: the kernel gives them files, as it makes them, that
# belong to who that is then (the root of mqueue, devices in sysfs).
OWNED = ("ipc", "network")


def is_new(linux: Linux, kind: str) -> bool:
    """Return whether the container gets a namespace of KIND of its own."""
    return any(n.type == kind and not n.path for n in linux.namespaces)


def has(linux: Linux, kind: str) -> bool:
    """Return whether the configuration names a namespace of KIND at all."""
    return any(n.type == kind for n in linux.namespaces)


def host(config: Config, birthplace: Slot | None, foreign: frozenset[str]) -> Iterator[Op]:
    """Yield the ops that open what will be joined, and the fork itself.

    A namespace of a type in FOREIGN will be changed, and must not be the host's own.
    """
    for index, namespace in enumerate(config.linux.namespaces):
        if namespace.path:
            at = f"/linux/namespaces/{index}/path"
            args: tuple[Argument, ...] = (namespace.path, FLAGS[namespace.type])
            doing = f"error opening {namespace.type} namespace"
            call = "open_foreign_namespace" if namespace.type in foreign else "open_namespace"
            if call == "open_foreign_namespace":
                args = (namespace.path, FILES.get(namespace.type, namespace.type))
            yield Op(call, args, at, Slot(f"ns-{namespace.type}"), doing)
    flags = 0 if _staged(config.linux) else _new_flags(config.linux)
    yield fork(flags, birthplace)


def child(config: Config, facts: HostFacts) -> Iterator[Op]:
    """Yield the ops by which the new process gets into its namespaces."""
    linux = config.linux
    # What is not dumpable belongs to root in /proc: an ordinary user could not write its mappings.
    later = facts.user and is_new(linux, "user")
    if not later:
        yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    # Into other mounts as late as may be: what is the host's is out of reach then.
    last = "" if has(linux, "user") else "mount"
    yield from _join_all(linux, lambda kind: kind not in ("user", last))
    yield from _join_all(linux, lambda kind: kind == "user")
    if _staged(linux):
        yield Op("respawn", (_new_flags(linux),), "/linux/namespaces")
        if not later:
            yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    if last and has_own_proc(linux):
        yield own_proc()
    yield from _join_all(linux, lambda kind: kind == last)
    if _host_sets_clocks(linux):
        yield Op("unshare", (p.CLONE_NEWTIME,), CLOCKS)
    if is_new(linux, "user") or _host_sets_clocks(linux):
        yield Op("barrier", ("idmap",))
    if has(linux, "user"):
        yield Op("setresgid", (0, 0, 0), "/linux/gidMappings")
        yield Op("setresuid", (0, 0, 0), "/linux/uidMappings")
        yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
        if owned := _flags(linux, OWNED):
            yield Op("unshare", (owned,), "/linux/namespaces", doing="error making namespaces")
    yield Op("setsid")
    if not last and has_own_proc(linux):
        yield own_proc()
    if is_new(linux, "time"):
        yield from _time(linux)


def has_own_proc(linux: Linux) -> bool:
    """Return whether the new process can keep its own directory in the host's procfs.

    Not where it joins other mounts before it is the last of its forks, for the sake of a user namespace.
    """
    return not (has(linux, "user") and has(linux, "mount") and not is_new(linux, "mount"))


def own_proc() -> Op:
    """Return the op that keeps the new process's own directory in the host's procfs, for the program's name."""
    return Op("open_own_proc", (), into=OWN_PROC)


def mappings(linux: Linux, facts: HostFacts) -> list[Op]:
    """Return the host's side of barrier idmap, if there is a new user namespace, or one whose clocks are to be set.

    The files take one write each, however long (CVE-2021-43784 was a length).
    An ordinary user may map its own id, and its group once nobody inside can
    leave groups; for other ids newuidmap(1) and newgidmap(1) ask /etc/subuid
    and /etc/subgid (user_namespaces(7), "Defining user and group ID mappings").
    """
    clocks = [Op("write_proc", (CHILD, "timens_offsets", _offsets(linux)), CLOCKS)] if _host_sets_clocks(linux) else []
    if not is_new(linux, "user"):
        return barrier_if("idmap", clocks)
    uids, gids = mapping_lines(linux.uidMappings), mapping_lines(linux.gidMappings)
    uid_at, gid_at = "/linux/uidMappings", "/linux/gidMappings"
    by_uid, by_gid = Op("write_proc", (CHILD, "uid_map", uids), uid_at), Op("write_proc", (CHILD, "gid_map", gids), gid_at)
    if not facts.user:
        return barrier("idmap", by_uid, by_gid, *clocks)
    if not _own(linux.uidMappings, facts.uid):
        by_uid = Op("run_mapping_tool", ("newuidmap", CHILD, uids), uid_at)
    if not _own(linux.gidMappings, facts.gid):
        return barrier("idmap", by_uid, Op("run_mapping_tool", ("newgidmap", CHILD, gids), gid_at), *clocks)
    return barrier("idmap", by_uid, Op("write_proc", (CHILD, "setgroups", "deny"), gid_at), by_gid, *clocks)


def _own(rows: tuple[IDMapping, ...], number: int) -> bool:
    """Return whether ROWS map only id NUMBER of the host's."""
    return len(rows) == 1 and rows[0].size == 1 and rows[0].hostID == number


def check_user(linux: Linux, facts: HostFacts) -> None:
    """Raise ConfigError for an ordinary user's container without a user namespace, in which alone it has privileges."""
    if facts.user and not has(linux, "user"):
        hint = "add one, as `pyrunc spec --rootless` does, or run pyrunc as root"
        raise ConfigError("rootless container requires user namespaces", pointer="/linux/namespaces", hint=hint)


def mapping_lines(rows: tuple[IDMapping, ...]) -> str:
    """Return mapping ROWS as user_namespaces(7) wants them written."""
    return "".join(f"{row.containerID} {row.hostID} {row.size}\n" for row in rows)


def _new_flags(linux: Linux) -> int:
    """Return the flags of what clone3(2) is to make."""
    later = (*LATER, *OWNED) if has(linux, "user") else LATER
    return _flags(linux, [kind for kind in FLAGS if kind not in later])


def _flags(linux: Linux, kinds: Iterable[str]) -> int:
    """Return the flags of those namespaces among KINDS that are new."""
    flags = 0
    for kind in kinds:
        flags |= FLAGS[kind] if is_new(linux, kind) else 0
    return flags


def _staged(linux: Linux) -> bool:
    """Return whether the new process must join before it makes, and so fork again."""
    joined = [n.type for n in linux.namespaces if n.path]
    return "user" in joined or "pid" in joined or (bool(joined) and is_new(linux, "user"))


def _join(kind: str, index: int) -> Op:
    """Return the op that joins the namespace that the host opened."""
    at = f"/linux/namespaces/{index}/path"
    return Op("setns", (Slot(f"ns-{kind}"), FLAGS[kind]), at, doing=f"error joining {kind} namespace")


def _host_sets_clocks(linux: Linux) -> bool:
    """Return whether the host sets the clocks of a new time namespace.

    A process that is not dumpable may not write its own files in /proc unless it is the machine's root.
    """
    return bool(linux.timeOffsets) and is_new(linux, "time") and has(linux, "user")


def _offsets(linux: Linux) -> str:
    """Return the offsets of the clocks as time_namespaces(7) wants them written."""
    return "".join(f"{clock} {offset.secs} {offset.nanosecs}\n" for clock, offset in linux.timeOffsets.items())


def _join_all(linux: Linux, chosen: Callable[[str], bool]) -> Iterator[Op]:
    """Yield the ops that join the namespaces with a path whose types are CHOSEN."""
    for index, namespace in enumerate(linux.namespaces):
        if namespace.path and chosen(namespace.type):
            yield _join(namespace.type, index)


def _time(linux: Linux) -> Iterator[Op]:
    """Make a time namespace, set its clocks, unless the host has done so, and enter it (time_namespaces(7))."""
    if not _host_sets_clocks(linux):
        yield Op("unshare", (p.CLONE_NEWTIME,), CLOCKS)
        if linux.timeOffsets:
            yield Op("write_at", (PROC, "self/timens_offsets", _offsets(linux)), CLOCKS)
    yield Op("enter_time", (PROC,), CLOCKS)


def cgroup(config: Config) -> Iterator[Op]:
    """Yield the op that makes the cgroup namespace, once the process sits in its cgroup."""
    if is_new(config.linux, "cgroup"):
        yield Op("unshare", (p.CLONE_NEWCGROUP,), "/linux/namespaces", doing="error making namespaces")


def configure(config: Config) -> Iterator[Op]:
    """Yield the ops that set up the new namespaces: loopback, host name, domain name."""
    if is_new(config.linux, "network"):
        yield Op("bring_up", ("lo",), "/linux/namespaces", doing="error bringing loopback up")
    if config.hostname:
        yield Op("sethostname", (config.hostname,), "/hostname")
    if config.domainname:
        yield Op("setdomainname", (config.domainname,), "/domainname")


def fork(flags: int, birthplace: Slot | None) -> Op:
    """Return the fork, with namespaces FLAGS, and into the cgroup behind BIRTHPLACE if there is one."""
    doing = "error making namespaces"
    if birthplace is None:
        return Op("clone3", (flags,), "/linux/namespaces", CHILD, doing)
    return Op("clone3", (flags | p.CLONE_INTO_CGROUP, birthplace), "/linux/namespaces", CHILD, doing)


def host_exec(joins: tuple[str, ...], facts: HostFacts, birthplace: Slot | None) -> Iterator[Op]:
    """Yield the fork of an exec; into the pid namespace, which only a child enters, by the parent."""
    init = Slot("init")
    if "pid" not in joins or facts.rootless:
        yield fork(0, birthplace)
        return
    # Born where the container's processes see it, it must be out of their reach by then: it inherits that.
    yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    yield Op("setns", (init, p.CLONE_NEWPID), doing="error joining pid namespace")
    yield fork(0, birthplace)
    yield Op("prctl", (p.PR_SET_DUMPABLE, 1))


def open_to_exec(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the op by which an ordinary user's init lets an exec in while it waits: setns(2) asks ptrace(2) for that.

    Nobody else is in its namespaces yet, and what it holds is the user's own.
    """
    if facts.user and request.wait and is_new(config.linux, "user") and is_new(config.linux, "pid"):
        yield Op("prctl", (p.PR_SET_DUMPABLE, 1))


def child_exec(joins: tuple[str, ...], facts: HostFacts) -> Iterator[Op]:
    """Yield the ops by which the new process enters the container of the init behind slot `init`.

    Who is not the machine's root may enter the pid namespace only together with
    the user namespace that it belongs to, or may not come back from there: so the
    child does, and forks once more.
    """
    yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    joined = tuple(kind for kind in joins if facts.rootless and kind in ("user", "pid"))
    yield from join_init(joined)
    if "pid" in joined:
        yield Op("respawn", (0,))
        yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    if facts.rootless and "mount" in joins:
        # The host's mounts are not ours to take from, but a copy of them is.
        yield Op("unshare", (p.CLONE_NEWNS,))
    yield own_proc()
    yield from join_init(tuple(kind for kind in joins if kind not in joined))
    if "user" in joins:
        yield Op("setresgid", (0, 0, 0))
        yield Op("setresuid", (0, 0, 0))
        yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    yield Op("setsid")
    yield from container_root(joins)


def container_root(joins: tuple[str, ...]) -> Iterator[Op]:
    """Yield the ops by which who has entered the namespaces of types JOINS gets to the container's root.

    The caller has opened that of its init.
    """
    if "mount" in joins:
        yield Op("find_root", (INIT_ROOT,), into=ROOT)
    else:  # then it is init's chroot
        yield Op("fchdir", (INIT_ROOT,))
        yield Op("chroot", (".",))
        yield Op("open_directory", ("/",), into=ROOT)


def join_init(kinds: tuple[str, ...]) -> Iterator[Op]:
    """Yield the op that joins the namespaces of KINDS of the init behind slot `init`."""
    flags = 0
    for kind in kinds:
        flags |= FLAGS[kind]
    if flags:
        yield Op("setns", (Slot("init"), flags), doing="error joining the container's namespaces")
