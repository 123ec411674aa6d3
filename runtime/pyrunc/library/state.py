"""What is known of a container without changing it: looked up by this program itself, without the helper."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrunc.record import Record

if TYPE_CHECKING:
    from pyrunc.library.bundle import Path


class State(Record):
    """The state of a container, as the specification has it (runtime.md, "State"), and what runc adds.

    `status` is creating, created, running, paused or stopped; `pid` is the init's on the host, 0 once it has ended; `bundle` and
    `rootfs` are absolute paths; `created` is a time as RFC 3339 has it; `owner` is the name of who made it, in a list.
    """

    id: str
    pid: int
    status: str
    bundle: str
    rootfs: str
    created: str
    annotations: dict[str, str] = {}  # noqa: RUF012 - records do not change
    owner: str = ""


def root_of(root: Path | None) -> str:
    """Return ROOT as an absolute path, or where the command line keeps its state, for who we are."""
    if root is not None:
        return os.path.abspath(os.fspath(root))
    from pyrunc.cli import users
    from pyrunc.container.options import DEFAULT_ROOT

    return users.root(DEFAULT_ROOT)


def _made(document: dict[str, Any]) -> State:
    """Return DOCUMENT, of the verb, as a State."""
    return State(**{name: document[name] for name in State._fields if name in document})


def state(root: str, container: str) -> State:
    """Return the state of CONTAINER.  Raises StateError if there is none."""
    from pyrunc.container.verbs import state as verb

    return _made(verb.state(root, container))


def states(root: Path | None) -> list[State]:
    """Return the states of all containers below ROOT, sorted by id; one that cannot be read is left out."""
    from pyrunc.container.verbs import listing
    from pyrunc.log import Log

    return [_made(row) for row in listing.listing(root_of(root), Log(), must_exist=False)]


def stats(root: str, container: str) -> dict[str, Any]:
    """Return what CONTAINER uses now, as `events --stats` prints it below `data`.  Raises StateError if it does not run."""
    from pyrunc.container.verbs import events

    return dict(events.usage(root, container)["data"])


def pids(root: str, container: str) -> list[int]:
    """Return the pids of CONTAINER's processes, as the host has them.  Raises StateError if there is none."""
    from pyrunc.container.verbs import ps

    return ps.pids(root, container)


def signal_number(root: str, container: str, signal: int | str | None) -> int:
    """Return the number of SIGNAL, which is one or a name; None stands for the one that the image names, or TERM."""
    if isinstance(signal, int):
        return int(signal)
    from pyrunc.cli import signals
    from pyrunc.container.verbs import kill

    return signals.number(kill.stop_signal(root, container) if signal is None else signal)
