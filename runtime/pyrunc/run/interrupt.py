"""Signals that end a command while it makes something: heeded where it waits, held where it must not be cut off."""

from __future__ import annotations

from _signal import (
    SIG_BLOCK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGHUP,
    SIGINT,
    SIGQUIT,
    SIGTERM,
    pthread_sigmask,
    sigpending,
)
from select import POLLIN, poll
from time import monotonic

ENDING = (SIGTERM, SIGINT, SIGHUP, SIGQUIT)
GRACE_SECONDS, STEP_MS = 1.0, 100


class Heeding:
    """A time in which the signals of ENDING are let in, though all may be blocked before and after.

    What goes on in it may wait for ever, and must be fit to be undone: a
    command has such a signal raise KeyboardInterrupt (cli/interrupts.py).
    """

    def __enter__(self) -> None:
        """Begin, with what is pending."""
        self.before = pthread_sigmask(SIG_BLOCK, ())
        try:
            pthread_sigmask(SIG_UNBLOCK, ENDING)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        """End: what comes from here on waits again, if it did before."""
        pthread_sigmask(SIG_SETMASK, self.before)


class Holding:
    """A time in which the signals of ENDING wait: what is made in it is recorded in it, too.

    What goes on in it must not wait for anybody.
    """

    def __enter__(self) -> None:
        """Begin."""
        self.before = pthread_sigmask(SIG_BLOCK, ENDING)

    def __exit__(self, *_: object) -> None:
        """End: what has come meanwhile is heard, if it was before."""
        pthread_sigmask(SIG_SETMASK, self.before)


def await_readable(fd: int) -> None:
    """Wait until FD can be read, or has ended, while all signals are blocked.

    Raises KeyboardInterrupt if one of ENDING is pending and nothing comes for
    a second more.  So a signal that comes when the program has just begun, and
    we do not know it yet, is still there to be passed on to it.
    """
    watch = poll()
    watch.register(fd, POLLIN)
    asked = 0.0
    while not watch.poll(STEP_MS):
        if sigpending().isdisjoint(ENDING):
            continue
        asked = asked or monotonic()
        if monotonic() - asked > GRACE_SECONDS:
            raise KeyboardInterrupt
