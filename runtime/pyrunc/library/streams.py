"""Standard streams of a process in a container: as subprocess has them, PIPE, STDOUT and DEVNULL among them."""

from __future__ import annotations

import os
from typing import Protocol

from pyrunc.errors import UsageError

PIPE, STDOUT, DEVNULL = -1, -2, -3  # the values of subprocess


class HasFileno(Protocol):
    """An open file, a socket, or whatever else has a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""


Stream = int | HasFileno | None
"""PIPE, DEVNULL, for standard error STDOUT, a descriptor, or what has one; None: the stream of this program."""

NAMES = ("stdin", "stdout", "stderr")


class Streams:
    """What a process gets, `theirs`, and what we keep of it, `ours`: descriptors by name."""

    def __init__(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        """Open what is to be opened.  Raises UsageError for what is no stream, OSError."""
        self.theirs: list[int] = []
        self.ours: dict[str, int] = {}
        self._opened: list[int] = []
        try:
            for name, asked in zip(NAMES, (stdin, stdout, stderr), strict=True):
                self.theirs.append(self._end(name, asked))
        except BaseException:
            self.close_theirs()
            self.close()
            raise

    def _end(self, name: str, asked: Stream) -> int:
        """Return the descriptor of stream NAME for the process, which is ASKED for."""
        number = NAMES.index(name)
        if asked is None:
            return number if _is_open(number) else self._open_null()
        if asked == PIPE:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            theirs, self.ours[name] = (reading, writing) if name == "stdin" else (writing, reading)
            self._opened.append(theirs)
            return theirs
        if asked == DEVNULL:
            return self._open_null()
        if asked == STDOUT and name == "stderr":
            return self.theirs[1]
        fd = asked if isinstance(asked, int) else asked.fileno()
        if not _is_open(fd):
            hint = "give PIPE, DEVNULL, an open descriptor, or nothing for the stream of this program"
            raise UsageError(f"{name}={asked!r} is not open", hint=hint)
        return fd

    def _open_null(self) -> int:
        """Return a descriptor of /dev/null."""
        self._opened.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        return self._opened[-1]

    def close_theirs(self) -> None:
        """Close what only the process is to have."""
        while self._opened:
            os.close(self._opened.pop())

    def close(self) -> None:
        """Close what we have kept and nobody has taken."""
        while self.ours:
            os.close(self.ours.popitem()[1])

    def take(self, name: str) -> int | None:
        """Return our end of stream NAME, which is the caller's from here on; None if there is none."""
        return self.ours.pop(name, None)


def _is_open(fd: int) -> bool:
    """Return whether descriptor FD is open."""
    try:
        os.fstat(fd)
    except (OSError, OverflowError):
        return False
    return True


__all__ = ["DEVNULL", "PIPE", "STDOUT", "HasFileno", "Stream", "Streams"]
