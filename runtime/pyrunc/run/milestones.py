"""The lines of runc's debug log that scripts wait for, each at the op where the same happens here.  Loaded with --debug alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context

MADE = "nsexec container setup"
BEGINS = "child process in init()"
WAITS = "init: closing the pipe to signal completion"
ENTERS = "setns_init: about to exec"
TSYNC = 1  # seccomp(2): for all threads of a process, of which ours has one; runc's library sets it by itself
ROOTFS = "/root/"  # begins the pointers that only the plan of a new container has
INITIAL = "/initial"  # ends the pointer of the processors that an exec may use at first


def of_host(op: Op, plan: Plan, context: Context) -> Iterator[str]:
    """Yield what runc says where OP of the host's column of PLAN has been done in CONTEXT."""
    if op.call == "clone3":
        yield MADE
    elif op.call == "load_filter" and context.filter is not None:
        yield f"seccomp filter flags: {context.filter.flags & ~TSYNC}"
    elif op.call == "go" and op.args[0] == "ready":
        makes = any(each.at.startswith(ROOTFS) for each in (*plan.host, *plan.child))
        yield WAITS if makes else ENTERS


def of_child(op: Op, *, first: bool) -> Iterator[str]:
    """Yield what runc says where OP of the child's column is done, which is the FIRST that is told of."""
    if first:
        yield BEGINS
    if op.call == "sched_setaffinity" and op.at.endswith(INITIAL):
        yield f"nsexec: affinity: {int.from_bytes(op.args[1], 'little'):#x}"  # type: ignore[arg-type]
