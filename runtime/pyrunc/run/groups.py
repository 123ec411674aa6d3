"""Steps about cgroups, which the host side does."""

from __future__ import annotations

import posix

from pyrunc.cgroup import fs, limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.paths import Place
    from pyrunc.run.context import Context


def make_cgroup(context: Context, places: tuple[Place, ...]) -> None:
    """Make the container's cgroups; from here on what is in them is ours to kill."""
    fs.refuse_used(places)
    context.owns_cgroups = True
    fs.make(places)


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
    fs.write(f"{directory}/{fs.PROCS}", str(pid))


def attach_device_program(_: Context, directory: str, program: bytes) -> None:
    """Let an eBPF program decide about devices."""
    from pyrunc.cgroup import bpf

    bpf.attach(directory, program)


STEPS: dict[str, Callable[..., Any]] = {
    "attach_device_program": attach_device_program,
    "join_cgroup": join_cgroup,
    "limit_cgroup": limit_cgroup,
    "make_cgroup": make_cgroup,
    "move_to_cgroup": move_to_cgroup,
    "open_tasks": open_tasks,
}
