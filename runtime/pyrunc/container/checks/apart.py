"""Look at something in a process of its own: what that has become, or has opened, ends with it."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, SIGKILL, pthread_sigmask, valid_signals

from pyrunc.jsonio import dumps, loads
from pyrunc.linux import process
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CHUNK = 1 << 16


def apart(work: Callable[[], object]) -> Any:
    """Return what WORK returns, in JSON's types, when it is done by a new process; None if that fails.

    WORK may import nothing.
    """
    end, other = posix.pipe()
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        pid = process.clone3(0)
        if pid == 0:
            try:
                seal()
                process.prctl(process.PR_SET_PDEATHSIG, SIGKILL)
                posix.write(other, dumps(work()).encode())
            finally:
                posix._exit(0)
    finally:
        posix.close(other)
        pthread_sigmask(SIG_SETMASK, before)
    text = b""
    while part := posix.read(end, CHUNK):
        text += part
    posix.close(end)
    posix.waitpid(pid, 0)
    return loads(text) if text else None
