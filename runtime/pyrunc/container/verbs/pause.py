"""`pause` and `resume`, by the freezer of the container's cgroup."""

from __future__ import annotations

from pyrunc.cgroup import freezer
from pyrunc.container import store, work
from pyrunc.container.statefile import load
from pyrunc.container.status import STOPPED, guard, need_cgroup, status_of
from pyrunc.host import tasks


def pause(root: str, container: str) -> None:
    """Suspend every process of CONTAINER.  Raises StateError unless it is created or running."""
    _change(root, container, "pause", frozen=True)


def resume(root: str, container: str) -> None:
    """Let them go on.  Raises StateError unless it is paused."""
    _change(root, container, "resume", frozen=False)


def _change(root: str, container: str, verb: str, *, frozen: bool) -> None:
    """Freeze or thaw CONTAINER, if its state allows VERB."""
    directory = store.directory(root, container)
    working = work.begin(directory, verb)
    try:
        saved = load(directory)
        guard(verb, saved, status_of(directory, saved))
        need_cgroup(saved, verb)
        freezer.set_frozen(saved.places, frozen=frozen)
        if frozen and tasks.is_killed(saved.pid):
            # A kill came in between: on version 1 it would wait for a resume, for ever.
            freezer.set_frozen(saved.places, frozen=False)
            guard(verb, saved, STOPPED)
    finally:
        working.close()
