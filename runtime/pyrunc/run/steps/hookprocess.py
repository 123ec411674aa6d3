"""The process of a hook, from the fork to its execve: directory, streams, signals, and what confines it.

Not posix_spawn(3): that leaves signals 32 and 33 ignored, and knows neither a
directory nor a filter.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, SIGKILL, SIGSTOP, pthread_sigmask, valid_signals
from fcntl import F_DUPFD_CLOEXEC, fcntl

from pyrunc.linux import process
from pyrunc.linux.sharedmemory import shared_memory
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Filter

SIGNALS = tuple(number for number in range(1, 65) if number not in (SIGKILL, SIGSTOP))
NOT_STARTED = 127
# What the new process was at when it failed.
DIRECTORY, LIMITS, FILTER, EXECUTE = range(4)
STAGES = ("its directory: ", "its rlimits: ", "its seccomp filter: ", "")


class Around(Record):
    """What a hook's process gets beside its program.

    `directory` is a path of the host's (where that is gone: its root), or a
    descriptor, or None for where we are.  `limits` and `filter` are those of the container's process,
    where the hook is a program of the image.  `fd` is that program, opened and
    checked; without one PATH is executed as it is.  `outputs` are files that take its standard output and error; -1: a pipe does.
    """

    path: str
    directory: int | str | None
    limits: tuple[tuple[int, int, int], ...] = ()
    filter: Filter | None = None
    fd: int = -1
    outputs: tuple[int, int] = (-1, -1)


class Outcome:
    """Memory that both share: under a filter the new process can write to no descriptor for sure."""

    def __init__(self) -> None:
        """Map it."""
        self.memory = shared_memory(-1, 8)

    def note(self, stage: int, number: int) -> None:
        """Say that STAGE has failed with errno NUMBER."""
        self.memory[4] = stage
        self.memory[0:4] = number.to_bytes(4, "little")

    def said(self) -> str:
        """Return what has failed, in words; nothing if the program has been executed."""
        number = int.from_bytes(self.memory[0:4], "little")
        return STAGES[self.memory[4]] + posix.strerror(number).lower() if number else ""


def start(image: process.Image, around: Around, streams: tuple[int, ...], outcome: Outcome) -> int:
    """Start a process that becomes IMAGE, in a process group of its own; return its pid.

    STREAMS become its standard streams.  Why it has not become that is in OUTCOME.
    """
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        pid = process.clone3(0)
        if pid == 0:
            _become(image, around, streams, outcome)
    finally:
        pthread_sigmask(SIG_SETMASK, before)
    try:
        posix.setpgid(pid, pid)
    except OSError:
        pass  # it has done so itself, and is further on already
    return pid


def _become(image: process.Image, around: Around, streams: tuple[int, ...], outcome: Outcome) -> None:
    """Be the new process; leave by execve or _exit."""
    stage = DIRECTORY
    try:
        posix.setpgid(0, 0)
        # Where ours were closed, a pipe may have the number of a standard stream.
        for number, fd in enumerate([fcntl(fd, F_DUPFD_CLOEXEC, 3) for fd in streams]):
            posix.dup2(fd, number)
        _enter(around.directory)
        for number in SIGNALS:
            process.default_action(number)
        stage = LIMITS
        for limit in around.limits:
            process.prlimit(0, *limit)
        pthread_sigmask(SIG_SETMASK, ())
        stage = FILTER
        if around.filter is not None:
            process.seccomp_set_mode_filter(around.filter.address, around.filter.flags)
        stage = EXECUTE
        if around.fd >= 0:
            process.execveat(around.fd, "", image, process.AT_EMPTY_PATH)
        process.execve(around.path, image)
    except OSError as error:
        outcome.note(stage, error.errno or 0)
    finally:
        posix._exit(NOT_STARTED)


def _enter(directory: int | str | None) -> None:
    """Go to DIRECTORY: a hook of `delete` runs even where the bundle is gone by then."""
    if isinstance(directory, int):
        posix.fchdir(directory)
    elif directory is not None:
        try:
            posix.chdir(directory)
        except OSError:
            posix.chdir("/")
