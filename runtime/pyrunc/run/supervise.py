"""Stay with a foreground process: pass signals on, reap, and report how it ended."""

from __future__ import annotations

import posix
from _signal import SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, sigwaitinfo, valid_signals

# What is about ourselves: children, our own streams, our own terminal.
OURS = (SIGCHLD, SIGPIPE, SIGURG, SIGWINCH)


def supervise(pid: int, master: int = -1) -> int:
    """Wait for child PID and return its status, 128 plus the number of a signal that ended it.

    All signals must be blocked; they go to PID.  MASTER is the terminal of the
    process, to be connected with our own streams; -1 for none.
    """
    if master >= 0:
        from pyrunc.run import terminal

        with terminal.Relay(master) as relay:
            return relay.supervise(pid)
    status = reap(pid)
    while status is None:
        pass_on(pid, sigwaitinfo(valid_signals()).si_signo)
        status = reap(pid)
    return status


def pass_on(pid: int, number: int) -> None:
    """Send signal NUMBER to PID, unless it is about ourselves."""
    if number not in OURS:
        try:
            posix.kill(pid, number)
        except ProcessLookupError:
            return  # it has just ended: the next wait will say how


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
