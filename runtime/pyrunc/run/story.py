"""The whole story of a failed op: what was tried, what the kernel said, where the configuration asked for it.

Loaded only when something went wrong.
"""

from __future__ import annotations

import errno as codes
import posix

from pyrunc.errors import HookError, OpError
from pyrunc.plan import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Op
    from pyrunc.run.context import Context

START = "unable to start container process"
INIT = "error during container init"
# Calls whose name says nothing to a person: the message of the step does.
STEPS_THAT_SPEAK = frozenset(("open_program", "choose_program", "exec_program", "run_hook", "enter_cwd"))
# What to do, by call and errno; by call alone; by errno alone.
HINTS = {
    ("clone3", codes.EPERM): "making namespaces needs root, or user namespaces that this host allows",
    ("clone3", codes.ENOSPC): "raise /proc/sys/user/max_*_namespaces",
    ("clone3", codes.EINVAL): "this kernel lacks one of these namespaces",
    ("setns", codes.EINVAL): "the file is of another type of namespace",
    ("open_namespace", codes.ENOENT): "the process or file behind this path is gone",
    ("open_tree_inside", codes.ENOENT): "the source does not exist on the host",
    ("open_tree_inside", codes.EINVAL): "a user namespace shows a tree with mounts below it only whole: use rbind",
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


def tell(op: Op, errno: int, detail: str, *, child: bool) -> OpError | HookError:
    """Return the error for OP, which failed with ERRNO and DETAIL."""
    reason = posix.strerror(errno).lower() if errno else ""
    if detail and (op.call in STEPS_THAT_SPEAK or not errno or reason in detail):
        reason, shown = detail, ""
    else:
        shown = text.call(op).partition(" = ")[2] or text.call(op)
        if detail:
            reason = f"{reason}: {detail.strip()}"
    parts = [START, INIT if child else "", op.doing, shown, reason]
    message = ": ".join(part for part in parts if part)
    if op.call == "run_hook":
        return HookError(message, pointer=op.at)
    return OpError(message, errno=errno, pointer=op.at, hint=HINTS.get((op.call, errno), ""))


def tell_death(context: Context, barrier: str) -> OpError:
    """Return the error for a child that died without a word, before BARRIER."""
    pid = context.slots.pop("child", 0)
    status = posix.waitpid(pid, 0)[1] if pid else 0
    code = posix.waitstatus_to_exitcode(status)
    how = f"killed by signal {-code}" if code < 0 else f"exited with status {code}"
    hint = ""
    if code == -9:
        hint = "the memory limit may be too low to start (/linux/resources/memory/limit); see the kernel's log"
    message = f"{START}: {INIT}: the container's init was {how} before it reached {barrier}"
    return OpError(message.replace("was exited", "exited"), hint=hint)
