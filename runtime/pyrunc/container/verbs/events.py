"""`events`: what a container uses, once or every so often, and that it ran out of memory."""

from __future__ import annotations

import posix
from select import POLLIN, poll
from time import monotonic

from pyrunc.cgroup import fs, oom
from pyrunc.cgroup.stats import stats
from pyrunc.container import store
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import alive, guard, need_cgroup, status_of
from pyrunc.errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

POLL_MAX = 1 << 30  # milliseconds: poll(2) takes an int


def _running(root: str, container: str) -> SavedState:
    """Return what is remembered of CONTAINER.  Raises StateError if it does not run."""
    directory = store.directory(root, container)
    saved = load(directory)
    guard("events", saved, status_of(directory, saved))
    need_cgroup(saved, "events")
    return saved


def usage(root: str, container: str) -> dict[str, Any]:
    """Return the event that tells what CONTAINER uses now.  Raises StateError if it does not run."""
    return _usage(_running(root, container))


def _usage(saved: SavedState) -> dict[str, Any]:
    """Return the event of type `stats`."""
    return {"type": "stats", "id": saved.id, "data": stats(saved.places)}


def follow(root: str, container: str, interval: float) -> Iterator[dict[str, Any]]:
    """Yield an event of CONTAINER every INTERVAL seconds, and whenever it runs out of memory, until it ends.

    Raises StateError if it does not run.
    """
    saved = _running(root, container)
    try:
        pidfd = posix.pidfd_open(saved.pid)
    except ProcessLookupError:
        raise StateError(f"container with id {container} is not running", hint="start it, or see its state") from None
    watched = None
    try:
        watched = oom.watch(saved.places)
        yield from _follow(saved, pidfd, watched, interval)
    finally:
        posix.close(pidfd)
        if watched is not None:
            watched.close()


def _follow(saved: SavedState, pidfd: int, watched: oom.Watch | None, interval: float) -> Iterator[dict[str, Any]]:
    """Yield the events of SAVED until PIDFD, its init, has ended."""
    waiting = poll()
    waiting.register(pidfd, POLLIN)
    if watched is not None:
        waiting.register(watched.fd, watched.events)
    due = monotonic() + interval
    while True:
        ready = {fd for fd, _ in waiting.poll(min(max(0.0, due - monotonic()) * 1000, POLL_MAX))}
        if watched is not None and watched.happened():
            yield {"type": "oom", "id": saved.id}
        if pidfd in ready or not alive(saved) or not posix.access(fs.main_directory(saved.places), posix.F_OK):
            return
        if monotonic() >= due:
            yield _usage(saved)
            due = max(due + interval, monotonic())
