"""Processes in a container, and their streams, for programs without an event loop."""

from __future__ import annotations

import signal as signals
from typing import BinaryIO, Self

from pyrunc.library.held import Held
from pyrunc.library.requests import Made
from pyrunc.library.streams import Streams


class Waited(Held):
    """A process that can be waited for, with its streams: files in binary mode where PIPE was asked for, else None."""

    def __init__(self, made: Made, streams: Streams | None = None) -> None:
        """Take what was MADE, and our ends of its STREAMS."""
        super().__init__(made)
        self.stdin: BinaryIO | None = self._open(streams, "stdin", "wb")
        self.stdout: BinaryIO | None = self._open(streams, "stdout", "rb")
        self.stderr: BinaryIO | None = self._open(streams, "stderr", "rb")

    @staticmethod
    def _open(streams: Streams | None, name: str, mode: str) -> BinaryIO | None:
        """Return stream NAME of STREAMS as a file of this MODE."""
        fd = None if streams is None else streams.take(name)
        return None if fd is None else open(fd, mode)  # type: ignore[return-value]  # the mode is binary

    def wait(self, timeout: float | None = None) -> int:
        """Wait for it to end, and return its exit status; less than 0: the signal that ended it, as -9.

        Raises TimeoutError if that takes longer than TIMEOUT seconds.  Of what another program has made, the exit status is known
        from Linux 6.15 on; else StateError is raised when it has ended.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"it has not ended within {timeout:g} s")
        assert self._ended.status is not None
        return self._ended.status

    def _close_streams(self) -> None:
        """Close our ends of the streams; nobody reads what has not been written yet."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        self._hang_up()


class Process(Waited):
    """A process that `Container.exec` has started.  As a context manager it is killed at the end, if it still runs."""

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send it SIGNAL.  Raises ProcessLookupError if it has ended."""
        if self._ended.pidfd < 0:
            raise ProcessLookupError("the process has ended")
        signals.pidfd_send_signal(self._ended.pidfd, signal)

    def close(self) -> None:
        """Let go of it: it goes on by itself, and can be waited for no more."""
        self._close_streams()
        self._ended.close()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and close all that is held of it."""
        try:
            self.kill()
            self.wait()
        except ProcessLookupError:
            pass  # it has by itself
        finally:
            self.close()


__all__ = ["Process", "Waited"]
