"""Steps about cgroups, most of them the host's: make, limit, join; the same for resctrl."""

from __future__ import annotations

import posix

from pyrunc.cgroup import claim, fs, limits
from pyrunc.host.files import read, write
from pyrunc.plan.op import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.paths import Place
    from pyrunc.cgroup.systemd import Property
    from pyrunc.cgroup.units import Unit
    from pyrunc.run.context import Context


def make_cgroup(context: Context, places: tuple[Place, ...]) -> None:
    """Make cgroups, and claim those that are there already, which are not ours.

    Raises StateError if another uses them, or is about to.
    """
    _make(context, "make_cgroup", places)


def fill_cgroup(context: Context, places: tuple[Place, ...]) -> None:
    """Make the cgroups that systemd has not made for our scope: it knows few controllers of version 1."""
    _make(context, "fill_cgroup", places)


def _make(context: Context, call: str, places: tuple[Place, ...]) -> None:
    """Make the cgroups at PLACES for an op CALL, and record which were made and which found."""
    made: list[str] = []
    scope = call == "fill_cgroup"
    if not scope:
        context.claims.append(_claim(places[0], made))
    try:
        fs.make_directories(places if scope else places[1:], made)
        if not scope:
            claim.refuse_used(tuple(place for place in places[1:] if place.directory not in made))
    finally:
        context.ours.update(made)
        _record(context, call, tuple(each for each in places if each.directory in made))
    for place in places:
        if place.directory not in made:
            context.record(_found(place.directory))
            if "cpuset" in place.controllers and not scope:
                context.record(*_cpuset(place.directory))
    fs.prepare(places, enable=not scope)


def _record(context: Context, call: str, own: tuple[Place, ...]) -> None:
    """Record that an op CALL has made the cgroups at OWN.

    One that cannot be recognised later is removed at once; then raises OSError.
    """
    tokens, failed = [], None
    for place in own:
        try:
            tokens.append(Token(call, (place.directory, inode(place.directory), place.mount)))
        except OSError as error:
            failed = error
            fs.remove_empty(place.directory, place.mount)
    context.record(*tokens)
    if failed is not None:
        raise failed


def _claim(place: Place, made: list[str]) -> int:
    """Make the cgroup at PLACE, note in MADE if we have, and return what claims it.

    Before it is recorded as ours: if another is quicker to claim it, it is his, although we have made it.
    """
    fs.make_directories((place,), made)
    try:
        held = claim.take(place.directory)
    except OSError:
        if made:
            fs.remove_empty(place.directory, place.mount)
        raise
    try:
        claim.refuse_used((place,))
    except BaseException:
        if made:
            fs.remove_empty(place.directory, place.mount)
        posix.close(held)
        raise
    return held


def _found(directory: str) -> Token:
    """Return the token of the cgroup at DIRECTORY, which was there, and of what was below it."""
    below = (entry.name for entry in posix.scandir(directory) if entry.is_dir(follow_symlinks=False))
    return Token("use_cgroup", (directory, inode(directory), *below))


def _cpuset(directory: str) -> list[Token]:
    """Return the tokens of the cpuset at DIRECTORY, which is filled if it is empty: no process could join."""
    files = [f"{directory}/{name}" for name in fs.CPUSET]
    return [Token("limit_cgroup", (file, inode(directory), read(file).strip() or "\n")) for file in files]


def inode(directory: str) -> str:
    """Return the inode of DIRECTORY, as tokens have it."""
    return str(claim.inode(directory))


def start_scope(context: Context, unit: Unit, pid: int, properties: tuple[Property, ...], places: tuple[Place, ...]) -> None:
    """Let systemd start the scope UNIT, whose cgroups are at PLACES, with process PID in it; it is ours once that is done."""
    from pyrunc.cgroup import systemd

    systemd.start(unit, pid, properties)
    context.ours.update(place.directory for place in places)
    where = systemd.cgroup_of(places)
    context.record(Token("start_scope", (unit.name, "user" if unit.user else "", where, inode(where))))


def attach_to_unit(_: Context, unit: str, pid: int) -> None:
    """Let the user's own systemd move process PID into UNIT."""
    from pyrunc.cgroup import systemd

    systemd.attach(unit, pid)


def limit_cgroup(context: Context, places: tuple[Place, ...], changes: tuple[Write, ...]) -> None:
    """Set the limits; what was there before is recorded, where the cgroup was."""
    found = {place.directory for place in places} - context.ours
    if not found:
        limits.apply(places, changes)
        return
    before = limits.before(places, changes, found)
    context.record(*(Token("limit_cgroup", (path, inode(path.rpartition("/")[0]), text)) for path, text in before))
    limits.apply(places, changes)


def open_tasks(_: Context, directory: str) -> int:
    """Open the file by which a thread joins the cgroup at DIRECTORY."""
    return posix.open(f"{directory}/tasks", posix.O_WRONLY | posix.O_CLOEXEC)


def join_cgroup(_: Context, *doors: int) -> None:
    """Join, by a write to each of DOORS."""
    for fd in doors:
        posix.write(fd, b"0")


def move_to_cgroup(_: Context, directory: str, pid: int) -> None:
    """Move process PID into the cgroup at DIRECTORY."""
    write(f"{directory}/{fs.PROCS}", str(pid))


def attach_device_program(context: Context, directory: str, program: bytes) -> None:
    """Let an eBPF program decide about devices, beside those that were there before us."""
    from pyrunc.cgroup import bpf

    kept: tuple[int, ...] = ()
    if directory not in context.ours:
        kept = bpf.attached(directory)
        context.record(Token("attach_device_program", (directory, inode(directory), *map(str, kept))))
    bpf.attach(directory, program, kept)


def own_cgroup(context: Context, directory: str, uid: int) -> None:
    """Give the cgroup at DIRECTORY to the host's UID, as far as it may be given away."""
    from pyrunc.cgroup import owner

    if directory not in context.ours:
        context.record(Token("own_cgroup", (directory, inode(directory), str(posix.stat(directory).st_uid))))
    owner.give(directory, uid, owner.files())


def make_resctrl_class(context: Context, directory: str, writes: tuple[tuple[str, ...], ...]) -> None:
    """Make the container's own class of service."""
    from pyrunc.cgroup import resctrl

    resctrl.make_class(directory, writes)
    context.record(Token("make_resctrl_class", (directory, inode(directory))))


def use_resctrl_class(context: Context, directory: str, writes: tuple[tuple[str, ...], ...]) -> None:
    """Find, or make, a class of service that others may use too; it is not to go before we have joined it."""
    from pyrunc.cgroup import resctrl

    made, held = resctrl.use_class(directory, writes)
    if held >= 0:
        context.claims.append(held)
    if made:
        context.record(Token("use_resctrl_class", (directory, inode(directory))))


def make_resctrl_group(context: Context, directory: str) -> None:
    """Make the group in which the container is monitored."""
    from pyrunc.cgroup import resctrl

    resctrl.make_group(directory)
    context.record(Token("make_resctrl_group", (directory, inode(directory))))


def join_resctrl(_: Context, directories: tuple[str, ...], pid: int) -> None:
    """Move process PID into resctrl groups."""
    from pyrunc.cgroup import resctrl

    resctrl.join(directories, pid)


STEPS: dict[str, Callable[..., Any]] = {
    "attach_device_program": attach_device_program,
    "attach_to_unit": attach_to_unit,
    "fill_cgroup": fill_cgroup,
    "join_cgroup": join_cgroup,
    "join_resctrl": join_resctrl,
    "limit_cgroup": limit_cgroup,
    "make_cgroup": make_cgroup,
    "make_resctrl_class": make_resctrl_class,
    "make_resctrl_group": make_resctrl_group,
    "move_to_cgroup": move_to_cgroup,
    "open_tasks": open_tasks,
    "own_cgroup": own_cgroup,
    "start_scope": start_scope,
    "use_resctrl_class": use_resctrl_class,
}
