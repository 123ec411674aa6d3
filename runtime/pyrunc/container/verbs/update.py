"""`update`: other limits for a container that runs."""

from __future__ import annotations

import posix

from pyrunc import handover
from pyrunc.cgroup import devices, freezer, fs, knobs, limits
from pyrunc.cgroup.knobs import Write
from pyrunc.container import store
from pyrunc.container.merge import merged
from pyrunc.container.statefile import load, write_file
from pyrunc.container.status import PAUSED, guard, need_cgroup, status_of
from pyrunc.errors import OpError, PyruncError
from pyrunc.host.files import read
from pyrunc.jsonio import dumps, loads
from pyrunc.oci.resources import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.cgroup.paths import Place
    from pyrunc.container.schemata import Schemata
    from pyrunc.container.statefile import SavedState
    from pyrunc.oci.resources import Resources


PENDING = "update.json"  # what is being changed: there after an update only if that was killed


def update(root: str, container: str, change: object, schemata: Schemata | None = None) -> list[str]:
    """Set the limits of CONTAINER that CHANGE names, a document like /linux/resources, and SCHEMATA; the rest stays.

    Zero means unchanged, but for what has a zero of its own (knobs.py); -1 is
    unlimited.  Either all is changed, and remembered in the container's
    configuration, or nothing; what a killed update has left half done, the next
    one completes.  Device rules that deny everything are what engines send
    along, and mean nothing here.  Returns what to warn of.  Raises StateError
    unless the container is created, running or paused.
    """
    change = {} if change is None else change
    directory = store.directory(root, container)
    resources(change, knobs.ROOT)  # what is none is told before anything else
    lock = store.lock(directory)
    try:
        saved = load(directory)
        if saved.unit:
            handover.need_script()  # its library talks to systemd
        status = status_of(directory, saved)
        guard("update", saved, status)
        need_cgroup(saved, "update")
        with_pending = _pending(f"{directory}/{PENDING}", change)
        asked = resources(with_pending, knobs.ROOT)
        write_file(f"{directory}/{PENDING}", dumps(with_pending).encode())
        try:
            _update(directory, saved, with_pending, asked, schemata, stopped=status == PAUSED)
        finally:
            posix.unlink(f"{directory}/{PENDING}")
    finally:
        posix.close(lock)
    return knobs.warnings(asked)


def choose_program(root: str, container: str) -> None:
    """Go over to the script, which has the library that talks to systemd, if CONTAINER has a unit: before a document is read.

    Raises StateError if there is no such container.
    """
    if load(store.directory(root, container)).unit:
        handover.need_script()


def _pending(path: str, change: Any) -> Any:
    """Return CHANGE, added to the one in the file at PATH that an update was killed in the middle of, if there is one."""
    try:
        posix.stat(path)
    except FileNotFoundError:
        return change
    return merged(_config(path), change)


def _update(
    directory: str, saved: SavedState, change: object, asked: Resources, schemata: Schemata | None, *, stopped: bool
) -> None:
    """Do what `update` does, under the lock of DIRECTORY; STOPPED says that the container is paused."""
    path = f"{directory}/{store.CONFIG}"
    document = _config(path)
    linux = document["linux"] = document.get("linux") or {}
    old = linux.get("resources") or {}
    new = _merged(old, change, asked)
    before, after = resources(old, knobs.ROOT), resources(new, knobs.ROOT)
    undo = None
    if schemata is not None:
        from pyrunc.container import schemata as rdt

        undo = rdt.Change(directory, saved, schemata)
        linux["intelRdt"] = rdt.document(linux.get("intelRdt"), schemata)
    try:
        changes = _apply(saved.places, before, after, asked, stopped=stopped)
    except BaseException:
        if undo is not None:
            undo.undo()
        raise
    if saved.unit:
        _tell_systemd(saved, changes, before, after)
    linux["resources"] = new
    write_file(path, dumps(document).encode())


def _config(path: str) -> Any:
    """Return the JSON document in the file at PATH: the configuration that the container was made from, and updated."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        return loads(posix.read(fd, posix.fstat(fd).st_size), path)
    finally:
        posix.close(fd)


def _merged(old: dict[str, Any], change: Any, asked: Resources) -> dict[str, Any]:
    """Return resources OLD with CHANGE, which ASKED is the record of."""
    made = merged(old, change)
    if asked.pids is not None and asked.pids.limit == 0:
        made["pids"]["limit"] = 1  # what the kernel has now; in an old configuration a restore would take 0 for none
    if devices.rules(asked.devices) == devices.DEFAULTS:
        made["devices"] = old.get("devices") or []
    swap = knobs.with_swap(asked).memory
    if swap is not None and swap.swap:
        made["memory"]["swap"] = swap.swap
    return made


def _tell_systemd(saved: SavedState, changes: list[Write], old: Resources, new: Resources) -> None:
    """Let systemd know what has changed, or it would set the old limits again when it reloads."""
    from pyrunc.cgroup import properties, systemd

    found = properties.of_writes(changes, unified=_unified(saved.places))
    rules = devices.rules(new.devices)
    if rules != devices.rules(old.devices):
        found = (*found, *properties.of_devices(rules))
    if found:
        systemd.change(saved.unit, found, user=saved.user_unit)


def _unified(places: tuple[Place, ...]) -> bool:
    """Return whether the limits are in version 2."""
    return all(place.is_v2 for place in places)


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
        _with_devices(places, changes, devices.rules(old.devices), rules, stopped=stopped)
    return changes


def _with_devices(
    places: tuple[Place, ...],
    changes: list[Write],
    before: tuple[devices.Rule, ...],
    rules: tuple[devices.Rule, ...],
    *,
    stopped: bool,
) -> None:
    """Make CHANGES, and let version 1 decide by RULES: to everything or from it, while the container stands still.

    On that way the kernel denies everything, or nothing, for a moment; the way
    back, to the rules BEFORE, begins with everything denied.
    """
    where = next((place.directory for place in places if "devices" in place.controllers), "")
    present = read(f"{where}/devices.list") if where else ""
    lines = _writes(devices.v1_change(present, rules))
    stop = not stopped and any(line.value == "a" for line in lines)
    if stop:
        freezer.set_frozen(places, frozen=True)
    try:
        limits.update(places, changes + lines)
    except PyruncError:
        if stop:
            limits.apply(places, tuple(_writes(devices.v1_writes(before))))
        raise
    finally:
        if stop:
            freezer.set_frozen(places, frozen=False)


def _writes(lines: list[tuple[str, str, str]]) -> list[Write]:
    """Return LINES for the devices controller as writes."""
    return [Write("devices", file, line, at) for file, line, at in lines]
