"""The process that orphans fall to, so that a test can tell which processes it has left.

Every process that a runtime leaves, be it a container's init, a hook's child or half of a
failed create, becomes a child of the nearest subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).
`keep` splits pytest in two: the parent becomes that subreaper and reaps, the child goes on
with the tests.  What the parent has besides the child is what the tests have left; no
other work on the machine can be mistaken for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
_KEEPERS: list[int] = []


def keep() -> None:
    """Go on in a child process; the parent reaps until that child has ended, and ends likewise."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        _KEEPERS.append(keeper)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    for pid in children(keeper):
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def children(pid: int) -> set[int]:
    """Return the children of process PID that still run."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found |= {int(word) for word in (task / "children").read_text().split()}
        except FileNotFoundError:
            continue  # a thread that has just ended
    return {child for child in found if running(child)}


def running(pid: int) -> bool:
    """Return whether there is a process PID that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def left() -> set[int]:
    """Return the processes that the tests have started, by whatever way, and that still run."""
    found = children(os.getpid())
    for keeper in _KEEPERS:
        found |= children(keeper) - {os.getpid()}
    return found


def shown(pid: int) -> str:
    """Return PID with its command line, for a message."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        line = "(gone)"
    return f"{pid}: {line or '(no command line)'}"
