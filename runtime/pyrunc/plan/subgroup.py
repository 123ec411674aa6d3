"""run.oci.systemd.subgroup and run.oci.delegate-cgroup: cgroups below the scope, for the container's process (crun(1)).

Limits are the scope's, and so hold for all below it.  The process goes to the first before its cgroup namespace is made, and to
the second after that: so the second is the container's own to manage, and the namespace's root is the one above it.  Only
systemd's scopes have them, and only version 2, where a cgroup can be given away.
"""

from __future__ import annotations

from pyrunc.oci import crun
from pyrunc.plan.op import CHILD, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place
    from pyrunc.oci.config import Config

MAKING = "error making the cgroups below the scope"


def _paths(config: Config, where: tuple[Place, ...]) -> tuple[str, str]:
    """Return the directories of both, each "" if it is not asked for."""
    top = where[-1].directory
    first = config.annotations.get(crun.SUBGROUP, "")
    second = config.annotations.get(crun.DELEGATE, "")
    middle = f"{top}/{first}" if first else top
    return (middle if first else ""), (f"{middle}/{second}" if second else "")


def place(config: Config, where: tuple[Place, ...]) -> tuple[Place, ...]:
    """Return WHERE with the cgroup in the place of the scope that the container's user may own."""
    lowest = next((path for path in reversed(_paths(config, where)) if path), where[-1].directory)
    return (*where[:-1], where[-1].replace(directory=lowest))


def enter(config: Config, where: tuple[Place, ...]) -> list[Op]:
    """Return the ops that make them below the scope, the last of WHERE, and move the process into the first."""
    first, second = _paths(config, where)
    at = crun.pointer(crun.SUBGROUP if first else crun.DELEGATE)
    ops = [Op("make_subgroups", (tuple(filter(None, (first, second))),), at, doing=MAKING)]
    return [*ops, *_move(first, where[-1].directory, at)] if first else ops


def leave(config: Config, where: tuple[Place, ...]) -> list[Op]:
    """Return the ops that move the process into the second, once it has its cgroup namespace."""
    first, second = _paths(config, where)
    return _move(second, first or where[-1].directory, crun.pointer(crun.DELEGATE)) if second else []


def _move(path: str, above: str, at: str) -> list[Op]:
    """Return the ops that move the process into the cgroup at PATH, and give that the controllers of the one ABOVE."""
    move = Op("move_to_cgroup", (path, CHILD), at, doing=MAKING)
    return [move, Op("hand_down", (above,), at, doing=MAKING)]
