"""Look at something in a process of its own: what that has become, or has opened, ends with it."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, SIGKILL, pthread_sigmask, valid_signals

from pyrunc.host.files import write
from pyrunc.jsonio import dumps, loads
from pyrunc.linux import process
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CHUNK = 1 << 16
GO = b"g"


def apart(work: Callable[[], object], flags: int = 0, mappings: dict[str, str] | None = None) -> Any:
    """Return what WORK returns, in JSON's types, when it is done by a new process; None if that fails.

    The process is in new namespaces by FLAGS of clone(2); a new user namespace gets MAPPINGS, the text of its files in
    /proc/PID.  WORK may import nothing.
    """
    answers, answer = posix.pipe()
    waits, goes = posix.pipe()
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    pid = -1
    try:
        pid = process.clone3(flags)
        if pid == 0:
            _be(work, waits, goes, answer)
        posix.close(waits)
        for name, lines in (mappings or {}).items():
            write(f"/proc/{pid}/{name}", lines)
        posix.write(goes, GO)
    except OSError:
        pass  # no such namespaces, or not these mappings: without a word it ends, and says nothing
    finally:
        pthread_sigmask(SIG_SETMASK, before)
        for fd in (goes, answer):
            posix.close(fd)
    text = b""
    while part := posix.read(answers, CHUNK):
        text += part
    posix.close(answers)
    if pid > 0:
        posix.waitpid(pid, 0)
    return loads(text) if text else None


def _be(work: Callable[[], object], waits: int, goes: int, answer: int) -> None:
    """Be the new process: wait for a word at WAITS, whose other end is GOES, do WORK, tell ANSWER, and end."""
    try:
        posix.close(goes)
        if posix.read(waits, 1) == GO:
            seal()
            process.prctl(process.PR_SET_PDEATHSIG, SIGKILL)
            posix.write(answer, dumps(work()).encode())
    finally:
        posix._exit(0)
