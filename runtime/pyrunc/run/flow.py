"""Flow: a buffer that copies from one descriptor to another without blocking, for terminals."""

from __future__ import annotations

import posix
from select import POLLIN, POLLOUT

CHUNK = 4096  # poll(2) says of a pipe that so much (PIPE_BUF) can be written without waiting


class Flow:
    """What has come from descriptor `source` and is to go to `target`.

    `pending` has come and not gone yet; meanwhile nothing more is read.
    `ended` says that nothing more will come.  A target that takes no more, as
    nobody is there, ends nothing: what comes is dropped.
    """

    def __init__(self, source: int, target: int, last: bytes = b"") -> None:
        """Begin; LAST is what goes to TARGET when SOURCE has ended."""
        self.source, self.target, self.last = source, target, last
        self.pending = b""
        self.ended = self.refused = False

    def wanted(self) -> tuple[int, int]:
        """Return the descriptor and the event (poll(2)) that `step` waits for; -1 and 0 if none."""
        if self.pending:
            return self.target, POLLOUT
        return (-1, 0) if self.ended else (self.source, POLLIN)

    def step(self) -> None:
        """Read or write once, whichever `wanted` has announced."""
        if self.pending:
            self._write()
        else:
            self._read()

    def _read(self) -> None:
        """Take what has come.  An error is an end: a terminal that is gone has no other."""
        try:
            data = posix.read(self.source, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended = True
            data = self.last
        self.pending = b"" if self.refused else data

    def _write(self) -> None:
        """Pass on as much as the target takes."""
        try:
            self.pending = self.pending[posix.write(self.target, self.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.refused, self.pending = True, b""
