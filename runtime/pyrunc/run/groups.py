"""Steps about cgroups, which the host side does."""

from __future__ import annotations

from pyrunc.cgroup import bpf, fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.paths import Place
    from pyrunc.run.context import Context


def make_cgroup(_: Context, places: tuple[Place, ...]) -> None:
    """Make the container's cgroups."""
    fs.make(places)


def limit_cgroup(_: Context, places: tuple[Place, ...], changes: tuple[Write, ...]) -> None:
    """Set the limits."""
    fs.apply(places, changes)


def join_cgroup(_: Context, places: tuple[Place, ...], pid: int) -> None:
    """Move process PID into the cgroups."""
    fs.join(places, pid)


def attach_device_program(_: Context, directory: str, program: bytes) -> None:
    """Let an eBPF program decide about devices."""
    bpf.attach(directory, program)


STEPS: dict[str, Callable[..., Any]] = {
    "attach_device_program": attach_device_program,
    "join_cgroup": join_cgroup,
    "limit_cgroup": limit_cgroup,
    "make_cgroup": make_cgroup,
}
