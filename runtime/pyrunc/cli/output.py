"""Standard output and standard error, by write(2): all of it, in UTF-8, whatever the locale says."""

from __future__ import annotations

import posix

from pyrunc import handover

BROKEN_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ended, as it would end runc


def write(text: str, fd: int = 1) -> int:
    """Write all of TEXT to FD; return the exit status: 0, or 141 if nobody reads it any more.

    Raises OSError for every other failure: a full disk, a descriptor that is not open.
    """
    handover.begin()
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    try:
        while data:
            data = data[posix.write(fd, data) :]
    except BrokenPipeError:
        return BROKEN_PIPE
    return 0
