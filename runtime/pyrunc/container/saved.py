"""What is remembered of a container between two commands: state.json in its directory."""

from __future__ import annotations

import posix

from pyrunc.cgroup.paths import Place
from pyrunc.errors import StateError
from pyrunc.jsonio import dumps, loads
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STATE = "state.json"
FILE_MAX = 1 << 24


class Saved(Record):
    """One container.

    `pid` is 0 until its init is ready; `start` is that process's start time
    in clock ticks since boot (proc(5)), which tells it from a later process
    of the same pid.  `hooks` are the kinds that later commands must run,
    `joins` the types of namespaces that its config names, `unit` is systemd's (the user's own if `user_unit`),
    `resctrl_joins` are the groups of resctrl that its processes join, `resctrl_owns`
    those of them to remove, `listener` is path and metadata of a seccomp agent, if
    `start` must tell one.
    """

    id: str
    bundle: str
    rootfs: str
    created: str
    owner: int
    pid: int = 0
    start: int = 0
    annotations: dict[str, str] = {}  # noqa: RUF012 - records do not change
    places: tuple[Place, ...] = ()
    joins: tuple[str, ...] = ()
    own_pid_namespace: bool = True
    hooks: tuple[str, ...] = ()
    unit: str = ""
    user_unit: bool = False
    resctrl_joins: tuple[str, ...] = ()
    resctrl_owns: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()


def load(directory: str) -> Saved:
    """Return what DIRECTORY remembers.  Raises StateError if it is no container's."""
    try:
        fd = posix.open(f"{directory}/{STATE}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        raise StateError("container does not exist") from None
    try:
        text = posix.read(fd, FILE_MAX)
    finally:
        posix.close(fd)
    document: Any = loads(text, f"{directory}/{STATE}")
    places = tuple(Place(row[0], row[1], tuple(row[2])) for row in document.pop("places"))
    for name in ("joins", "hooks", "resctrl_joins", "resctrl_owns", "listener"):
        document[name] = tuple(document.get(name, ()))  # an older pyrunc knew fewer
    return Saved(places=places, **document)


def save(directory: str, saved: Saved) -> None:
    """Replace what DIRECTORY remembers by SAVED; a reader sees the old or the new, whole."""
    document = dict(saved.items())
    document["places"] = [[place.directory, place.mount, place.controllers] for place in saved.places]
    write_file(f"{directory}/{STATE}", dumps(document).encode())


def write_file(path: str, data: bytes) -> None:
    """Write DATA to PATH at once: to a draft beside it, which then takes the name."""
    head, _, tail = path.rpartition("/")
    draft = f"{head}/.{tail}.{posix.getpid()}" if head else f".{tail}.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW
    fd = posix.open(draft, flags, 0o644)
    try:
        while data:
            data = data[posix.write(fd, data) :]
        posix.close(fd)
        posix.rename(draft, path)
    except OSError as error:
        posix.unlink(draft)
        raise OSError(error.errno, error.strerror, path) from None  # write(2) knows no name to tell
    except BaseException:
        posix.unlink(draft)
        raise
