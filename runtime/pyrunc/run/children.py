"""Our children, and the signals that are theirs: what every way of staying with a process needs."""

from __future__ import annotations

import posix
from _signal import SIGCHLD, SIGPIPE, SIGURG, SIGWINCH
from time import monotonic, sleep

STEP = 0.0005  # seconds between two looks at a child that ought to end
FORKED_ONLY = 0x40  # PF_FORKNOEXEC of the kernel's include/linux/sched.h: it has forked, and executed nothing since
# What is about ourselves: children, our own streams, our own terminal.
OURS = (SIGCHLD, SIGPIPE, SIGURG, SIGWINCH)


def has_executed(pid: int) -> bool | None:
    """Return whether process PID has executed a program since it was forked (proc(5), stat); None if it is gone.

    The kernel clears the mark before it closes what is close-on-exec: whoever
    has seen the end of that can tell an execve from a death.
    """
    try:
        fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = posix.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        posix.close(fd)
    return not int(text[text.rindex(b")") + 2 :].split()[6]) & FORKED_ONLY


def pass_on(pid: int, number: int) -> None:
    """Send signal NUMBER to PID, unless it is about ourselves."""
    if number not in OURS:
        try:
            posix.kill(pid, number)
        except ProcessLookupError:
            return  # it has just ended: the next wait will say how


def await_end(pid: int, seconds: float) -> int | None:
    """Wait for child PID to end and return its status, as waitpid(2) has it; None if it is still there after SECONDS.

    A process that was killed may hang in the kernel, or be frozen.  Raises ChildProcessError if it is no child of ours.
    """
    deadline = monotonic() + seconds
    while True:
        found, status = posix.waitpid(pid, posix.WNOHANG)
        if found:
            return status
        if monotonic() > deadline:
            return None
        sleep(STEP)


def reap(pid: int) -> int | None:
    """Wait for every child that has ended; return the status of PID if it is among them."""
    while True:
        try:
            found, status = posix.waitpid(-1, posix.WNOHANG)
        except ChildProcessError:
            return None
        if found == 0:
            return None
        if found == pid:
            code = posix.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
