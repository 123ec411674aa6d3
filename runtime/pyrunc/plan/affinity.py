"""/process/execCPUAffinity, and the affinity of an init: where a process runs (config.md, "Linux Process").

An affinity is always the process's own to take.
"""

from __future__ import annotations

from pyrunc.oci.lists import NUMBER_MAX, mask
from pyrunc.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.process import ExecCPUAffinity

ALL_CPUS = mask(f"0-{NUMBER_MAX}")


def child() -> Iterator[Op]:
    """Yield the op by which an init that is in its cgroup may run on every processor.

    The caller's affinity is none of the container's: it gets all that its cpuset
    allows (the kernel cuts the mask down to that).
    """
    yield Op("sched_setaffinity", (0, ALL_CPUS))


def has_initial(affinity: ExecCPUAffinity | None) -> bool:
    """Return whether AFFINITY is also about the time before the process is in the container's cgroup."""
    return affinity is not None and bool(affinity.initial)


def child_exec(affinity: ExecCPUAffinity | None, at: str) -> Iterator[Op]:
    """Yield the op by which the new process of exec keeps to some processors, before it joins the cgroup."""
    if affinity is not None and affinity.initial:
        yield _affinity(affinity.initial, f"{at}/execCPUAffinity/initial")


def joined_exec(affinity: ExecCPUAffinity | None, at: str) -> Iterator[Op]:
    """Yield the op for its affinity once it is in the cgroup.

    With an `initial` one and no `final` one, the specification leaves it to the kernel.
    """
    if affinity is not None and affinity.final:
        yield _affinity(affinity.final, f"{at}/execCPUAffinity/final")
    elif affinity is None or not affinity.initial:
        yield from child()


def _affinity(cpus: str, at: str) -> Op:
    """Return the op by which a process takes an affinity."""
    return Op("sched_setaffinity", (0, mask(cpus)), at, doing="error setting CPU affinity")
