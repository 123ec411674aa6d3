"""/process: who the container's process is and what it runs (config.md, "Process").

The same for the init of a container and for a process that `exec` adds.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.linux import caps
from pyrunc.linux import process as p
from pyrunc.oci.process import Capabilities
from pyrunc.plan import labels, seccomp
from pyrunc.plan.op import CHILD, OWN_PROC, PROC, ROOT, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.process import Process
    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.plan.op import Slot
    from pyrunc.plan.request import Request

NICE = ("SCHED_OTHER", "SCHED_BATCH")  # the policies that a nice value is for (sched(7))
DEFAULT_UMASK = 0o022
OOM_SCORE = "error setting oom_score_adj"
EVERY = (1 << 64) - 1  # every capability
# getrlimit(2), include/uapi/asm-generic/resource.h
RLIMITS = {
    f"RLIMIT_{name}": number
    for number, name in enumerate(
        "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS "
        "LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME".split()
    )
}
# From Linux 6.14 on, a program that is started by descriptor alone has its file's name in /proc/PID/comm.
NAMED_AFTER_FILE = (6, 14)
# From Linux 6.15 on, move_mount(2) mounts on what is attached nowhere itself.
MOUNTS_ON_DETACHED = (6, 15)
BY_DESCRIPTOR, BY_PATH = "execveat", "execve"


def raise_limits(process: Process, at: str) -> list[Op]:
    """Return what the host does about rlimits right after the fork: raise hard limits, which needs privileges.

    The limits themselves are the child's last act but the execve: an interpreter
    could not work within what is enough for many a program.
    """
    return [
        Op(
            "raise_rlimit",
            (CHILD, RLIMITS[limit.type], limit.hard),
            f"{at}/rlimits/{index}/hard",
            doing=f"error setting rlimit {limit.type}",
        )
        for index, limit in enumerate(process.rlimits)
    ]


def limits(process: Process, at: str, whose: Slot | int = 0) -> Iterator[Op]:
    """Yield the ops that set the limits of the process behind slot WHOSE, or the own ones."""
    for index, limit in enumerate(process.rlimits):
        args = (whose, RLIMITS[limit.type], limit.soft, limit.hard)
        yield Op("prlimit", args, f"{at}/rlimits/{index}", doing=f"error setting rlimit {limit.type}")


def confinement(
    process: Process, filters: Seccomp | None, *, filtered: bool
) -> tuple[str, tuple[tuple[int, int, int], ...]]:
    """Return what a hook that is a program of the image shares with the process: how it is executed, and its limits."""
    limits = tuple((RLIMITS[each.type], each.soft, each.hard) for each in process.rlimits)
    return _how(filters, filtered=filtered), limits


def host(process: Process, facts: HostFacts, at: str) -> list[Op]:
    """Return what the host sets for the waiting process, with privileges that it may lack."""
    if process.oomScoreAdj is None or facts.user:
        return []
    args = (CHILD, "oom_score_adj", str(process.oomScoreAdj))
    return [Op("write_proc", args, f"{at}/oomScoreAdj", doing=OOM_SCORE)]


def child_oom_score(process: Process, facts: HostFacts, at: str) -> list[Op]:
    """Return what an ordinary user's process sets for itself, as long as its files in /proc are its own."""
    if process.oomScoreAdj is None or not facts.user:
        return []
    return [Op("write_at", (PROC, "self/oom_score_adj", str(process.oomScoreAdj)), f"{at}/oomScoreAdj", doing=OOM_SCORE)]


def child(
    process: Process,
    facts: HostFacts,
    request: Request,
    filters: Seccomp | None,
    *,
    at: str,
    named: bool,
    filtered: bool = False,
) -> Iterator[Op]:
    """Yield the ops that turn the new process into PROCESS, up to the point where it could run.

    NAMED says whether the process has kept what gives its program a name, FILTERED
    whether it will be under its filter long before it executes that.
    """
    if not request.no_new_keyring:
        yield Op("join_keyring", (f"_ses.{request.id}",), at, doing="error joining session keyring")
    yield from labels.child(process, facts, at)
    yield Op("enter_cwd", (ROOT, process.cwd), f"{at}/cwd")
    yield Op("own_stdio", (process.user.uid,), f"{at}/user/uid")
    if process.noNewPrivileges:
        yield Op("prctl", (p.PR_SET_NO_NEW_PRIVS, 1), f"{at}/noNewPrivileges")
    env, home = environment(process, *_listening(request))
    how = _how(filters, filtered=filtered)
    args = (ROOT, process.cwd, process.args, env, home, request.listen_fds > 0, how)
    # Before the ids change: a program need not be readable for who may execute it.
    yield Op("open_program", args, f"{at}/args/0")
    if named and how == BY_DESCRIPTOR:
        name = process.args[0].rpartition("/")[2]
        kernel = facts.kernel
        yield Op("name_program", (OWN_PROC, name, kernel >= NAMED_AFTER_FILE, kernel >= MOUNTS_ON_DETACHED), f"{at}/args/0")
    yield from _credentials(process, facts, at, keep=_before_filter(process, filters), groups=not request.keep_groups)
    yield Op("choose_program", (), f"{at}/args/0")
    mask = DEFAULT_UMASK if process.user.umask is None else process.user.umask
    yield Op("umask", (mask,), f"{at}/user/umask")
    yield Op("close_others", (3 + request.listen_fds + request.preserve_fds,))


def make_cwd(process: Process, at: str) -> list[Op]:
    """Return the op that makes the current directory of a container's process, while its root can be written to."""
    return [Op("make_cwd", (ROOT, process.cwd), f"{at}/cwd")] if process.cwd != "/" else []


def execute(process: Process, facts: HostFacts, filters: Seccomp | None, *, at: str) -> Iterator[Op]:
    """Yield the last ops: the limits, and then the filter and the program, with nothing between them.

    CAP_SYS_ADMIN, which loading the filter may need, goes by itself: what a
    program is permitted depends on the inheritable, ambient and bounding sets
    of whoever executes it, not on the permitted one (capabilities(7)).
    """
    yield from limits(process, at)
    yield Op("exec_program", (_how(filters),), f"{at}/args/0")


def execute_filtered(filters: Seccomp | None, *, at: str) -> Iterator[Op]:
    """Yield the last op of a process that is under its filter already, with the limits that the host has set."""
    yield Op("exec_program", (_how(filters, filtered=True),), f"{at}/args/0")


def _how(filters: Seccomp | None, *, filtered: bool = False) -> str:
    """Return how the program is executed: by descriptor, unless the filter stands against it.

    A process that is FILTERED long before can look at nothing any more, and so has the agent asked about execveat(2).
    """
    if seccomp.lets_through(filters, "execveat") or (filtered and seccomp.asks_about(filters, "execveat")):
        return BY_DESCRIPTOR
    return BY_PATH


def grantable(facts: HostFacts, joins: Iterable[str]) -> HostFacts:
    """Return FACTS as they hold for a process in namespaces of the types JOINS: in a user namespace it has every capability."""
    return facts.replace(capabilities=EVERY) if "user" in joins else facts


def warnings(process: Process, facts: HostFacts, at: str) -> list[str]:
    """Return what of PROCESS, found AT, has no effect, each with its reason."""
    found = capability_warnings(process.capabilities, facts)
    if process.scheduler is not None and process.scheduler.nice and process.scheduler.policy not in NICE:
        found.append(f"nice means nothing with {process.scheduler.policy} (at {at}/scheduler/nice; remove it)")
    return found


def capability_warnings(sets: Capabilities | None, facts: HostFacts) -> list[str]:
    """Return what is left out of SETS, each with its reason, as the specification wants (config.md, "Linux Process").

    No kernel knows an unknown name; nobody can give what he does not have; and
    an ambient capability must be permitted and inheritable too
    (capabilities(7)), which `runc spec` writes it not to be.
    """
    if sets is None:
        return []
    at = "/process/capabilities"
    names = {*sets.bounding, *sets.effective, *sets.permitted, *sets.inheritable, *sets.ambient}
    found = [f"ignoring unknown capability {name} (at {at})" for name in sorted(names - caps.NUMBER.keys())]
    found += [
        f"ignoring capability {name}: the runtime itself does not have it (at {at})"
        for name in sorted(names & caps.NUMBER.keys())
        if not facts.capabilities >> caps.NUMBER[name] & 1
    ]
    lost = set(sets.ambient) - (set(sets.permitted) & set(sets.inheritable))
    found += [
        f"can't raise ambient capability {name}: it is not both permitted and inheritable (at {at}/ambient)"
        for name in sorted(lost & caps.NUMBER.keys())
    ]
    return found


def _before_filter(process: Process, filters: Seccomp | None) -> bool:
    """Return whether CAP_SYS_ADMIN must outlive the change of user, to load the filter (seccomp(2))."""
    return filters is not None and not process.noNewPrivileges


def _mask(names: tuple[str, ...] | None) -> int:
    """Return the bits of the capabilities in NAMES."""
    mask = 0
    for name in names or ():
        if name in caps.NUMBER:
            mask |= 1 << caps.NUMBER[name]
    return mask


def _credentials(process: Process, facts: HostFacts, at: str, *, keep: bool, groups: bool) -> Iterator[Op]:
    """Yield the ops for capabilities and ids, in the only order that works; GROUPS says whether the groups are set, or stay.

    Bounding first, while CAP_SETPCAP is there; ids with the permitted set kept;
    then the sets themselves; ambient last, as it must be within two of them.
    """
    sets, user = process.capabilities, process.user
    where = f"{at}/capabilities"
    bounding = _mask(sets.bounding if sets else ())
    doing = "error applying capabilities"
    yield Op("drop_bounding", (bounding, facts.last_cap), f"{where}/bounding", doing=doing)
    yield Op("prctl", (p.PR_SET_KEEPCAPS, 1))
    if groups:
        gids = tuple(dict.fromkeys(user.additionalGids))  # Docker names a group of the image's and of --group-add twice
        yield Op("set_groups", (PROC, gids), f"{at}/user/additionalGids", doing="error setting groups")
    yield Op("setresgid", (user.gid,) * 3, f"{at}/user/gid", doing="error setting gid")
    yield Op("setresuid", (user.uid,) * 3, f"{at}/user/uid", doing="error setting uid")
    # Changing ids made the process dumpable or not by its own rules: settle it.
    yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    extra = 1 << caps.CAP_SYS_ADMIN if keep else 0
    given = facts.capabilities
    effective, permitted = (_mask(names) & given for names in (sets.effective, sets.permitted)) if sets else (0, 0)
    inheritable = _mask(sets.inheritable) & given if sets else 0
    if effective & ~permitted:
        raise ConfigError(
            "effective capabilities that are not permitted",
            pointer=f"{where}/effective",
            hint="the permitted set must hold them too (capabilities(7))",
        )
    args = (effective | extra, permitted | extra, inheritable)
    yield Op("capset", args, where, doing=doing)
    ambient = _mask(sets.ambient if sets else ()) & permitted & inheritable
    if ambient:
        yield Op("raise_ambient", (ambient,), f"{where}/ambient", doing=doing)


def environment(process: Process, *more: str) -> tuple[tuple[str, ...], int]:
    """Return the environment of PROCESS with MORE, and the user whose HOME is to be looked up for it (-1: it has one).

    The last of two equal names counts, and an empty HOME is none.
    """
    chosen: dict[str, str] = {}
    for entry in reversed((*process.env, *more)):
        chosen.setdefault(entry.partition("=")[0], entry)
    env = tuple(entry for entry in reversed(chosen.values()) if entry != "HOME=")
    home = not any(entry.startswith("HOME=") for entry in env)
    return env, process.user.uid if home else -1


def _listening(request: Request) -> tuple[str, ...]:
    """Return the variables of socket activation (sd_listen_fds(3)), but LISTEN_PID, which the process itself knows."""
    if not request.listen_fds:
        return ()
    names = (f"LISTEN_FDNAMES={request.listen_names}",) if request.listen_names else ()
    return (f"LISTEN_FDS={request.listen_fds}", *names, "LISTEN_PID=")
