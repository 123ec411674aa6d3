"""The new process as its parent has it: held by a descriptor, so that no later process of its pid is mistaken for it."""

from __future__ import annotations

import posix
from _signal import SIGKILL, pidfd_send_signal
from select import POLLIN, poll

from pyrunc.cgroup import freezer
from pyrunc.plan.op import Token
from pyrunc.run.children import await_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.linux.socket import Socket
    from pyrunc.run.context import Context

AT_ONCE_MS, END_MS = 500, 10_000  # how long one that was killed is waited for, before and after it is taken out of a freezer


def follow(context: Context, pid: int) -> None:
    """Take process PID for the child, and hold it by a descriptor: no later process can be mistaken for it."""
    if context.pidfd >= 0:
        posix.close(context.pidfd)
    context.slots["child"] = pid
    context.pidfd = posix.pidfd_open(pid)
    context.record(Token("clone3", (str(pid),)))


def will_say(sock: Socket, pidfd: int) -> bool:
    """Wait until there is something to read from SOCK, and return whether there is: not if process PIDFD ends without a word.

    The other end is open all the same: the process that it has forked has it.
    """
    watch = poll()
    watch.register(sock, POLLIN)
    watch.register(pidfd, POLLIN)
    while sock.fileno() not in {fd for fd, _ in watch.poll()}:
        watch.unregister(pidfd)
        if not watch.poll(0):  # what it has said before it ended is here by now
            return False
    return True


def end(context: Context) -> None:
    """End the child, if there is one, and wait for it, for ten seconds at most: it may hang in the kernel."""
    pid, pidfd = context.slots.pop("child", 0), context.pidfd
    if not pid:
        return
    if pidfd < 0:
        _end_by_pid(pid)
        return
    watch = poll()
    watch.register(pidfd, POLLIN)
    try:
        pidfd_send_signal(pidfd, SIGKILL)
        if not watch.poll(AT_ONCE_MS):
            freezer.move_out(pid)
            if not watch.poll(END_MS):
                context.left.append(f"process {pid} has not ended {END_MS // 1000} s after SIGKILL: see /proc/{pid}/stack")
                return
        posix.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # it is gone and waited for: failure.py did


def _end_by_pid(pid: int) -> None:
    """End process PID, which there was no descriptor for, if it is our child: a child's pid is not used again."""
    try:
        if posix.waitpid(pid, posix.WNOHANG)[0] == 0:
            posix.kill(pid, SIGKILL)
            await_end(pid, END_MS / 1000)
    except (ProcessLookupError, ChildProcessError):
        return


def let_go(context: Context) -> None:
    """Close the descriptor of the child, which goes on without us."""
    if context.pidfd >= 0:
        posix.close(context.pidfd)
        context.pidfd = -1
