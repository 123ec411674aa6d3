"""The state directory: one directory a container below --root, reserved by making it, locked while it changes."""

from __future__ import annotations

import errno
import posix
from fcntl import LOCK_EX, LOCK_NB, flock
from time import monotonic, sleep

from pyrunc.errors import StateError, UsageError
from pyrunc.run.start import FIFO, RESULT

ID_MAX = 1024
ID_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-")
ID_LETTERS = ID_FIRST | {"."}
LOCK = "lock"
CONFIG = "config.json"
CONFIG_MAX = 1 << 26
LOCK_SECONDS = 10.0


def check_id(container: str) -> str:
    """Return CONTAINER if it may be an id: it becomes the name of a directory and of cgroups.

    Raises UsageError.
    """
    if not container or len(container) > ID_MAX or container[0] not in ID_FIRST or not ID_LETTERS.issuperset(container):
        hint = f"letters, digits and _+-. in at most {ID_MAX} characters, not beginning with a dot"
        raise UsageError(f'invalid container ID format: "{container[:80]}"', hint=hint)
    return container


def directory(root: str, container: str) -> str:
    """Return the directory of CONTAINER, which may not exist."""
    return f"{root}/{check_id(container)}"


def reserve(root: str, container: str) -> tuple[str, int]:
    """Make the directory of a new CONTAINER and return it, with the descriptor of its lock.

    Raises StateError if the id is taken: whoever makes the directory has it.
    """
    path = directory(root, container)
    made = ""
    for part in root.strip("/").split("/"):
        made = f"{made}/{part}"
        try:
            posix.mkdir(made, 0o700)
        except FileExistsError:
            continue
    try:
        posix.mkdir(path, 0o711)
    except FileExistsError:
        raise StateError("container with given ID already exists", hint="delete it, or choose another id") from None
    return path, lock(path)


def lock(path: str) -> int:
    """Lock the container at PATH and return the descriptor; closing it unlocks.

    Raises StateError if it is gone, or held for ten seconds.
    """
    try:
        fd = posix.open(f"{path}/{LOCK}", posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise StateError("container does not exist") from None
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                posix.close(fd)
                raise
        else:
            if posix.fstat(fd).st_nlink:
                return fd
            posix.close(fd)  # it was deleted while we waited
            raise StateError("container does not exist")
        if monotonic() > deadline:
            posix.close(fd)
            raise StateError(f"another command has been working on this container for {LOCK_SECONDS:g} s")
        sleep(0.002)


def is_locked(path: str) -> bool:
    """Return whether somebody works on the container at PATH right now."""
    try:
        fd = posix.open(f"{path}/{LOCK}", posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return False
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except OSError:
        return True
    finally:
        posix.close(fd)
    return False


def make_fifos(path: str) -> dict[str, int]:
    """Make the two fifos of a container that will wait for `start`, and open them for its init."""
    opened = {}
    for slot, name in (("start", FIFO), ("result", RESULT)):
        posix.mkfifo(f"{path}/{name}", 0o600)
        opened[slot] = posix.open(f"{path}/{name}", posix.O_RDWR | posix.O_CLOEXEC)
    return opened


def discard(path: str) -> None:
    """Remove the directory at PATH and the files in it; the lock last but one, so that waiters learn of it."""
    try:
        names = posix.listdir(path)
    except FileNotFoundError:
        return
    for name in sorted(names, key=lambda entry: entry == LOCK):
        posix.unlink(f"{path}/{name}")
    posix.rmdir(path)


def ids(root: str) -> list[str]:
    """Return the ids of all containers below ROOT, sorted.  Raises OSError if ROOT is not there."""
    return sorted(entry.name for entry in posix.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
