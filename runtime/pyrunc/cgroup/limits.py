"""Limits as writes to the files of a container's cgroups: all of them when it is made, some of them later."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError, UnsupportedError
from pyrunc.host.files import read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.paths import Place
    from pyrunc.oci.resources import Memory

UNIFIED, INVALID = "/linux/resources/unified/", "invalid"
DEVICES = ("devices.allow", "devices.deny")
ALL_DEVICES = "a *:* rwm"
SAID, NOT_OFFERED = "error setting cgroup config", "this kernel, or this cgroup's parent, does not offer that file"
CORRECT = "correct the value: the kernel's documentation of cgroups says what this file takes"
BY_ERRNO = {
    errno.EBUSY: "the cgroup is in use in a way that forbids it: stop what is in it, or name another cgroup",
    errno.ENODEV: "name a device that is there",
    errno.EPERM: "the parent cgroup forbids it: ask for less, or name another cgroup",
    errno.ENOSPC: "something is used up: ask for less",
}
NO_SUCH_FILE = (errno.ENOENT, errno.EACCES, errno.EPERM)  # cgroup file systems let nobody make files


def apply(places: tuple[Place, ...], changes: tuple[Write, ...]) -> None:
    """Make CHANGES in the cgroups at PLACES.

    Raises UnsupportedError for a controller that this host lacks, OpError for
    what the kernel refuses.
    """
    for change in changes:
        _make(places, change)
    _refuse_invalid(places, changes)


def before(places: tuple[Place, ...], changes: tuple[Write, ...], found: set[str]) -> list[tuple[str, str]]:
    """Return what the files say that CHANGES are to be made in, as writes to be made in turn from the last one.

    Of those of PLACES alone whose directories are among FOUND.
    """
    said: list[tuple[str, str]] = []
    for change in changes:
        directory = _directory(places, change, missing="")
        if directory not in found:
            continue
        if change.file in DEVICES:
            path = f"{directory}/devices.list"
            if not any(each == path for each, _ in said):
                said.append((path, read(path)))
        else:
            said += _back(*_target(directory, change))
    return said


def restore(path: str, text: str) -> None:
    """Bring back what the file at PATH said: TEXT, of `before`.  Raises OSError if the kernel refuses."""
    directory, _, file = path.rpartition("/")
    if file != "devices.list":
        write(path, text)
        return
    rows = text.splitlines()
    if ALL_DEVICES in rows:
        write(f"{directory}/devices.allow", "a")
        return
    write(f"{directory}/devices.deny", "a")
    for row in rows:
        write(f"{directory}/devices.allow", row)


def update(places: tuple[Place, ...], changes: list[Write]) -> list[tuple[str, str]]:
    """Make CHANGES as `apply` does, in the order that the present limits ask for; all of them or none.

    Return what `set_back` takes them back by.  Raises as `apply` does, and KeyboardInterrupt, after that.
    """
    from pyrunc.cgroup import writeorder

    done: list[tuple[str, str]] = []
    try:
        for change in writeorder.in_write_order(changes, _present(places)):
            directory = _directory(places, change)
            done += _back(*_target(directory, change))  # before the write: a signal may come right after it
            _make(places, change)
        _refuse_invalid(places, changes)
    except BaseException:
        set_back(done)
        raise
    return done


def set_back(done: list[tuple[str, str]]) -> None:
    """Take back what `update` has DONE, as far as the kernel lets us: the first error is the one to tell."""
    for path, text in reversed(done):
        try:
            write(path, text)
        except OSError:
            continue


def _refuse_invalid(places: tuple[Place, ...], changes: Iterable[Write]) -> None:
    """Raise OpError for a file of `unified` among CHANGES that took its value and calls it invalid.

    cpuset.cpus.partition does (cgroup-v2.rst of the kernel).  Looked at when all is written, as one file may make another valid.
    """
    for change in changes:
        if not change.pointer.startswith(UNIFIED):
            continue
        path = f"{_directory(places, change)}/{change.file}"
        try:
            text = read(path).strip()
        except OSError:
            continue  # a file for writing only has no word to say
        if INVALID in text.split():
            message = f'error setting cgroup config: {path} takes "{change.value}", and then reads "{text}"'
            raise OpError(message, pointer=change.pointer, hint="the parents, or other files, do not allow that value")


def _present(places: tuple[Place, ...]) -> dict[str, str]:
    """Return what the files say that decide about an order."""
    from pyrunc.cgroup import writeorder

    made = {}
    for place in places:
        for file in writeorder.LOOKED_AT:
            if ("" in place.controllers or file.partition(".")[0] in place.controllers) and _is_file(place.directory, file):
                made[file] = read(f"{place.directory}/{file}")
    return made


def check_usage(directory: str, memory: Memory) -> None:
    """Raise OpError if the cgroup at DIRECTORY uses more than MEMORY would allow (config-linux.md, "checkBeforeUpdate").

    For version 2, which would rather kill; version 1 refuses by itself.
    """
    used = int(read(f"{directory}/memory.current"))
    # In this order: a limit of memory and swap that is too low is told first, as by runc.
    for name, words, limit in (("swap", "memory+swap limit", memory.swap), ("limit", "memory limit", memory.limit)):
        if limit and 0 < limit <= used:
            hint = "checkBeforeUpdate is set: free memory in the container first"
            message = f"rejecting {words} {limit} <= usage {used}"
            raise OpError(message, pointer=f"/linux/resources/memory/{name}", hint=hint)


def _is_file(directory: str, file: str) -> bool:
    """Return whether the cgroup at DIRECTORY offers FILE."""
    return bool(directory) and posix.access(f"{directory}/{file}", posix.F_OK)


def place_of(places: tuple[Place, ...], change: Write) -> Place | None:
    """Return which of PLACES CHANGE is to be made at, None if none has its controller."""
    found = {controller: place for place in places for controller in place.controllers}
    return found.get(change.controller, found.get("") if len(places) == 1 else None)


def _directory(places: tuple[Place, ...], change: Write, missing: str | None = None) -> str:
    """Return where CHANGE is to be made, or MISSING.  Raises UnsupportedError if this host has no such controller."""
    place = place_of(places, change)
    if place is None and missing is None:
        raise _no_controller(change)
    return place.directory if place is not None else missing or ""


def _no_controller(change: Write) -> UnsupportedError:
    """Return the error for CHANGE where its controller is missing."""
    name = change.pointer.rpartition("/")[2]
    return UnsupportedError(
        f"cannot set {name}: cgroup controller {change.controller} is not available on this host",
        pointer=change.pointer,
        hint="remove the setting, or mount the controller",
    )


def _target(directory: str, change: Write) -> tuple[str, str]:
    """Return the path and the text of CHANGE in the cgroup at DIRECTORY, which may have only the older file."""
    other, value = change.other
    if other and not _is_file(directory, change.file):
        return f"{directory}/{other}", value
    return f"{directory}/{change.file}", change.value


def _make(places: tuple[Place, ...], change: Write) -> None:
    """Make one change, and say what failed in the words of cgroup files."""
    directory = _directory(places, change)
    path, value = _target(directory, change)
    try:
        write(path, value)
    except OSError as error:
        missing = error.errno in NO_SUCH_FILE and not posix.access(path, posix.F_OK)
        if missing and change.optional:
            return
        if missing and not _has_controller(directory, change.controller):
            raise _no_controller(change) from None
        raise _refused(places, change, path, value, error, missing=missing) from None


def _refused(
    places: tuple[Place, ...], change: Write, path: str, value: str, error: OSError, *, missing: bool
) -> OpError:
    """Return the ERROR of writing VALUE of CHANGE to PATH, which may be MISSING, with what to do about it."""
    directory = path.rpartition("/")[0]
    said = SAID
    if missing or error.errno == errno.EACCES:
        hint = NOT_OFFERED
    elif error.errno == errno.EBUSY and change.pointer.endswith("/memory/limit"):
        used, peak = (read(f"{directory}/memory.{name}usage_in_bytes").strip() for name in ("", "max_"))
        said = f"unable to set memory limit to {value} (current usage: {used}, peak usage: {peak})"
        hint = f"the container uses {used} bytes, and cannot do with less"
    else:
        hint = BY_ERRNO.get(error.errno or 0, CORRECT)
    from pyrunc.cgroup import reasons

    place = place_of(places, change)
    if not missing and place is not None:
        found = reasons.reason(change, reasons.Group(directory, place.mount, {}))
        hint = found.hint if found is not None else hint
    message = f'{said}: write "{value}" to {path}: {(error.strerror or "").lower()}'
    return OpError(message, errno=error.errno or 0, pointer=change.pointer, hint=hint)


def _has_controller(directory: str, controller: str) -> bool:
    """Return whether the cgroup at DIRECTORY has CONTROLLER, as far as version 2 says so (version 1 always has)."""
    path = f"{directory}/cgroup.controllers"
    return not controller or not posix.access(path, posix.F_OK) or controller in read(path).split()


def _back(path: str, value: str) -> list[tuple[str, str]]:
    """Return the writes that take back the write of VALUE to PATH.

    A value with a key ("8:0 rbps=1") replaces the line of that key; where there
    is none, the key's own word for "no limit" does.
    """
    directory, _, file = path.rpartition("/")
    if file in DEVICES:
        return [(f"{directory}/devices.{'deny' if file == 'devices.allow' else 'allow'}", value)]
    try:
        lines = read(path).splitlines()
    except OSError:
        return []  # nothing to read, nothing to take back: the write will tell
    key, _, rest = value.partition(" ")
    if not rest or file == "cpu.max":
        # An empty cpuset is written as an empty line: a write of nothing does not reach the kernel.
        return [(path, line.removeprefix("oom_kill_disable ") or "\n") for line in lines[:1] or [""]]
    kept = [line for line in lines if line.split(" ")[0] == key]
    if not kept:
        nothing = "rbps=max wbps=max riops=max wiops=max" if file == "io.max" else "default" if "weight" in file else "0"
        kept = [f"{key} {nothing}"]
    return [(path, line) for line in kept]
