"""The report of a failed op: what was tried, what the kernel said, which field asked for it, and the hint what to do.

Loaded only when something went wrong.
"""

from __future__ import annotations

import errno as codes
import posix

from pyrunc.errors import HookError, OpError
from pyrunc.host import facts
from pyrunc.linux.mount import AT_RECURSIVE, MOUNT_ATTR_IDMAP
from pyrunc.linux.process import CLONE_NEWUSER
from pyrunc.plan import seccomp, text
from pyrunc.plan.cgroups import JOINING as INTO_CGROUP
from pyrunc.plan.process import BY_PATH
from pyrunc.run import hints, refusedoptions, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context

START = "unable to start container process"
INIT = "error during container init"
LIMIT = "/linux/resources/memory/limit"
CPUS = "/linux/resources/cpu/cpus"
SCHEDULER_AND_CPUS = "process scheduler can't be used together with AllowedCPUs"
HOOK = "name a program that is there, and that may be executed"
NO_EXECVE = 255
NOT_EXECUTED = "exec "  # begins what execve(2), or what it would find, has refused; runc ends with 255 then
SIGKILL = 9
ENTERS = {"clone3": 0, "unshare": 0, "respawn": 0, "setns": 1}  # calls that change namespaces, and where their flags are
# Calls whose name says nothing to a person: the message of the step does.
STEPS_THAT_SPEAK = frozenset(("open_program", "choose_program", "exec_program", "run_hook", "enter_cwd"))

def describe(plan: Plan, op: Op, errno: int, detail: str, *, child: bool, pid: int = 0) -> OpError | HookError:
    """Return the error for OP of PLAN, which failed with ERRNO and DETAIL; PID is the new process's, 0 if there is none yet.

    DETAIL may be the name of the system call in the step, as in mount_setattr(2), or begin with a hint and a pointer of its own.
    """
    told = where = ""
    if wire.SEPARATOR in detail:
        told, where, detail = detail.split(wire.SEPARATOR, 2)
    reason = posix.strerror(errno).lower() if errno else ""
    call, shown = op.call, text.brief(op)
    if detail.endswith("(2)"):
        call = detail[:-3]
        if not shown.startswith(f"{call}("):
            reason = f"{call}: {reason}"
    elif detail and (op.call in STEPS_THAT_SPEAK or not errno or reason in detail):
        reason, shown = detail, ""
    elif detail:
        reason = f"{reason}: {detail.strip()}"
    if op.call == "barrier":
        shown = f"what waits at {op.args[0]!s} gets its descriptors"
    doing = INTO_CGROUP if _into_full_cgroup(op, errno) else op.doing
    parts = [START, INIT if child else "", doing.format(child=pid or posix.getpid()) if "{child}" in doing else doing]
    if (op.call, errno) == ("sched_setattr", codes.EPERM) and _has_cpus(plan):
        parts.append(SCHEDULER_AND_CPUS)
    message = ": ".join(part for part in (*parts, shown, reason) if part)
    at = where if where.startswith(op.at) else op.at
    if op.call == "run_hook":
        return HookError(message, pointer=at, hint=told or HOOK)
    if op.call == "exec_program" and (forbidden := denial(plan, reason)):
        return forbidden
    subject = call if errno == codes.ENOSYS else _subject(op)
    hint = told or _hint(plan, op, subject, call, errno, detail)
    made = OpError(message, errno=errno, pointer=at, hint=hint)
    if op.call in STEPS_THAT_SPEAK and detail.startswith(NOT_EXECUTED):
        made.status = NO_EXECVE
    return made


def _hint(plan: Plan, op: Op, subject: str, call: str, errno: int, detail: str) -> str:
    """Return what to do about ERRNO and DETAIL of CALL in OP of PLAN, which was made for SUBJECT."""
    if (subject, errno) == ("idmap", codes.EINVAL):
        return _no_idmap(plan, op)
    if (call, errno) == ("fsopen", codes.ENODEV):
        return refusedoptions.of_type(str(op.args[0]))
    if op.call in ("fsconfig", "fsmount") and op.args and (found := refusedoptions.hint(plan, op, errno, detail)):
        return found
    users = _has_users(plan)
    return hints.known(subject, errno, users) or hints.hint(call, errno, users)


def _into_full_cgroup(op: Op, errno: int) -> bool:
    """Return whether OP is a fork into a cgroup that takes no process (cgroups(7), "no internal processes")."""
    return op.call == "clone3" and len(op.args) > 1 and errno in (codes.EBUSY, codes.EOPNOTSUPP, codes.ENOENT, codes.ENODEV)


def _has_cpus(plan: Plan) -> bool:
    """Return whether PLAN limits the processors."""
    changes: Any = (change for op in plan.host if op.call == "limit_cgroup" for change in op.args[1])  # type: ignore[union-attr]
    return any(change.pointer == CPUS for change in changes)


def _has_users(plan: Plan) -> bool:
    """Return whether the process of PLAN is in a user namespace: a new one, one that it enters, or one that we are in."""
    for op in (*plan.host, *plan.child):
        if op.call in ENTERS and _flags(op, ENTERS[op.call]) & CLONE_NEWUSER:
            return True
    return facts.nested()


def _flags(op: Op, index: int) -> int:
    """Return the argument of OP at INDEX if it is a number."""
    value = op.args[index] if len(op.args) > index else 0
    return value if isinstance(value, int) else 0


def _no_idmap(plan: Plan, op: Op) -> str:
    """Return the hint for OP of PLAN, which is to idmap a mount of a file system that has no such thing."""
    trees = ("open_tree", "open_tree_by_helper")
    sources = [str(each.args[1]) for each in (*plan.host, *plan.child) if each.call in trees and each.into == op.args[0]]
    found = file_system(sources[0]) if sources else ""
    text = f"the source is on {found}, which" if found else "this file system"
    if isinstance(op.args[2], int) and op.args[2] & AT_RECURSIVE:
        text += ", or one that is mounted below it,"
    return f"{text} has no idmapped mounts on this kernel"


def file_system(path: str) -> str:
    """Return the type of the file system that PATH is on, as mount(8) calls it; "" if that cannot be found (proc(5))."""
    from pyrunc.host import mounted

    try:
        return mounted.of(path).type
    except (OSError, StopIteration):
        return ""


def _subject(op: Op) -> str:
    """Return what hints are about: the call, or what it was made for."""
    idmaps = op.call == "mount_setattr" and isinstance(op.args[3], int) and op.args[3] & MOUNT_ATTR_IDMAP
    return "idmap" if idmaps else op.call


def describe_death(plan: Plan, context: Context, when: str) -> OpError:
    """Return the error for a child of PLAN that died without a word; WHEN is told in terms of barriers."""
    pid = context.slots.pop("child", 0)
    status = posix.waitpid(pid, 0)[1] if pid else 0
    code = posix.waitstatus_to_exitcode(status)
    how = f"killed by signal {-code}" if code < 0 else f"exited with status {code}"
    if code == -SIGKILL and (error := out_of_memory(plan)):
        return error
    message = f"{START}: {INIT}: the container's init was {how} {when}"
    return OpError(message.replace("was exited", "exited"), hint="see the kernel's log" if code == -SIGKILL else "")


def denial(plan: Plan, reason: str) -> OpError | None:
    """Return the error for a program of PLAN that its filter has surely not let be executed, for REASON; else None."""
    filters: Any = next((op.args[0] for op in plan.host if op.call == "load_filter"), None)
    if filters is None:
        return None
    name = "execve" if plan.child[-1].args[0] == BY_PATH else "execveat"
    action, pointer = seccomp.answer(filters, name)
    if action in (*seccomp.LETTING, seccomp.NOTIFY, ""):
        return None
    text = f"{START}: the seccomp filter lets no program be executed: {action} for {name}(2)"
    hint = "allow execve and execveat"
    return OpError(f"{text}: {reason}" if reason else text, errno=codes.EPERM, pointer=pointer, hint=hint)


def describe_unexecuted(plan: Plan, context: Context) -> OpError | HookError:
    """Return the error for a child of PLAN that has loaded its filter, and then ended without becoming its program."""
    error = describe_death(plan, context, "before its program could run")
    if error.pointer == LIMIT:
        return error
    return denial(plan, "") or error


def out_of_memory(plan: Plan) -> OpError | None:
    """Return the error for an init of PLAN that the kernel killed for lack of memory, None if it was not that."""
    from pyrunc.cgroup import oom

    for op in plan.host:
        if op.call != "limit_cgroup":
            continue
        places: Any = op.args[0]
        changes: Any = op.args[1]
        limit = next((change for change in changes if change.pointer == LIMIT), None)
        if limit is not None and oom.kills(places):
            message = f"{START}: {INIT}: it was killed for lack of memory: the limit of {limit.value} bytes is too low to start"
            return OpError(message, errno=codes.ENOMEM, pointer=LIMIT, hint="raise it")
    return None
