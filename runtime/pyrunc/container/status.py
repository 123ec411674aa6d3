"""The states of runtime.md, how one is recognised, and what each allows."""

from __future__ import annotations

import errno
import posix

from pyrunc.cgroup.freezer import frozen_at, is_frozen
from pyrunc.errors import StateError, UnsupportedError
from pyrunc.host.tasks import start_time
from pyrunc.record import Record
from pyrunc.run.steps.fifos import FIFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place
    from pyrunc.container.statefile import SavedState


class Status(Record):
    """A state, by the specification's name."""

    name: str


DYING_MS = 200  # in which a process on its way out has ended
CREATING, CREATED, RUNNING = Status("creating"), Status("created"), Status("running")
PAUSED, STOPPED = Status("paused"), Status("stopped")

# verb -> (states that allow it, what to say otherwise); runc's words, as people search for them.
ALLOWED = {
    "start": ((CREATED,), ""),
    "exec": ((CREATED, RUNNING), ""),
    "kill": ((CREATED, RUNNING, PAUSED), "container not running"),
    "pause": ((CREATED, RUNNING), "container not running or created: {status}"),
    "resume": ((PAUSED,), "container not paused"),
    "delete": ((CREATED, STOPPED), "cannot delete container {id} that is not stopped: {status}"),
    "update": ((CREATED, RUNNING, PAUSED), "container not running"),
    "mounts": ((CREATED, RUNNING, PAUSED), "container not running"),
    "events": ((CREATED, RUNNING, PAUSED), "container with id {id} is not running"),
    "checkpoint": ((RUNNING, PAUSED), "container cannot be checkpointed in {status} state"),
    "ps": ((CREATED, RUNNING, PAUSED, STOPPED), "container not running"),
}
SPECIAL = {
    ("start", STOPPED): "cannot start a container that has stopped",
    ("start", RUNNING): "cannot start an already running container",
    ("start", PAUSED): "cannot start a container in the paused state",
    ("exec", STOPPED): "cannot exec in a stopped container: container not running",
    ("exec", PAUSED): "cannot exec in a paused container (use --ignore-paused to override)",
    ("exec", CREATING): "cannot exec in a container that is being created: container not running",
    ("start", CREATING): "cannot start a container that is being created",
}
HINTS = {"delete": "kill it first, or use --force", "resume": "only a paused container can be resumed"}


def alive(saved: SavedState) -> bool:
    """Return whether the init that SAVED remembers still runs, and is that one."""
    return saved.pid > 0 and start_time(saved.pid) == saved.start


def runs_still(saved: SavedState, init: int, number: int) -> bool:
    """Return whether the container that SAVED remembers, with its init behind pidfd INIT, runs: errno NUMBER may be its end.

    An init on its way out lets nobody in any more, before it counts as ended.
    """
    from select import POLLIN, poll

    if number in (0, errno.ESRCH, errno.ENOMEM):
        watch = poll()
        watch.register(init, POLLIN)
        watch.poll(DYING_MS)
    return alive(saved)


def status_of(directory: str, saved: SavedState) -> Status:
    """Return the state of the container that SAVED, from DIRECTORY, remembers."""
    if saved.pid == 0:
        return CREATING
    if not alive(saved):
        return STOPPED
    if is_frozen(saved.places):
        return PAUSED
    return CREATED if _waits(directory) else RUNNING


def _waits(directory: str) -> bool:
    """Return whether the init still waits for `start`: it then reads the fifo in DIRECTORY.

    That there is a fifo does not say it: a `start` that was killed leaves it.
    """
    try:
        fd = posix.open(f"{directory}/{FIFO}", posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return False
        raise
    posix.close(fd)
    return True


def need_cgroup(saved: SavedState, verb: str) -> None:
    """Raise UnsupportedError if the container has no cgroup of its own, by which VERB works."""
    if not saved.places:
        hint = "make it as root, or with a cgroupsPath that its user may write"
        raise UnsupportedError(f"cannot {verb}: cgroups not configured for container", hint=hint)


def refuse_frozen(verb: str, places: tuple[Place, ...]) -> None:
    """Raise StateError if what VERB lets run in the cgroups at PLACES would stand still at once, as one above is frozen."""
    if directory := frozen_at(places):
        raise StateError(f"{SPECIAL[verb, PAUSED]}: cgroup {directory} is frozen", hint="thaw it first")


def guard(verb: str, saved: SavedState, status: Status) -> None:
    """Raise StateError unless a container in STATUS allows VERB."""
    allowed, message = ALLOWED[verb]
    if status not in allowed:
        text = SPECIAL.get((verb, status), message or f"cannot {verb} a container in the {status.name} state")
        raise StateError(text.format(id=saved.id, status=status.name), hint=HINTS.get(verb, ""))
