"""/process/scheduler and ioPriority: when a process runs (config.md, "Linux Process").

The host sets them while the process waits: it has CAP_SYS_NICE on the host, which
root of a user namespace has not.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import sched
from pyrunc.oci.process import IO_CLASSES, POLICIES, SCHEDULER_FLAGS
from pyrunc.plan.op import CHILD, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.process import Process, Scheduler

POLICY: dict[str, int] = {name: getattr(sched, name) for name in POLICIES}
FLAG: dict[str, int] = {name: getattr(sched, name) for name in SCHEDULER_FLAGS}
IO_CLASS: dict[str, int] = {name: getattr(sched, name) for name in IO_CLASSES}
KEEPING = ("SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS")
DEADLINE_ONLY = ("SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN")
REALTIME, NICE = ("SCHED_FIFO", "SCHED_RR"), ("SCHED_OTHER", "SCHED_BATCH")
TIMES = ("runtime", "deadline", "period")
# For the policies with nice, the runtime is the slice: nanoseconds that a process may run at a stretch (kernel/sched/syscalls.c).
SLICE_SINCE, SLICE = (6, 12), (100_000, 100_000_000)


def host(process: Process, facts: HostFacts, at: str) -> Iterator[Op]:
    """Yield what the host sets for the waiting process, which is in its cgroup: scheduler and I/O priority."""
    scheduler = process.scheduler
    if scheduler is not None:
        _check(scheduler, facts, f"{at}/scheduler")
        flags = 0
        for name in scheduler.flags:
            flags |= FLAG[name]
        times = (scheduler.runtime, scheduler.deadline, scheduler.period)
        args = (CHILD, POLICY[scheduler.policy], flags, scheduler.nice, scheduler.priority, *times)
        yield Op("sched_setattr", args, f"{at}/scheduler", doing="error setting scheduler")
    if process.ioPriority is not None:
        value = IO_CLASS[process.ioPriority.class_] << sched.IOPRIO_CLASS_SHIFT | process.ioPriority.priority
        where, doing = f"{at}/ioPriority", "error setting I/O priority"
        yield Op("ioprio_set", (sched.IOPRIO_WHO_PROCESS, CHILD, value), where, doing=doing)


def _check(scheduler: Scheduler, facts: HostFacts, at: str) -> None:
    """Refuse what the policy would ignore, or could not be meant (sched_setattr(2)); an unused nice is warned of."""
    policy, keeps = scheduler.policy, set(scheduler.flags) & set(KEEPING)
    if "SCHED_FLAG_KEEP_PARAMS" in keeps:
        _unused(scheduler, at, ("nice", "priority", *TIMES), "with SCHED_FLAG_KEEP_PARAMS")
    if policy not in REALTIME:
        _unused(scheduler, at, ("priority",), f"with {policy}")
    elif not keeps and not scheduler.priority:
        raise ConfigError(f"{policy} needs a priority", pointer=f"{at}/priority", hint="from 1 to 99")
    if policy == "SCHED_DEADLINE":
        if not keeps:
            _check_times(scheduler, at)
        return
    if policy in NICE and scheduler.runtime:
        _check_slice(scheduler, facts, at)
        _unused(scheduler, at, TIMES[1:], f"with {policy}")
    else:
        _unused(scheduler, at, TIMES, f"with {policy}")
    for index, name in enumerate(scheduler.flags):
        if name in DEADLINE_ONLY:
            hint = "remove it, or use SCHED_DEADLINE"
            raise ConfigError(f"{name} means nothing with {policy}", pointer=f"{at}/flags/{index}", hint=hint)


def _unused(scheduler: Scheduler, at: str, names: tuple[str, ...], why: str) -> None:
    """Refuse those properties in NAMES that are set."""
    for name in names:
        if getattr(scheduler, name):
            raise ConfigError(f"{name} means nothing {why}", pointer=f"{at}/{name}", hint="remove it")


def _check_slice(scheduler: Scheduler, facts: HostFacts, at: str) -> None:
    """Refuse a slice that this kernel does not have, or would change in silence."""
    if facts.kernel < SLICE_SINCE:
        hint = "Linux 6.12 takes it for the slice"
        raise UnsupportedError(f"runtime means nothing with {scheduler.policy}", pointer=f"{at}/runtime", hint=hint)
    if not SLICE[0] <= scheduler.runtime <= SLICE[1]:
        hint = f"from {SLICE[0]} to {SLICE[1]} nanoseconds"
        raise ConfigError(f"a slice of {scheduler.runtime} is none", pointer=f"{at}/runtime", hint=hint)


def _check_times(scheduler: Scheduler, at: str) -> None:
    """Refuse times of a deadline that contradict each other: runtime <= deadline <= period."""
    for name in ("runtime", "deadline"):
        if not getattr(scheduler, name):
            raise ConfigError(f"SCHED_DEADLINE needs a {name}", pointer=f"{at}/{name}", hint="in nanoseconds")
    if scheduler.deadline < scheduler.runtime:
        hint = f"at least the runtime, {scheduler.runtime}"
        raise ConfigError(f"the deadline, {scheduler.deadline}, is too short", pointer=f"{at}/deadline", hint=hint)
    if scheduler.period and scheduler.period < scheduler.deadline:
        hint = f"at least the deadline, {scheduler.deadline}, or 0 for the same"
        raise ConfigError(f"the period, {scheduler.period}, is too short", pointer=f"{at}/period", hint=hint)
