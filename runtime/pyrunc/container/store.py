"""The state directory: one directory a container below --root, reserved by making it."""

from __future__ import annotations

import errno
import posix

from pyrunc import handover
from pyrunc.container import work
from pyrunc.container.statefile import MADE, STATE
from pyrunc.errors import OpError, StateError, UsageError
from pyrunc.run.interrupt import Holding
from pyrunc.run.steps.fifos import FIFO, RESULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.work import Work

ID_MAX = 1024
ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
SECCOMP_CACHE = ".seccomp"  # beside the containers
NO_IDS = (".", "..", SECCOMP_CACHE)
CONFIG = "config.json"
LISTENER, LISTENER_SIZE = "listener", 12
NOTIFY, NOTIFY_SOCKET = "notify", "notify.sock"  # a directory, and the socket in it, of container/notify.py
MADE_BY_CREATE = (f".{STATE}", f".{CONFIG}", FIFO, RESULT, LISTENER, NOTIFY, MADE, STATE, CONFIG, work.LOCK)
CONFIG_MAX = 1 << 26
ELSEWHERE = "--root says where it is made"
THEIRS = "be that user, or give --root a directory of your own"
STICKY, GROUP_WRITES, ANYBODY_WRITES = 0o1000, 0o020, 0o002
S_IFMT, S_IFDIR = 0o170000, 0o040000
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
    """Return the directory of CONTAINER, which may not exist.

    Raises StateError if somebody else may change what is in it: hooks run by what it says, and files and cgroups go.
    """
    check_id(container)
    refuse_foreign(root, parent=True)
    return directory_in(root, container)


def directory_in(root: str, container: str) -> str:
    """Return the same below a ROOT that is ours."""
    path = f"{root}/{check_id(container)}"
    refuse_foreign(path)
    return path


def refuse_foreign(path: str, *, parent: bool = False) -> None:
    """Raise StateError if the directory at PATH is another user's than root's and ours, or if others may write to it.

    In a PARENT others may make directories of their own, if they cannot rename ours (inode(7), the sticky bit).
    """
    try:
        found = posix.stat(path, follow_symlinks=parent)
    except OSError:
        return  # it is to be made, or whoever opens it says what is wrong
    if found.st_uid not in (0, posix.geteuid()):
        raise StateError(f"{path} belongs to user {found.st_uid}, who could change what is done by it", hint=THEIRS)
    mode = found.st_mode
    if mode & S_IFMT != S_IFDIR:
        return  # a link of ours, or no container
    others = mode & ANYBODY_WRITES or (mode & GROUP_WRITES and found.st_gid not in (0, posix.getegid()))
    if others and not (parent and mode & STICKY):
        raise StateError(f"{path} may be written by others, who could change what is done by it", hint=f"chmod go-w {path}")


def refuse_taken(root: str, container: str) -> None:
    """Raise StateError if there is a CONTAINER of that id, before anything else is found wrong with a second one."""
    try:
        posix.stat(directory(root, container))
    except OSError:
        return
    raise StateError(TAKEN, hint=OTHER_ID)


def reserve(root: str, container: str, verb: str) -> Work:
    """Make the directory of a new CONTAINER and begin to work on it, for VERB.

    Raises StateError if the id is taken: whoever makes the directory has it; OpError if it, or its lock, cannot be made.
    """
    handover.begin()
    path = directory(root, container)
    try:
        _make_parents(path)
        refuse_foreign(root, parent=True)  # again: somebody else may have made it since
        posix.mkdir(path, 0o711)
    except FileExistsError:
        raise StateError(TAKEN, hint=OTHER_ID) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OpError(f"cannot make the state directory {path}: {reason}", errno=error.errno or 0, hint=ELSEWHERE) from None
    try:
        found = work.begin_new(path, verb)
    except (OSError, OpError):
        discard(path)
        raise
    if found is None:
        raise StateError("container was deleted while it was being created", hint="create it again")
    return found


def _make_parents(path: str) -> None:
    """Make what is missing of the directories that PATH is to be in."""
    made = ""
    for part in path.strip("/").split("/")[:-1]:
        made = f"{made}/{part}"
        try:
            posix.mkdir(made, 0o700)
        except FileExistsError:
            continue


def make_fifos(path: str) -> dict[str, int]:
    """Make the two fifos of a container that will wait for `start`, and open them for its init."""
    opened: dict[str, int] = {}
    try:
        for slot, name in (("start", FIFO), ("result", RESULT)):
            try:
                posix.mkfifo(f"{path}/{name}", 0o600)
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"{path}/{name}") from None  # mkfifo(2) knows no name to tell
            opened[slot] = posix.open(f"{path}/{name}", posix.O_RDWR | posix.O_CLOEXEC)
    except OSError:
        for fd in opened.values():
            posix.close(fd)  # or there may be none left to look into the directory by, when it is removed
        raise
    return opened


def make_listener(path: str) -> int:
    """Return a descriptor of memory for a listener: a file of the container at PATH, for `start`, or without a name."""
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    fd = posix.open(f"{path}/{LISTENER}", flags, 0o600) if path else posix.memfd_create("listener", posix.MFD_CLOEXEC)
    posix.ftruncate(fd, LISTENER_SIZE)
    return fd


def discard(path: str) -> None:
    """Remove the directory at PATH and the files in it: the lock last, so that waiters learn of it.

    The state goes before the config: where there is one, whoever deletes needs the other.  An interrupt waits until all
    is gone: without its state nobody would find the rest.
    """
    last = (STATE, CONFIG, work.LOCK)
    while True:
        try:
            with Holding():
                names = _names(path, MADE_BY_CREATE)
                for name in sorted(names, key=lambda entry: last.index(entry) if entry in last else -1):
                    _remove(f"{path}/{name}")
                posix.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            continue  # a second `delete --force` has made the lock again, between the two lines
        return


def _names(path: str, known: tuple[str, ...]) -> list[str]:
    """Return what is in the directory at PATH; with no descriptor left to look by, those of KNOWN that are, if any is."""
    try:
        return posix.listdir(path)
    except OSError as error:
        found = [name for name in known if error.errno in (errno.EMFILE, errno.ENFILE) and _is_there(f"{path}/{name}")]
        if not found:
            raise
        return found


def _is_there(path: str) -> bool:
    """Return whether there is anything at PATH, be it a link to nothing."""
    try:
        posix.lstat(path)
    except FileNotFoundError:
        return False
    return True


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
        try:
            posix.rmdir(path)
        except OSError:
            for name in _names(path, (NOTIFY_SOCKET,)):
                posix.unlink(f"{path}/{name}")
            posix.rmdir(path)


def ids(root: str) -> list[str]:
    """Return the ids of all containers below ROOT, sorted.  Raises OSError if ROOT is not there."""
    return sorted(entry.name for entry in posix.scandir(root) if entry.is_dir() and entry.name != SECCOMP_CACHE)
