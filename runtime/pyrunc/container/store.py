"""The state directory: one directory a container below --root, reserved by making it, locked while it changes."""

from __future__ import annotations

import errno
import posix
from fcntl import LOCK_EX, LOCK_NB, flock
from time import monotonic, sleep

from pyrunc import handover
from pyrunc.container.statefile import STATE
from pyrunc.errors import OpError, StateError, UsageError
from pyrunc.run.steps.fifos import FIFO, RESULT

ID_MAX = 1024
ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
SECCOMP_CACHE = ".seccomp"  # beside the containers
NO_IDS = (".", "..", SECCOMP_CACHE)
LOCK = "lock"
CONFIG = "config.json"
LISTENER, LISTENER_SIZE = "listener", 12
NOTIFY = "notify"  # a directory with the socket of container/notify.py
CONFIG_MAX = 1 << 26
LOCK_SECONDS = 10.0
ELSEWHERE = "--root says where it is made"
TAKEN, OTHER_ID = "container with given ID already exists", "delete it, or choose another id"


def check_id(container: str) -> str:
    """Return CONTAINER if it may be an id: it becomes the name of a directory and of cgroups.

    Raises UsageError.
    """
    if not container or len(container) > ID_MAX or container in NO_IDS or not ID_LETTERS.issuperset(container):
        hint = f"letters, digits and _+-. in at most {ID_MAX} characters, and none of {', '.join(NO_IDS)}"
        raise UsageError(f'invalid container ID format: "{container[:80]}"', hint=hint)
    return container


def directory(root: str, container: str) -> str:
    """Return the directory of CONTAINER, which may not exist."""
    return f"{root}/{check_id(container)}"


def refuse_taken(root: str, container: str) -> None:
    """Raise StateError if there is a CONTAINER of that id, before anything else is found wrong with a second one."""
    try:
        posix.stat(directory(root, container))
    except OSError:
        return
    raise StateError(TAKEN, hint=OTHER_ID)


def reserve(root: str, container: str) -> tuple[str, int]:
    """Make the directory of a new CONTAINER and return it, with the descriptor of its lock.

    Raises StateError if the id is taken: whoever makes the directory has it; OpError if it, or its lock, cannot be made.
    """
    handover.begin()
    path = directory(root, container)
    try:
        _make_parents(path)
        posix.mkdir(path, 0o711)
    except FileExistsError:
        raise StateError(TAKEN, hint=OTHER_ID) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OpError(f"cannot make the state directory {path}: {reason}", errno=error.errno or 0, hint=ELSEWHERE) from None
    try:
        held = lock_remains(path)
    except (OSError, OpError):
        discard(path)
        raise
    if held < 0:
        raise StateError("container was deleted while it was being created")
    return path, held


def _make_parents(path: str) -> None:
    """Make what is missing of the directories that PATH is to be in."""
    made = ""
    for part in path.strip("/").split("/")[:-1]:
        made = f"{made}/{part}"
        try:
            posix.mkdir(made, 0o700)
        except FileExistsError:
            continue


def lock(path: str) -> int:
    """Lock the container at PATH and return the descriptor; closing it unlocks.

    Raises StateError if it is gone, or held for ten seconds; OpError if there is no lock to be had.
    """
    held = _lock(path, 0)
    if held < 0:
        raise StateError("container does not exist")
    return held


def lock_remains(path: str) -> int:
    """Do as `lock`, even for a directory that was cut off from its create before it had a lock; -1 if it is gone."""
    return _lock(path, posix.O_CREAT)


def _lock(path: str, flags: int) -> int:
    """Open the lock of the container at PATH with FLAGS and wait for it; return -1 if there is none."""
    flags |= posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW
    try:
        fd = posix.open(f"{path}/{LOCK}", flags, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    except OSError as error:
        raise _no_lock(f"open {path}/{LOCK}", error) from None
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                posix.close(fd)
                raise _no_lock(f"flock {path}/{LOCK}", error) from None
        else:
            if posix.fstat(fd).st_nlink:
                return fd
            posix.close(fd)  # it was deleted while we waited
            return -1
        if monotonic() > deadline:
            posix.close(fd)
            raise StateError(f"another command has been working on this container for {LOCK_SECONDS:g} s")
        sleep(0.002)


def _no_lock(what: str, error: OSError) -> OpError:
    """Return the error for a lock that cannot be had, as WHAT was refused with ERROR."""
    hint = "raise ulimit -n of this process" if error.errno in (errno.EMFILE, errno.ENFILE) else ELSEWHERE
    return OpError(f"cannot lock the container: {what}: {(error.strerror or '').lower()}", errno=error.errno or 0, hint=hint)


def make_fifos(path: str) -> dict[str, int]:
    """Make the two fifos of a container that will wait for `start`, and open them for its init."""
    opened = {}
    for slot, name in (("start", FIFO), ("result", RESULT)):
        try:
            posix.mkfifo(f"{path}/{name}", 0o600)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{path}/{name}") from None  # mkfifo(2) knows no name to tell
        opened[slot] = posix.open(f"{path}/{name}", posix.O_RDWR | posix.O_CLOEXEC)
    return opened


def make_listener(path: str) -> int:
    """Return a descriptor of memory for a listener: a file of the container at PATH, for `start`, or without a name."""
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    fd = posix.open(f"{path}/{LISTENER}", flags, 0o600) if path else posix.memfd_create("listener", posix.MFD_CLOEXEC)
    posix.ftruncate(fd, LISTENER_SIZE)
    return fd


def discard(path: str) -> None:
    """Remove the directory at PATH and the files in it: the lock last, so that waiters learn of it.

    The state goes before the config: where there is one, whoever deletes needs the other.
    """
    last = (STATE, CONFIG, LOCK)
    while True:
        try:
            for name in sorted(posix.listdir(path), key=lambda entry: last.index(entry) if entry in last else -1):
                _remove(f"{path}/{name}")
            posix.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            continue  # a second `delete --force` has made the lock again, between the two lines
        return


def has_notify_socket(path: str) -> bool:
    """Return whether the container at PATH was made with a socket to report its readiness."""
    try:
        posix.stat(f"{path}/{NOTIFY}")
    except FileNotFoundError:
        return False
    return True


def _remove(path: str) -> None:
    """Remove the file at PATH, or the directory of files (container/notify.py)."""
    try:
        posix.unlink(path)
    except IsADirectoryError:
        for name in posix.listdir(path):
            posix.unlink(f"{path}/{name}")
        posix.rmdir(path)


def ids(root: str) -> list[str]:
    """Return the ids of all containers below ROOT, sorted.  Raises OSError if ROOT is not there."""
    return sorted(entry.name for entry in posix.scandir(root) if entry.is_dir() and entry.name != SECCOMP_CACHE)
