"""How a created container waits for `start`, and how `start` learns what came of it.

Two fifos in the container's directory.  The waiting init holds both open for
reading and writing, so neither call blocks before it should and no path is
looked up after pivot_root(2).  `start` writes one byte to the first and reads
the second: end of file after b"x" means that the program runs.
"""

from __future__ import annotations

import posix
from _signal import SIG_DFL, SIG_SETMASK, pthread_sigmask, signal

from pyrunc.run.interrupt import ENDING
from pyrunc.run.steps.fifos import STARTED
from pyrunc.run.wire import send_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context


def _leave(number: int, _: object) -> None:
    """End the process as the signal would: as pid 1 of a namespace it would be ignored."""
    posix._exit(128 + number)


def wait_for_start(context: Context) -> None:
    """Wait until `start` writes to the fifo behind slot `start`."""
    await_signals()
    while not posix.read(context.slots["start"], 1):
        pass
    for number in ENDING:
        signal(number, SIG_DFL)


def await_signals() -> None:
    """Let the signals that end a process come, with what ends it; all others have their default action."""
    for number in ENDING:
        signal(number, _leave)
    pthread_sigmask(SIG_SETMASK, ())


def announce_exec(context: Context) -> None:
    """Say that only the filter and the execve are left, to `start` or to whoever forked us."""
    if "result" in context.slots:
        posix.write(context.slots["result"], STARTED)
    elif context.sock is not None:
        send_at(context.sock, "exec")
