"""Whether a container stands still, and making it stand still (cgroups(7), cgroup-v1/freezer-subsystem.rst)."""

from __future__ import annotations

import errno
from time import monotonic, sleep

from pyrunc import handover
from pyrunc.errors import OpError, StateError, UnsupportedError
from pyrunc.host.files import read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place

FREEZE_SECONDS = 5.0


def of(places: tuple[Place, ...]) -> tuple[str, bool] | None:
    """Return the directory that freezes, and whether it is of version 2."""
    for place in places:
        if "freezer" in place.controllers:
            return place.directory, False
    return next(((p.directory, True) for p in places if "" in p.controllers), None)


def is_frozen(places: tuple[Place, ...]) -> bool:
    """Return whether the container is frozen, by its own cgroup's setting."""
    found = of(places)
    if found is None:
        return False
    directory, v2 = found
    return _reads_one(f"{directory}/cgroup.freeze" if v2 else f"{directory}/freezer.self_freezing")


def _reads_one(path: str) -> bool:
    """Return whether PATH is there and says 1."""
    try:
        return read(path).strip() == "1"
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return False  # the cgroup, or a freezer in it, is not there
        raise


def frozen_at(places: tuple[Place, ...]) -> str:
    """Return the directory whose setting freezes what is at PLACES, theirs or one above; "" if there is none.

    A process that joins stands still at once.  What does not exist yet begins as what is above it is.
    """
    for place in places:
        file = "freezer.self_freezing" if "freezer" in place.controllers else "cgroup.freeze"
        directory = place.directory if {"freezer", ""} & set(place.controllers) else place.mount
        while len(directory) > len(place.mount):
            if _reads_one(f"{directory}/{file}"):
                return directory
            directory = directory.rpartition("/")[0]
    return ""


def refuse_frozen(places: tuple[Place, ...]) -> None:
    """Raise StateError if a container at PLACES would stand still before it has begun: whoever made it would wait for ever."""
    if directory := frozen_at(places):
        hint = "thaw it, or give the container another cgroup"
        raise StateError(f"container's cgroup unexpectedly frozen: {directory}", pointer="/linux/cgroupsPath", hint=hint)


def move_out(pid: int) -> None:
    """Take process PID out of a freezer of version 1, which keeps even SIGKILL from it: into the root, which never stops.

    Raises OSError.  Version 2 lets a frozen process die.
    """
    from pyrunc.host import cgroups

    found = cgroups.parse(read("/proc/self/mountinfo"), read("/proc/self/cgroup")).v1.get("freezer")
    if found is not None:
        write(f"{found.mount}/cgroup.procs", str(pid))


def set_frozen(places: tuple[Place, ...], *, frozen: bool) -> None:
    """Freeze or thaw, and wait until it is so.

    Raises UnsupportedError without a freezer, OpError if the kernel does not
    get there within five seconds (a process in uninterruptible sleep, say).
    """
    handover.begin()
    found = of(places)
    if found is None:
        raise UnsupportedError(
            "this host has no freezer",
            hint="mount one of the kernel's hierarchies with it: freezer in version 1, any in version 2",
        )
    directory, v2 = found
    deadline = monotonic() + FREEZE_SECONDS
    while True:
        if v2:
            write(f"{directory}/cgroup.freeze", "1" if frozen else "0")
            done = f"frozen {int(frozen)}" in read(f"{directory}/cgroup.events")
        else:
            # On version 1 a fork can slip through: writing again catches it.
            write(f"{directory}/freezer.state", "FROZEN" if frozen else "THAWED")
            done = read(f"{directory}/freezer.state").strip() == ("FROZEN" if frozen else "THAWED")
        if done:
            return
        if monotonic() > deadline:
            if frozen:
                write(f"{directory}/cgroup.freeze" if v2 else f"{directory}/freezer.state", "0" if v2 else "THAWED")
            raise OpError(
                f"cgroup {directory} did not {'freeze' if frozen else 'thaw'} within {FREEZE_SECONDS:g} s",
                hint=f"see which of its processes hangs: /proc/PID/stack of those in {directory}/cgroup.procs",
            )
        sleep(0.001)
