"""Who works on a container: one command at a time for what is not done in a moment (docs/architecture.md, "Ownership and locks").

The container's file `lock` is locked only while it is read or written, never while anybody is waited for.
In it stands a line for each command at work: pid, start time, verb, whether it wants to be alone, and what
it waits for.  A line whose process has ended means nothing, so a command that was killed keeps nobody out.
"""

from __future__ import annotations

import posix
from errno import EMFILE, ENFILE
from fcntl import LOCK_EX, LOCK_UN, flock
from time import monotonic, sleep

from pyrunc.container.statefile import missing
from pyrunc.errors import OpError, StateError
from pyrunc.host import tasks
from pyrunc.record import Record

LOCK = "lock"
SIZE, SIZE_MAX = 256, 1 << 16
WAIT_SECONDS = 10.0
PATIENCE_SECONDS = 2.0  # for a hook, or CRIU, of a container that is gone already
ALONE, SHARED = "alone", "shared"


class Worker(Record):
    """A command at work: `kind` is ALONE, or SHARED while it lets others work too.

    `helper` is the process that it waits for (a hook, CRIU), 0 for none.
    """

    pid: int
    start: int
    verb: str
    kind: str = ALONE
    helper: int = 0
    helper_start: int = 0


class Work:
    """Our own work on the container in `directory`, until `close`; `fd` is its lock, open, and locked only for moments."""

    def __init__(self, directory: str, fd: int, own: Worker) -> None:
        """Begin with the lock FD, in which OWN stands already."""
        self.directory, self.fd, self.own = directory, fd, own

    def share(self) -> None:
        """Let others work on the container too, from here on: hooks run, which may call us for it."""
        self._change(self.own.replace(kind=SHARED))

    def waits_for(self, pid: int) -> None:
        """Write down that we wait for process PID, which is a hook or CRIU, so that `delete --force` can end it."""
        self._change(self.own.replace(helper=pid, helper_start=tasks.start_time(pid)))

    def gone(self) -> bool:
        """Return whether the container was deleted meanwhile; its name may be another's by now."""
        return not posix.fstat(self.fd).st_nlink

    def close(self) -> None:
        """Be done."""
        if self.fd >= 0:
            self._change(None)
            fd, self.fd = self.fd, -1
            try:
                posix.close(fd)
            except OSError:
                return  # a disk that fails: what stood in the lock means nothing once we have ended

    def _change(self, own: Worker | None) -> None:
        """Let OWN, or nothing, stand for us.  That it cannot be written harms nobody for longer than we live."""
        try:
            flock(self.fd, LOCK_EX)
            rest = [each for each in _read(self.fd) if each != self.own]
            _write(self.fd, [*rest, own] if own is not None else rest)
            flock(self.fd, LOCK_UN)
        except OSError:
            return
        self.own = own or self.own


def begin(directory: str, verb: str) -> Work:
    """Begin to work alone on the container in DIRECTORY, for VERB.

    A command that is at work is waited for, but not one that waits for us: as it has started us, or the hook
    that has.  Raises StateError, which names it, if it is not done within ten seconds, and if there is no container.
    """
    found = _begin(directory, verb, 0)
    if found is None:
        raise missing(directory)
    return found


def begin_new(directory: str, verb: str) -> Work | None:
    """Do as `begin` for a directory that may have no lock yet; None if it is gone."""
    return _begin(directory, verb, posix.O_CREAT)


def begin_by_force(directory: str, verb: str) -> Work | None:
    """Do as `begin_new`, and end what others, who work on a container that is dead already, wait for.

    None: it is gone.  Who is not done after ten seconds counts no more: undoing goes by what each has made.
    """
    deadline = monotonic() + PATIENCE_SECONDS
    end = monotonic() + WAIT_SECONDS
    while workers := others(directory):
        for each in workers if monotonic() > deadline else ():
            tasks.end(each.helper, each.helper_start)
        if monotonic() > end:
            break
        sleep(0.002)
    return _begin(directory, verb, posix.O_CREAT, seconds=0 if workers else WAIT_SECONDS, force=True)


def others(directory: str) -> list[Worker]:
    """Return who works on the container in DIRECTORY, but us and those who wait for us."""
    try:
        fd = posix.open(f"{directory}/{LOCK}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return []
    try:
        return _others(_read(fd))
    finally:
        posix.close(fd)


def _begin(directory: str, verb: str, flags: int, *, seconds: float = WAIT_SECONDS, force: bool = False) -> Work | None:
    """Write down that we work for VERB once nobody wants to be alone, or after SECONDS if by FORCE; None if it is gone."""
    flags |= posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW
    try:
        fd = posix.open(f"{directory}/{LOCK}", flags, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _no_lock(f"open {directory}/{LOCK}", error) from None
    deadline = monotonic() + seconds
    try:
        while True:
            _lock(fd, directory)
            if not posix.fstat(fd).st_nlink:
                break  # it was deleted while we waited
            found = _read(fd)
            alone = next((each for each in _others(found) if each.kind == ALONE), None)
            late = monotonic() > deadline
            if alone is None or (late and force):
                own = Worker(posix.getpid(), tasks.start_time(posix.getpid()), verb)
                _claim(fd, [*(each for each in found if _works(each)), own], directory)
                flock(fd, LOCK_UN)
                return Work(directory, fd, own)
            flock(fd, LOCK_UN)
            if late:
                text = f"another command has been working on this container for {seconds:g} s: {alone.verb} (pid {alone.pid})"
                raise StateError(text, hint="wait for it, or end it and the container by delete --force")
            sleep(0.002)
    except BaseException:
        posix.close(fd)
        raise
    posix.close(fd)
    return None


def _claim(fd: int, workers: list[Worker], directory: str) -> None:
    """Write WORKERS into the lock FD of DIRECTORY.  Raises OpError: a full disk, say."""
    try:
        _write(fd, workers)
    except OSError as error:
        raise _no_lock(f"write {directory}/{LOCK}", error) from None


def _lock(fd: int, directory: str) -> None:
    """Lock FD, the lock of DIRECTORY.  Raises OpError: a file system without such locks, say."""
    try:
        flock(fd, LOCK_EX)
    except OSError as error:
        raise _no_lock(f"flock {directory}/{LOCK}", error) from None


def _no_lock(what: str, error: OSError) -> OpError:
    """Return the error for a lock that cannot be had, as WHAT was refused with ERROR."""
    hint = "raise ulimit -n of this process" if error.errno in (EMFILE, ENFILE) else "--root says where it is made"
    return OpError(f"cannot lock the container: {what}: {(error.strerror or '').lower()}", errno=error.errno or 0, hint=hint)


def _others(found: list[Worker]) -> list[Worker]:
    """Return those of FOUND that are at work, but us and those who wait for us."""
    if not found:
        return []
    waiting = {posix.getpid(), *tasks.parents(posix.getpid())}
    return [each for each in found if each.pid not in waiting and _works(each)]


def _works(worker: Worker) -> bool:
    """Return whether WORKER is still there."""
    return tasks.start_time(worker.pid) == worker.start > 0


def _read(fd: int) -> list[Worker]:
    """Return who stands in the lock FD; a line that a command was killed in means nothing."""
    found = []
    for line in str(posix.pread(fd, SIZE_MAX, 0), "ascii", "replace").splitlines():
        words = line.split()
        if len(words) == len(Worker._fields) and all(map(str.isdigit, (*words[:2], *words[4:]))):
            found.append(Worker(int(words[0]), int(words[1]), words[2], words[3], int(words[4]), int(words[5])))
    return found


def _write(fd: int, workers: list[Worker]) -> None:
    """Write WORKERS into the lock FD, over what was there: so it needs no new room once the disk is full."""
    text = "".join(" ".join(str(value) for _, value in each.items()) + "\n" for each in workers).encode()
    posix.pwrite(fd, text.ljust(max(SIZE, posix.fstat(fd).st_size), b"\n"), 0)
