"""The report of a failed op: what was tried, what the kernel said, which field asked for it, and the hint what to do.

Loaded only when something went wrong.
"""

from __future__ import annotations

import errno as codes
import posix

from pyrunc.errors import HookError, OpError
from pyrunc.linux.mount import AT_RECURSIVE, MOUNT_ATTR_IDMAP
from pyrunc.plan import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context

START = "unable to start container process"
INIT = "error during container init"
LIMIT = "/linux/resources/memory/limit"
SIGKILL = 9
# Calls whose name says nothing to a person: the message of the step does.
STEPS_THAT_SPEAK = frozenset(("open_program", "choose_program", "exec_program", "run_hook", "enter_cwd"))
# What to do, by call and errno; by call alone; by errno alone.
HINTS = {
    ("clone3", codes.EPERM): "making namespaces needs root, or user namespaces that this host allows",
    ("clone3", codes.ENOSPC): "raise /proc/sys/user/max_*_namespaces",
    ("clone3", codes.EINVAL): "this kernel lacks one of these namespaces",
    ("setns", codes.EINVAL): "the file is of another type of namespace",
    ("open_namespace", codes.ENOENT): "the process or file behind this path is gone",
    ("open_tree_by_helper", codes.ENOENT): "the source does not exist on the host",
    ("open_tree_by_helper", codes.EINVAL): "a user namespace shows a tree with mounts below it only whole: use rbind",
    ("idmap", codes.EPERM): "the source is idmapped already, or belongs to a user namespace",
    ("make_user_namespace", codes.EINVAL): "the mapping is not allowed: it overlaps, or has too many lines",
    ("make_user_namespace", codes.EPERM): "the mapping is not allowed: it has ids that this process may not map",
    ("make_user_namespace", codes.ENOSPC): "raise /proc/sys/user/max_user_namespaces",
    ("copy_up", codes.ENOSPC): "what the image has there does not fit: raise size or nr_inodes of the tmpfs",
    ("copy_up", codes.EINVAL): "an owner in the image may have no id in the user namespace",
    ("mount_setattr", codes.EINVAL): "with remount, nothing is mounted there",
    ("fspick", codes.EINVAL): "with remount, nothing is mounted there",
    ("mount_setattr", codes.EPERM): "the host's mount forbids it, and a user namespace cannot undo that",
    ("open_tree", codes.ENOENT): "the source does not exist on the host",
    ("fsopen", codes.ENODEV): "this kernel does not know the file system",
    ("fsconfig", codes.EINVAL): "the file system refused an option",
    ("fsmount", codes.EPERM): "in a user namespace, this needs a namespace of its own (pid for proc, network for sysfs)",
    ("pivot_root", codes.EINVAL): "on an initramfs, use --no-pivot",
    ("raise_rlimit", codes.EPERM): "raising a hard limit needs CAP_SYS_RESOURCE",
    ("prlimit", codes.EPERM): "raising a hard limit needs CAP_SYS_RESOURCE",
    ("sched_setaffinity", codes.EINVAL): "none of these processors is in the process's cpuset",
    ("sched_setaffinity", codes.EBUSY): "a deadline needs all processors",
    ("ioprio_set", codes.EPERM): "this needs CAP_SYS_NICE",
    ("sched_setattr", codes.EINVAL): "this kernel does not know that policy or flag, or the numbers are out of its range",
    ("sched_setattr", codes.EOPNOTSUPP): "this kernel has no utilization clamping",
    ("sched_setattr", codes.EPERM): "realtime needs CAP_SYS_NICE, and in cgroup version 1 linux.resources.cpu.realtimeRuntime; "
    "a deadline needs a cpuset of all processors",
    ("sched_setattr", codes.EBUSY): "the processors have not that much time left for deadlines",
    ("move_device", codes.EINVAL): "this device may not leave its namespace",
    ("set_mempolicy", codes.ENOSYS): "this kernel has no NUMA",
    ("set_mempolicy", codes.EINVAL): "a node does not exist or is not in the cpuset, or this kernel does not know the mode",
    ("write_proc", codes.EPERM): "the mapping is not allowed: overlaps, ids this process may not map, or too many",
    ("open_directory", codes.ENOENT): "the path does not exist",
    ("write_at", codes.ENOENT): "this kernel has no such setting",
}


def describe(plan: Plan, op: Op, errno: int, detail: str, *, child: bool) -> OpError | HookError:
    """Return the error for OP of PLAN, which failed with ERRNO and DETAIL."""
    reason = posix.strerror(errno).lower() if errno else ""
    if detail and (op.call in STEPS_THAT_SPEAK or not errno or reason in detail):
        reason, shown = detail, ""
    else:
        shown = text.brief(op)
        if detail:
            reason = f"{reason}: {detail.strip()}"
    parts = [START, INIT if child else "", op.doing, shown, reason]
    message = ": ".join(part for part in parts if part)
    if op.call == "run_hook":
        return HookError(message, pointer=op.at)
    subject = _subject(op)
    hint = _no_idmap(plan, op) if (subject, errno) == ("idmap", codes.EINVAL) else HINTS.get((subject, errno), "")
    return OpError(message, errno=errno, pointer=op.at, hint=hint)


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
