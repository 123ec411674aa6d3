"""Scheduling, priorities and memory policies that the kernel refuses: it is asked, by a process that then ends."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks.apart import apart
from pyrunc.errors import UnsupportedError
from pyrunc.linux import sched
from pyrunc.plan.op import Slot
from pyrunc.plan.scheduling import REALTIME
from pyrunc.run import hints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Op, Plan

CALLS: dict[str, Callable[..., None]] = {
    "ioprio_set": sched.ioprio_set,
    "sched_setattr": sched.sched_setattr,
    "set_mempolicy": sched.set_mempolicy,
}
RUNTIME = "cpu.rt_runtime_us"


def errors(config: Config, plan: Plan, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error for each of these in PLAN, that of CONFIG, that this process may not give itself."""
    ops = [op for op in (*plan.host, *plan.child) if op.call in CALLS and op.at]
    failed: dict[int, int] = dict(apart(lambda: _try(ops)) or ()) if ops else {}
    for index, op in enumerate(ops):
        code = failed.get(index, errno.EPERM if op.call == "sched_setattr" and _has_no_time(config, facts) else 0)
        if code:
            hint = hints.hint(op.call, code)
            yield UnsupportedError(f"{op.doing}: {posix.strerror(code).lower()}", pointer=op.at, hint=hint)


def _try(ops: list[Op]) -> list[tuple[int, int]]:
    """Do OPS to this process; return the index and the errno of each that fails."""
    failed: list[tuple[int, int]] = []
    for index, op in enumerate(ops):
        args: Any = (0 if isinstance(each, Slot) else each for each in op.args)
        try:
            CALLS[op.call](*args)
        except OSError as error:
            failed.append((index, error.errno or 0))
    return failed


def _has_no_time(config: Config, facts: HostFacts) -> bool:
    """Return whether a new cgroup gives its processes no realtime, and CONFIG, which wants some, asks for none there."""
    scheduler = config.process.scheduler if config.process else None
    limits = config.linux.resources
    given = limits is not None and limits.cpu is not None and (limits.cpu.realtimeRuntime or 0) > 0
    if scheduler is None or scheduler.policy not in REALTIME or given or "cpu" not in facts.cgroups.v1:
        return False
    return posix.access(f"{facts.cgroups.v1['cpu'].mount}/{RUNTIME}", posix.F_OK)
