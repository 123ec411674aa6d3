"""`update`: other limits for a container that runs."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, SIGHUP, SIGINT, SIGQUIT, SIGTERM, pthread_sigmask

from pyrunc import handover
from pyrunc.cgroup import devices, freezer, fs, knobs, limits
from pyrunc.cgroup.knobs import Write
from pyrunc.container import store, work
from pyrunc.container.merge import merged
from pyrunc.container.statefile import load, write_draft, write_file
from pyrunc.container.status import PAUSED, guard, need_cgroup, status_of
from pyrunc.errors import OpError, PyruncError
from pyrunc.host.files import read
from pyrunc.jsonio import dumps, loads
from pyrunc.oci.resources import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.cgroup.paths import Place
    from pyrunc.container.schemata import Schemata
    from pyrunc.container.statefile import SavedState
    from pyrunc.oci.resources import Resources


ENDING = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)
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
    working = work.begin(directory, "update")
    try:
        saved = load(directory)
        status = status_of(directory, saved)
        guard("update", saved, status)
        need_cgroup(saved, "update")
        asked = _remembered(directory, saved, change, schemata, stopped=status == PAUSED)
    finally:
        working.close()
    return knobs.warnings(asked)


def choose_program(root: str, container: str) -> None:
    """Go over to the script, which has the library that talks to systemd, if CONTAINER has a unit: before a document is read.

    Raises StateError if there is no such container.
    """
    if load(store.directory(root, container)).unit:
        handover.need_script()


def _remembered(directory: str, saved: SavedState, change: Any, schemata: Schemata | None, *, stopped: bool) -> Resources:
    """Do what `update` does, with a note of it in DIRECTORY in case that we are killed meanwhile; return what was asked for."""
    path = f"{directory}/{PENDING}"
    earlier = _config(path) if posix.access(path, posix.F_OK) else None  # of an update that was killed in the middle
    with_earlier = change if earlier is None else merged(earlier, change)
    asked: Resources = resources(with_earlier, knobs.ROOT)
    try:
        write_file(path, dumps(with_earlier).encode())
        _update(directory, saved, with_earlier, asked, schemata, stopped=stopped)
    except BaseException:
        if earlier is not None:
            write_file(path, dumps(earlier).encode())
        elif posix.access(path, posix.F_OK):  # a signal may have come before it was there, or right after
            posix.unlink(path)
        raise
    posix.unlink(path)
    return asked


def _update(
    directory: str, saved: SavedState, change: object, asked: Resources, schemata: Schemata | None, *, stopped: bool
) -> None:
    """Do all of it or nothing; STOPPED says that the container is paused.

    A signal takes everything back, as a failure does, unless the configuration has changed its name already:
    from then on it waits until we are done.
    """
    path = f"{directory}/{store.CONFIG}"
    document = _config(path)
    linux = document["linux"] = document.get("linux") or {}
    old = linux.get("resources") or {}
    linux["resources"] = new = _merged(old, change, asked)
    if schemata is not None:
        from pyrunc.container import schemata as rdt

        linux["intelRdt"] = rdt.document(linux.get("intelRdt"), schemata)
    before, after = resources(old, knobs.ROOT), resources(new, knobs.ROOT)
    back: list[Callable[[], None]] = []
    waiting: set[int] | None = None
    try:
        draft = write_draft(path, dumps(document).encode())  # first: if the disk is full, nothing has happened
        back.append(lambda: posix.unlink(draft))
        if schemata is not None:
            back.append(rdt.Change(directory, saved, schemata).undo)
        changes = _apply(saved, before, after, asked, back, stopped=stopped)
        if saved.unit:
            back.append(lambda: _tell_systemd(saved, _asked(saved, before, asked), after, before))
            _tell_systemd(saved, changes, before, after)
        waiting = pthread_sigmask(SIG_BLOCK, ENDING)
        posix.rename(draft, path)
    except BaseException:
        waiting = waiting if waiting is not None else pthread_sigmask(SIG_BLOCK, ENDING)
        _take_back(back)
        raise
    finally:
        if waiting is not None:
            pthread_sigmask(SIG_SETMASK, waiting)


def _take_back(back: list[Callable[[], None]]) -> None:
    """Call all of BACK, the last one first, as far as they work: the first error is the one to tell."""
    for each in reversed(back):
        try:
            each()
        except (OSError, PyruncError):
            continue


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


def _asked(saved: SavedState, wanted: Resources, asked: Resources) -> list[Write]:
    """Return the writes by which the container has what ASKED names as WANTED has it."""
    return knobs.writes(wanted, unified=_unified(saved.places), asked=knobs.with_swap(asked))


def _apply(
    saved: SavedState,
    old: Resources,
    new: Resources,
    asked: Resources,
    back: list[Callable[[], None]],
    *,
    stopped: bool,
) -> list[Write]:
    """Let the cgroups of SAVED, which have the limits of OLD, have those of NEW as far as ASKED; return what was written.

    What takes it back is added to BACK.  STOPPED says that the container is paused already.
    """
    places = saved.places
    unified = _unified(places)
    changes = _asked(saved, new, asked)
    if unified and new.memory is not None and new.memory.checkBeforeUpdate and asked.memory is not None:
        limits.check_usage(fs.main_directory(places), new.memory)
    before, rules = devices.rules(old.devices), devices.rules(new.devices)
    if rules != before and not unified:
        _with_devices(places, changes, before, rules, back, stopped=stopped)
        return changes
    done = limits.update(places, changes)
    back.append(lambda: limits.set_back(done))
    if rules != before:
        back.append(lambda: _attach(saved, before))
        _attach(saved, rules)
    return changes


def _attach(saved: SavedState, rules: tuple[devices.Rule, ...]) -> None:
    """Let version 2 decide about devices by RULES, beside programs that were there before the container."""
    from pyrunc.cgroup import bpf

    where = fs.main_directory(saved.places)
    kept = (each.words[2:] for each in saved.made if each.call == "attach_device_program" and each.words[0] == where)
    try:
        bpf.attach(where, bpf.program(rules), tuple(map(int, next(kept, ()))))
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OpError(
            f"error setting device rules: {reason}",
            errno=error.errno or 0,
            pointer=devices.AT,
            hint="see which rules the parent cgroup has: ask for no more than these",
        ) from None


def _with_devices(
    places: tuple[Place, ...],
    changes: list[Write],
    before: tuple[devices.Rule, ...],
    rules: tuple[devices.Rule, ...],
    back: list[Callable[[], None]],
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
    stop = any(line.value == "a" for line in lines)
    done: list[tuple[str, str]] = []

    def take_back() -> None:
        """Bring the old limits and rules back, and do that while the container stands still, too."""
        limits.set_back(done)
        if stop:
            limits.apply(places, tuple(_writes(devices.v1_writes(before))))

    back.append(lambda: _standing_still(places, take_back, stop=stop and not stopped))
    _standing_still(places, lambda: done.extend(limits.update(places, changes + lines)), stop=stop and not stopped)


def _standing_still(places: tuple[Place, ...], does: Callable[[], None], *, stop: bool) -> None:
    """Call DOES, while the container stands still if it is to STOP."""
    if not stop:
        does()
        return
    try:
        freezer.set_frozen(places, frozen=True)
        does()
    finally:
        freezer.set_frozen(places, frozen=False)


def _writes(lines: list[tuple[str, str, str]]) -> list[Write]:
    """Return LINES for the devices controller as writes."""
    return [Write("devices", file, line, at) for file, line, at in lines]
