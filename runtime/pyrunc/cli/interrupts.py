"""What a command does with the signals that end it: it stops where it is, once, and undoes what it has begun."""

from __future__ import annotations

import sys
from _signal import (
    ITIMER_REAL,
    SIG_BLOCK,
    SIG_DFL,
    SIG_UNBLOCK,
    SIGALRM,
    SIGINT,
    getsignal,
    pthread_sigmask,
    raise_signal,
    setitimer,
    signal,
)

from pyrunc.run.interrupt import ENDING

AGAIN = 0.0005  # seconds until an interrupt is tried again


def heed() -> None:
    """Let ^C raise KeyboardInterrupt from here on, so that what is half made is undone; if it is ignored, it stays so.

    Where nobody can catch it, as in a __del__, it is raised again a moment later.
    """
    sys.unraisablehook = _raise_again
    _heed(SIGINT)


def undo_when_ended() -> None:
    """Let each signal that would end us do so, too: a caller who gives up finds nothing left."""
    for number in ENDING:
        _heed(number)


def _heed(number: int) -> None:
    """Let signal NUMBER raise KeyboardInterrupt, unless the caller has us ignore it, as nohup(1) does."""
    if getsignal(number) == SIG_DFL:
        signal(number, _interrupt)


def _interrupt(number: int, _: object) -> None:
    """Raise KeyboardInterrupt, and let no other signal do so: it would cut off what undoes the first one's harm.

    Signal NUMBER may have come before these were held, and is heard only now: then it waits as the others do.
    """
    if number in pthread_sigmask(SIG_BLOCK, ENDING):
        raise_signal(number)
    else:
        raise KeyboardInterrupt


def _raise_again(what: sys.UnraisableHookArgs) -> None:
    """Pass on an interrupt that WHAT could not; the traceback of anything else would be of no use to anybody.

    By a timer, as nobody could catch what is raised in here either.
    """
    if issubclass(what.exc_type, KeyboardInterrupt):
        signal(SIGALRM, _try_again)
        setitimer(ITIMER_REAL, AGAIN)
        pthread_sigmask(SIG_UNBLOCK, ENDING)


def _try_again(*_: object) -> None:
    """Raise KeyboardInterrupt, as soon as interrupts are not held: what goes on then must not be cut off."""
    if SIGINT in pthread_sigmask(SIG_BLOCK, ()):
        setitimer(ITIMER_REAL, AGAIN)
    else:
        _interrupt(SIGINT, None)
