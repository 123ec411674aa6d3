"""How much memory a command has of its own when it ends: what is shared with nobody, looked at as it exits (ptrace(2)).

Pages of a program's file are not among it: they are in the machine's page cache once, for all who run it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

TRACEME, CONT, SETOPTIONS, TRACEEXIT, EVENT_EXIT = 0, 7, 0x4200, 0x40, 6  # PTRACE_...
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def kilobytes(pid: int, file: str, key: str) -> int:
    """Return what /proc/PID/FILE says about KEY."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def at_exit(command: list[str], said: int) -> tuple[float, int]:
    """Run COMMAND, which says what it says to SAID; return its anonymous memory as it exits, in MiB, and its exit status."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        libc.ptrace(TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            os.execv(command[0], command)
        finally:
            os._exit(127)
    os.waitpid(pid, 0)
    libc.ptrace(SETOPTIONS, pid, None, TRACEEXIT)
    own, passed = 0.0, 0
    while True:
        if libc.ptrace(CONT, pid, None, passed):
            raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSTOPPED(status):
            return own, os.waitstatus_to_exitcode(status)
        passed = os.WSTOPSIG(status)
        if status >> 8 == signal.SIGTRAP | EVENT_EXIT << 8:
            own = kilobytes(pid, "smaps_rollup", "Anonymous") / 1024
        if passed == signal.SIGTRAP:  # that, or execve(2)
            passed = 0
