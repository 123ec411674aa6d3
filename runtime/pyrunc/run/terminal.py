"""The host's side of a foreground terminal: our own streams and the container's pty, connected.

Loaded only for `run` and `exec` with a terminal.
"""

from __future__ import annotations

import posix
from _signal import SIGWINCH, valid_signals
from _struct import unpack_from
from select import POLLIN, poll

from pyrunc.linux import tty
from pyrunc.linux.process import signalfd
from pyrunc.run.children import OURS, pass_on, reap
from pyrunc.run.flow import Flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

SIGINFO_SIZE = 128  # struct signalfd_siginfo
STDIN, STDOUT = 0, 1
END_OF_FILE = b"\x04"  # ^D


class Relay:
    """Copies between our standard streams and `master` until the process behind it has ended.

    A stream of ours that is gone does not end the container: as with runc it
    goes on without.
    """

    def __init__(self, master: int) -> None:
        """Take over MASTER, which is closed at the end."""
        self.master = master
        self.saved: tty.Settings | None = None
        self.signals = signalfd(sum(1 << number - 1 for number in valid_signals()))

    def __enter__(self) -> Self:
        """Make our terminal, if we have one, raw."""
        if posix.isatty(STDIN):
            self.saved = tty.get_settings(STDIN)
            _make_raw(STDIN)
        posix.set_blocking(self.master, False)
        # A raw terminal ends only by being gone, which is nothing that its user has typed.
        self.typed = Flow(STDIN, self.master, END_OF_FILE if self.saved is None else b"")
        self.shown = Flow(self.master, STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        """Put our terminal back as it was."""
        try:
            if self.saved is not None:
                tty.set_settings(STDIN, self.saved)
        except OSError:
            pass  # it is gone
        finally:
            posix.close(self.master)
            posix.close(self.signals)

    def supervise(self, pid: int) -> int:
        """Copy, pass signals on to PID, and return its status once it has ended and all is shown."""
        status = reap(pid)
        while status is None:
            for number in self._wait(self.typed, self.shown):
                if number == SIGWINCH:
                    _copy_size(self.master)
                else:
                    pass_on(pid, number)
            status = reap(pid)
        self._finish()
        return status

    def _wait(self, *flows: Flow) -> list[int]:
        """Wait until something can be done for one of FLOWS, and do it; return the signals that came."""
        wanted: dict[int, int] = {self.signals: POLLIN}
        for fd, event in (flow.wanted() for flow in flows):
            if fd >= 0:
                wanted[fd] = wanted.get(fd, 0) | event
        watch = poll()
        for fd, events in wanted.items():
            watch.register(fd, events)
        ready = {fd for fd, _ in watch.poll()}
        for flow in flows:
            if flow.wanted()[0] in ready:
                flow.step()
        if self.signals not in ready:
            return []
        return [unpack_from("=I", posix.read(self.signals, SIGINFO_SIZE))[0]]

    def _finish(self) -> None:
        """Show what is left, unless a signal says that nobody wants to see it."""
        self.typed.ended = True
        while True:
            while self.shown.pending:
                if any(number not in OURS for number in self._wait(self.shown)):
                    return
            self.shown.step()
            if not self.shown.pending:
                return


def prepare(master: int) -> None:
    """Set the terminal behind MASTER up, before its program can look at it: the size of ours, no carriage returns added."""
    _clear_onlcr(master)
    _copy_size(master)


def _copy_size(master: int) -> None:
    """Give the container's terminal the size of ours, if we have one."""
    if posix.isatty(STDIN):
        try:
            size = tty.get_size(STDIN)
        except OSError:
            return  # it has just gone
        tty.set_size(master, size)


def _clear_onlcr(fd: int) -> None:
    """Let our terminal, not the container's, add carriage returns."""
    settings = tty.get_settings(fd)
    tty.set_settings(fd, settings.replace(oflag=settings.oflag & ~tty.ONLCR))


def _make_raw(fd: int) -> None:
    """Let every byte through unchanged (termios(3), cfmakeraw)."""
    now = tty.get_settings(fd)
    iflag = now.iflag & ~(tty.IGNBRK | tty.BRKINT | tty.PARMRK | tty.ISTRIP)
    iflag &= ~(tty.INLCR | tty.IGNCR | tty.ICRNL | tty.IXON)
    lflag = now.lflag & ~(tty.ECHO | tty.ECHONL | tty.ICANON | tty.ISIG | tty.IEXTEN)
    cflag = now.cflag & ~(tty.CSIZE | tty.PARENB) | tty.CS8
    # Output processing stays: the container's side adds no carriage returns, so ours must.
    oflag = now.oflag | tty.OPOST | tty.ONLCR
    tty.set_settings(fd, now.replace(iflag=iflag, oflag=oflag, lflag=lflag, cflag=cflag))
