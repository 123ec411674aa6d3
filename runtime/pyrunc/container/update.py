"""`update`: other limits for a container that runs."""

from __future__ import annotations

import posix

from pyrunc.cgroup import devices, freezer, fs, knobs, limits
from pyrunc.cgroup.knobs import Write
from pyrunc.container import store
from pyrunc.container.merge import merged
from pyrunc.container.saved import load, write_file
from pyrunc.container.status import PAUSED, guard, status_of
from pyrunc.errors import OpError
from pyrunc.host.files import read
from pyrunc.jsonio import dumps, loads
from pyrunc.oci.resources import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.cgroup.paths import Place
    from pyrunc.container.saved import Saved
    from pyrunc.oci.resources import Resources


def update(root: str, container: str, change: object) -> None:
    """Set the limits of CONTAINER that CHANGE names, a document like /linux/resources; the rest stays.

    Zero means unchanged, -1 unlimited.  Either all is changed, and remembered
    in the container's configuration, or nothing.  Device rules that deny
    everything are what engines send along, and mean nothing here.  Raises
    StateError unless the container is created, running or paused.
    """
    directory = store.directory(root, container)
    asked: Resources = resources(change, knobs.ROOT)
    lock = store.lock(directory)
    try:
        saved = load(directory)
        status = status_of(directory, saved)
        guard("update", saved, status)
        path = f"{directory}/{store.CONFIG}"
        document = _config(path)
        document["linux"] = document.get("linux") or {}
        old = document["linux"].get("resources") or {}
        new = _merged(old, change, asked)
        before, after = resources(old, knobs.ROOT), resources(new, knobs.ROOT)
        changes = _apply(saved.places, before, after, asked, stopped=status == PAUSED)
        if saved.unit:
            _tell_systemd(saved, changes, before, after)
        document["linux"]["resources"] = new
        write_file(path, dumps(document).encode())
    finally:
        posix.close(lock)


def _config(path: str) -> Any:
    """Return the configuration that the container was made from, and updated."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        return loads(posix.read(fd, posix.fstat(fd).st_size), path)
    finally:
        posix.close(fd)


def _merged(old: dict[str, Any], change: Any, asked: Resources) -> dict[str, Any]:
    """Return resources OLD with CHANGE, which ASKED is the record of."""
    made = merged(old, change)
    if devices.rules(asked.devices) == devices.DEFAULTS:
        made["devices"] = old.get("devices") or []
    swap = knobs.with_swap(asked).memory
    if swap is not None and swap.swap:
        made["memory"]["swap"] = swap.swap
    return made


def _tell_systemd(saved: Saved, changes: list[Write], old: Resources, new: Resources) -> None:
    """Let systemd know what has changed, or it would set the old limits again when it reloads."""
    from pyrunc.cgroup import properties, systemd

    found = properties.of_writes(changes, unified=_unified(saved.places))
    rules = devices.rules(new.devices)
    if rules != devices.rules(old.devices):
        found = (*found, *properties.of_devices(rules))
    if found:
        systemd.change(saved.unit, found)


def _unified(places: tuple[Place, ...]) -> bool:
    """Return whether the limits are in version 2."""
    return all(place.controllers == ("",) for place in places)


def _apply(
    places: tuple[Place, ...], old: Resources, new: Resources, asked: Resources, *, stopped: bool
) -> list[Write]:
    """Make the cgroups at PLACES, which have the limits of OLD, have those of NEW as far as ASKED; return what was written.

    STOPPED says that the container is paused already.
    """
    unified = _unified(places)
    changes = knobs.writes(new, unified=unified, asked=knobs.with_swap(asked))
    if unified and new.memory is not None and new.memory.checkBeforeUpdate and asked.memory is not None:
        limits.check_usage(fs.main_directory(places), new.memory)
    rules = devices.rules(new.devices)
    if rules == devices.rules(old.devices):
        limits.update(places, changes)
    elif unified:
        from pyrunc.cgroup import bpf

        program = bpf.program(rules)
        limits.update(places, changes)
        try:
            bpf.attach(fs.main_directory(places), program)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise OpError(f"error setting device rules: {reason}", errno=error.errno or 0, pointer=devices.AT) from None
    else:
        _with_devices(places, changes, rules, stopped=stopped)
    return changes


def _with_devices(places: tuple[Place, ...], changes: list[Write], rules: tuple[devices.Rule, ...], *, stopped: bool) -> None:
    """Make CHANGES, and let version 1 decide by RULES: to everything or from it, while the container stands still.

    On that way the kernel denies everything for a moment.
    """
    where = next((place.directory for place in places if "devices" in place.controllers), "")
    present = read(f"{where}/devices.list") if where else ""
    lines = [Write("devices", file, line, at) for file, line, at in devices.v1_change(present, rules)]
    stop = not stopped and any(line.value == "a" for line in lines)
    if stop:
        freezer.set_frozen(places, frozen=True)
    try:
        limits.update(places, changes + lines)
    finally:
        if stop:
            freezer.set_frozen(places, frozen=False)
