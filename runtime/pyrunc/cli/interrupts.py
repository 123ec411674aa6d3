"""What a command does with the signals that end it, if it makes something that has to be undone then."""

from __future__ import annotations

from _signal import SIG_DFL, default_int_handler, getsignal, signal

from pyrunc.run.interrupt import ENDING


def undo_when_ended() -> None:
    """Let each signal that would end us raise KeyboardInterrupt, as ^C does: a caller who gives up finds nothing left.

    What the caller has us ignore, as nohup(1) does, stays ignored.
    """
    for number in ENDING:
        if getsignal(number) == SIG_DFL:
            signal(number, default_int_handler)
