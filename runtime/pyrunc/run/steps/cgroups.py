"""Steps about cgroups, most of them the host's: make, limit, join; the same for resctrl."""

from __future__ import annotations

import posix

from pyrunc.cgroup import fs, limits
from pyrunc.host.files import write

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
    """Make cgroups, in all of which the caller has found nobody; from here on what is in them is ours to kill."""
    context.owns_cgroups = True
    fs.make(places)


def start_scope(context: Context, unit: Unit, pid: int, properties: tuple[Property, ...]) -> None:
    """Let systemd start the scope UNIT with process PID in it."""
    from pyrunc.cgroup import systemd

    context.owns_cgroups = True
    systemd.start(unit, pid, properties)


def attach_to_unit(_: Context, unit: str, pid: int) -> None:
    """Let the user's own systemd move process PID into UNIT."""
    from pyrunc.cgroup import systemd

    systemd.attach(unit, pid)


def fill_cgroup(_: Context, places: tuple[Place, ...]) -> None:
    """Make the cgroups that systemd has not made: it knows few controllers of version 1."""
    fs.make(places, enable=False)


def limit_cgroup(_: Context, places: tuple[Place, ...], changes: tuple[Write, ...]) -> None:
    """Set the limits."""
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


def attach_device_program(_: Context, directory: str, program: bytes) -> None:
    """Let an eBPF program decide about devices."""
    from pyrunc.cgroup import bpf

    bpf.attach(directory, program)


def own_cgroup(_: Context, directory: str, uid: int) -> None:
    """Give the cgroup at DIRECTORY to the host's UID, as far as it may be given away."""
    from pyrunc.cgroup import owner

    owner.give(directory, uid, owner.files())


def make_resctrl_class(context: Context, directory: str, writes: tuple[tuple[str, ...], ...]) -> None:
    """Make the container's own class of service."""
    from pyrunc.cgroup import resctrl

    resctrl.make_class(directory, writes)
    context.groups = (directory,)


def use_resctrl_class(_: Context, directory: str, writes: tuple[tuple[str, ...], ...]) -> None:
    """Find, or make, a class of service that others may use too."""
    from pyrunc.cgroup import resctrl

    resctrl.use_class(directory, writes)


def make_resctrl_group(context: Context, directory: str) -> None:
    """Make the group in which the container is monitored."""
    from pyrunc.cgroup import resctrl

    resctrl.make_group(directory)
    context.groups = (directory, *context.groups)


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
