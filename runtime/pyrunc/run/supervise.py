"""Stay with a foreground process: pass signals on, reap, and report how it ended."""

from __future__ import annotations

from _signal import sigwaitinfo, valid_signals

from pyrunc.run.children import pass_on, reap


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
