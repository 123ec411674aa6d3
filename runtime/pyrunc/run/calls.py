"""The executor's table: what each name in a plan does.

KERNEL are plain system calls, which take just their arguments; STEPS take the
Context first, because they keep something there or need several calls.  ON_DEMAND are
steps, too, of which a file is imported only when a plan has them.
"""

from __future__ import annotations

import posix
import sys

from pyrunc.errors import OpError
from pyrunc.linux import fs, loopback, mount, process, sched
from pyrunc.plan.op import Op, Slot
from pyrunc.run.steps import cgroups, comm, files, filters, identity, nsroot, program, propagation, start, tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.plan.op import Plan
    from pyrunc.run.context import Context

FD_MAX = 0xFFFFFFFF
# What would become of the host's own namespace, by its name below /proc/PID/ns.
FOREIGN = {
    "mnt": "its root would become the container's",
    "": "what linux.sysctl and linux.netDevices ask for would be done to the host",
}


def _write_proc(pid: int, name: str, text: str) -> None:
    """Write TEXT to /proc/PID/NAME by one write(2)."""
    fd = posix.open(f"/proc/{pid}/{name}", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, text.encode())
    finally:
        posix.close(fd)


def _raise_rlimit(pid: int, resource: int, hard: int) -> None:
    """Raise the hard limit of child PID to HARD, if it is below.

    A child has our limits; asking for its own would need CAP_SYS_RESOURCE once its ids have changed.
    """
    soft, now = process.get_prlimit(0, resource)
    if hard > now:
        process.prlimit(pid, resource, soft, hard)


def _open_namespace(path: str, kind: int) -> int:
    """Open a namespace file; setns(2) will check that it is of KIND."""
    return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)


def _open_process_namespace(pid: int, name: str) -> int:
    """Open the namespace called NAME that process PID is in."""
    return posix.open(f"/proc/{pid}/ns/{name}", posix.O_RDONLY | posix.O_CLOEXEC)


def _open_foreign_namespace(path: str, name: str) -> int:
    """Open a namespace file that must not be of the namespace called NAME that we, or the machine, are in: it will be changed."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    other = posix.fstat(fd)
    for who in ("self", "1") if name == "mnt" else ("self",):
        try:
            own = posix.stat(f"/proc/{who}/ns/{name}")
        except PermissionError:
            continue  # of process 1, who may not be looked at, nor its namespace be joined by its pid
        if (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino):
            posix.close(fd)
            raise OpError(
                f"{path} is the host's own namespace, and {FOREIGN.get(name, FOREIGN[''])}",
                hint="name another one, or leave the path out for a new one",
            )
    return fd


def _enter_time(proc: int) -> None:
    """Enter the time namespace that unshare(2) made for children (time_namespaces(7))."""
    path = "self/ns/time_for_children"
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=proc)
    process.setns(fd, process.CLONE_NEWTIME)
    posix.close(fd)


def _close_others(context: Context, first: int, *kept: int) -> None:
    """Close every descriptor from FIRST on but what is needed until the execve (CVE-2024-21626), and those KEPT for a while.

    What a caller has leaked to us goes too: a waiting init holds nothing of the host's.
    """
    needed = {context.slots.get("start", -1), context.slots.get("result", -1), *kept}
    if context.sock is not None:
        needed.add(context.sock.fileno())
    if context.program is not None:
        trampoline = context.program.trampoline
        needed |= {context.program.fd, context.names, trampoline.fd if trampoline is not None else -1}
    for fd in sorted(needed):
        if fd > first:
            fs.close_range(first, fd - 1, 0)
        first = max(first, fd + 1)
    fs.close_range(first, FD_MAX, 0)


def _run_mapping_tool(context: Context, *args: Any) -> None:
    """Let newuidmap(1) or newgidmap(1) set a mapping."""
    from pyrunc.run.steps import mapping

    mapping.run_mapping_tool(context, *args)


def _commit(context: Context) -> None:
    """Let the caller write down that the process is ready."""
    context.commit(context.slots["child"])


def _hand_over_terminal(context: Context) -> None:
    """Give the caller the terminal's master."""
    context.terminal(context.slots["master"])


KERNEL: dict[str, Callable[..., Any]] = {
    "bring_up": loopback.bring_up,
    "chdir": posix.chdir,
    "chroot": posix.chroot,
    "enter_time": _enter_time,
    "fchdir": posix.fchdir,
    "fsconfig": mount.fsconfig,
    "fsmount": mount.fsmount,
    "fsopen": mount.fsopen,
    "fspick": mount.fspick,
    "ioprio_set": sched.ioprio_set,
    "mount": mount.mount,
    "mount_setattr": mount.mount_setattr,
    "move_mount": mount.move_mount,
    "open_foreign_namespace": _open_foreign_namespace,
    "open_namespace": _open_namespace,
    "open_process_namespace": _open_process_namespace,
    "open_tree": mount.open_tree,
    "personality": process.personality,
    "pivot_root": mount.pivot_root,
    "prctl": process.prctl,
    "prlimit": process.prlimit,
    "raise_rlimit": _raise_rlimit,
    "sched_setaffinity": sched.sched_setaffinity,
    "sched_setattr": sched.sched_setattr,
    "set_mempolicy": sched.set_mempolicy,
    "setdomainname": process.setdomainname,
    "sethostname": process.sethostname,
    "setns": process.setns,
    "setresgid": posix.setresgid,
    "setresuid": posix.setresuid,
    "setsid": posix.setsid,
    "umask": posix.umask,
    "umount2": mount.umount2,
    "unshare": process.unshare,
    "write_proc": _write_proc,
}
STEPS: dict[str, Callable[..., Any]] = {
    "announce_exec": start.announce_exec,
    "apply_filter": filters.apply_filter,
    "capset": identity.capset,
    "choose_program": program.choose_program,
    "close": files.close,
    "close_others": _close_others,
    "commit": _commit,
    "copy_link": files.copy_link,
    "drop_bounding": identity.drop_bounding,
    "enter_cwd": identity.enter_cwd,
    "enter_namespace_root": nsroot.enter_namespace_root,
    "exec_program": program.exec_program,
    "find_root": nsroot.find_root,
    "hand_over_terminal": _hand_over_terminal,
    "join_keyring": identity.join_keyring,
    "load_filter": filters.load_filter,
    "make_cwd": identity.make_cwd,
    "make_holder_private": propagation.make_holder_private,
    "make_node": files.make_node,
    "make_readonly": files.make_readonly,
    "mask": files.mask,
    "mount_on": files.mount_on,
    "mount_point": files.mount_point,
    "open_directory": files.open_directory,
    "name_program": comm.name_program,
    "open_childs_proc": comm.open_childs_proc,
    "open_mount": files.open_mount,
    "open_null": files.open_null,
    "open_own_proc": comm.open_own_proc,
    "open_program": program.open_program,
    "open_pty": tty.open_pty,
    "own_stdio": identity.own_stdio,
    "pty_slave": tty.pty_slave,
    "raise_ambient": identity.raise_ambient,
    "run_mapping_tool": _run_mapping_tool,
    "set_groups": identity.set_groups,
    "set_window_size": tty.set_window_size,
    "release_listener": filters.release_listener,
    "symlink": files.symlink,
    "take_terminal": tty.take_terminal,
    "tmpfs_mode": files.tmpfs_mode,
    "wait_for_start": start.wait_for_start,
    "write_at": files.write_at,
    **cgroups.STEPS,
}
# Name of a step -> the module of this package that has a function of that name.
ON_DEMAND = {
    "bind_rootfs": "bindroot",
    "copy_up": "copyup",
    "detach_mount": "livemounts",
    "end_helper": "mountns",
    "hand_down": "subgroups",
    "leave": "livemounts",
    "make_private_beside": "peers",
    "make_subgroups": "subgroups",
    "make_user_namespace": "idmap",
    "move_device": "netdevices",
    "move_to_root": "moveroot",
    "note_mount": "livemounts",
    "open_hook_output": "hookoutput",
    "open_tree_by_helper": "mountns",
    "run_hook": "hooks",
    "set_bind_flags": "bindflags",
    "share_listener": "listener",
    "wait_filtered": "listener",
}


def load(plan: Plan) -> None:
    """Import what the steps on demand of PLAN need; past the fork nothing can be."""
    for op in (*plan.host, *plan.child):
        if op.call in ON_DEMAND:
            __import__(f"pyrunc.run.steps.{ON_DEMAND[op.call]}")


def step(name: str) -> Callable[..., Any]:
    """Return the function of step NAME, which `load` has seen to."""
    found = STEPS.get(name)
    return found or getattr(sys.modules[f"pyrunc.run.steps.{ON_DEMAND[name]}"], name)


def perform(op: Op, context: Context) -> None:
    """Do OP: fill its slots in, call, keep the result."""
    slots = context.slots
    args = [slots[arg] if arg.__class__ is Slot else arg for arg in op.args]
    plain = KERNEL.get(op.call)
    value = plain(*args) if plain is not None else step(op.call)(context, *args)
    if op.into:
        slots[op.into] = value
