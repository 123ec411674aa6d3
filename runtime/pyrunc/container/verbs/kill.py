"""`kill`: send a signal to a container's init, or to all of its processes."""

from __future__ import annotations

import errno
import posix
from _signal import pidfd_send_signal
from time import monotonic

from pyrunc import handover
from pyrunc.cgroup import claim, freezer
from pyrunc.container import store
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import STOPPED, alive, guard, need_cgroup, status_of
from pyrunc.errors import OpError, StateError
from pyrunc.host.tasks import ends_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place

SIGKILL, THAW_MS = 9, 20
CGROUPS = ("make_cgroup", "fill_cgroup", "use_cgroup")  # the ops whose tokens are of cgroups, with their inodes
STOP_SIGNAL = "org.opencontainers.image.stopSignal"


def kill(root: str, container: str, number: int, *, everything: bool) -> None:
    """Send signal NUMBER to CONTAINER; to EVERYTHING in it, even if its init has ended.

    SIGKILL reaches what the init of a container without a pid namespace has
    left behind, as with runc.  Raises StateError if there is nothing to signal.
    """
    directory = store.directory(root, container)
    saved = load(directory)
    if everything:
        if number != SIGKILL or not saved.own_pid_namespace:
            need_cgroup(saved, "kill --all")
    else:
        status = status_of(directory, saved)
        if not (status == STOPPED and _outlives_init(saved, number)):
            guard("kill", saved, status)
    send(saved, number, everything=everything)


def _outlives_init(saved: SavedState, number: int) -> bool:
    """Return whether there may be processes without an init that signal NUMBER is for: their cgroup is there."""
    if number != SIGKILL or saved.own_pid_namespace:
        return False
    from pyrunc.cgroup import fs

    return fs.is_there(saved.places)


def stop_signal(root: str, container: str) -> str:
    """Return the name, or number, of the signal that ends CONTAINER, as its image has it annotated; or "TERM".

    Raises StateError if there is no such container.
    """
    return load(store.directory(root, container)).annotations.get(STOP_SIGNAL) or "TERM"


def send(saved: SavedState, number: int, *, everything: bool) -> None:
    """Send signal NUMBER as `kill` does, without looking at the state.

    Without a pid namespace of its own, the end of a container's init is not
    the end of the rest: SIGKILL then reaches all of its cgroup.
    """
    handover.begin()
    if everything or (number == SIGKILL and not saved.own_pid_namespace):
        from pyrunc.cgroup import fs

        fs.signal_all(own_places(saved), number)
        if not (everything and saved.places) and alive(saved):
            _one(saved, number)
    else:
        _one(saved, number)
    if number == SIGKILL:
        thaw(saved)


def thaw(saved: SavedState) -> None:
    """Let a frozen container go on: on version 1 a frozen process cannot even die."""
    try:
        if freezer.is_frozen(saved.places):
            freezer.set_frozen(saved.places, frozen=False)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise  # else its cgroup is gone: somebody else has deleted it meanwhile


def own_places(saved: SavedState) -> tuple[Place, ...]:
    """Return those of the container's cgroups that are there, and the ones that it began in: no later ones of their names."""
    inodes = {each.words[0]: int(each.words[1]) for each in saved.made if each.call in CGROUPS}
    return tuple(each for each in saved.places if claim.inode(each.directory) == inodes.get(each.directory, 0) != 0)


def await_end(saved: SavedState, seconds: float) -> bool:
    """Wait at most so many SECONDS for the init to end, with all of its threads; return whether it has."""
    try:
        pidfd = posix.pidfd_open(saved.pid)
    except ProcessLookupError:
        return True
    end = monotonic() + seconds
    try:
        while alive(saved) and not ends_within(pidfd, THAW_MS):
            if monotonic() > end:
                return False
            thaw(saved)  # a pause came in between, and on version 1 nobody frozen can die
        return True
    finally:
        posix.close(pidfd)


def _one(saved: SavedState, number: int) -> None:
    """Signal the init through a descriptor, so that no other process of its pid can be hit."""
    try:
        pidfd = posix.pidfd_open(saved.pid)
    except ProcessLookupError:
        raise StateError("container not running") from None
    try:
        if not alive(saved):
            raise StateError("container not running")
        _send(pidfd, number)
    except ProcessLookupError:
        raise StateError("container not running") from None
    finally:
        posix.close(pidfd)


def _send(pidfd: int, number: int) -> None:
    """Send signal NUMBER to the process behind PIDFD."""
    try:
        pidfd_send_signal(pidfd, number)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise OpError(f"signal {number} is not one that the kernel knows", errno=errno.EINVAL, hint="see `kill -l`") from None
        raise
