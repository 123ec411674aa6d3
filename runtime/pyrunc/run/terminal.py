"""The host's side of a foreground terminal: our own streams and the container's pty, connected.

Loaded only for `run` and `exec` with a terminal.
"""

from __future__ import annotations

import errno
import posix
import termios
from _signal import SIGWINCH, valid_signals
from _struct import unpack_from
from fcntl import ioctl
from select import POLLHUP, POLLIN, poll

from pyrunc.linux.process import signalfd
from pyrunc.run.supervise import pass_on, reap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

CHUNK = 65536
SIGINFO_SIZE = 128  # struct signalfd_siginfo
STDIN, STDOUT = 0, 1


class Relay:
    """Copies between our standard streams and `master` until the process behind it has ended."""

    def __init__(self, master: int) -> None:
        """Take over MASTER, which is closed at the end."""
        self.master = master
        self.saved: list[object] | None = None
        self.signals = signalfd(sum(1 << number - 1 for number in valid_signals()))
        self.watch = poll()

    def __enter__(self) -> Self:
        """Make our terminal, if we have one, raw."""
        if posix.isatty(STDIN):
            self.saved = termios.tcgetattr(STDIN)
            _make_raw(STDIN)
        for fd in (STDIN, self.master, self.signals):
            self.watch.register(fd, POLLIN)
        return self

    def __exit__(self, *_: object) -> None:
        """Put our terminal back as it was."""
        if self.saved is not None:
            termios.tcsetattr(STDIN, termios.TCSADRAIN, self.saved)  # type: ignore[arg-type]
        posix.close(self.master)
        posix.close(self.signals)

    def supervise(self, pid: int) -> int:
        """Copy, pass signals on to PID, and return its status once it has ended and all is shown."""
        status = reap(pid)
        while status is None:
            for fd, event in self.watch.poll():
                if fd == self.signals:
                    self._signal(pid)
                elif fd == self.master:
                    self._output(event)
                else:
                    self._input()
            status = reap(pid)
        posix.set_blocking(self.master, False)
        while self._output(POLLIN):
            continue
        return status

    def _signal(self, pid: int) -> None:
        """Deal with one signal that has come in."""
        (number,) = unpack_from("=I", posix.read(self.signals, SIGINFO_SIZE))
        if number == SIGWINCH:
            _copy_size(self.master)
        else:
            pass_on(pid, number)

    def _output(self, event: int) -> bool:
        """Copy what the container wrote; return whether there was anything."""
        try:
            data = posix.read(self.master, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # nobody holds the other end
        if not data:
            if event & POLLHUP:
                self._forget(self.master)
            return False
        while data:
            data = data[posix.write(STDOUT, data) :]
        return True

    def _input(self) -> None:
        """Copy what we were given; at its end, say so as a terminal does, with ^D."""
        data = posix.read(STDIN, CHUNK)
        if not data:
            self._forget(STDIN)
            data = b"\x04"
        while data:
            data = data[posix.write(self.master, data) :]

    def _forget(self, fd: int) -> None:
        """Watch FD no longer."""
        try:
            self.watch.unregister(fd)
        except KeyError:
            return


def prepare(master: int) -> None:
    """Set the terminal behind MASTER up, before its program can look at it: the size of ours, no carriage returns added."""
    _clear_onlcr(master)
    _copy_size(master)


def _copy_size(master: int) -> None:
    """Give the container's terminal the size of ours, if we have one."""
    if posix.isatty(STDIN):
        ioctl(master, termios.TIOCSWINSZ, ioctl(STDIN, termios.TIOCGWINSZ, bytes(8)))


def _clear_onlcr(fd: int) -> None:
    """Let our terminal, not the container's, add carriage returns."""
    settings = termios.tcgetattr(fd)
    settings[1] &= ~termios.ONLCR
    termios.tcsetattr(fd, termios.TCSANOW, settings)


def _make_raw(fd: int) -> None:
    """Let every byte through unchanged (termios(3), cfmakeraw)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = termios.tcgetattr(fd)
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    iflag &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    # Output processing stays: the container's side adds no carriage returns, so ours must.
    oflag |= termios.OPOST | termios.ONLCR
    termios.tcsetattr(fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, ispeed, ospeed, cc])
