"""/linux/cgroupsPath and /linux/resources: the host's ops that make and limit the container's cgroups."""

from __future__ import annotations

from pyrunc.cgroup import devices, knobs, paths, units
from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.paths import Place
from pyrunc.plan import delegate
from pyrunc.plan.op import CHILD, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Argument
    from pyrunc.plan.request import Request

AT = "/linux/cgroupsPath"
ZERO_PIDS_SINCE = 3  # the minor version from which on 0 processes are a limit; before that it was written for none
BIRTHPLACE = Slot("birthplace")


def places(config: Config, facts: HostFacts, request: Request) -> tuple[Place, ...]:
    """Return where the container's cgroups are."""
    if request.systemd:
        return units.places(facts.cgroups, unit(config, request))
    return paths.places(facts.cgroups, config.linux.cgroupsPath, request.id)


def unit(config: Config, request: Request) -> units.Unit:
    """Return the scope of the container, where systemd makes the cgroups."""
    return units.unit(config.linux.cgroupsPath, request.id)


def make(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that make the cgroups and set the limits, before any process is in them.

    A scope of systemd's begins with its process, so then it is made at barrier cgroup (`meet`).
    """
    if not request.systemd:
        where = places(config, facts, request)
        yield Op("make_cgroup", (where,), AT, doing="error creating cgroup")
        yield from _limits(config, facts, where)


def meet(config: Config, facts: HostFacts, request: Request) -> list[Op]:
    """Return the host's side of barrier cgroup: move the process where it could not get by itself."""
    where = places(config, facts, request)
    if not request.systemd:
        return move(where)
    scope = unit(config, request)
    doing = "error creating cgroup"
    return [
        Op("start_scope", (scope, CHILD, _properties(config, facts)), AT, doing=doing),
        Op("fill_cgroup", (where,), AT, doing=doing),
        *_limits(config, facts, where),
        *delegate.host(config, facts, where),
        *(Op("move_to_cgroup", (place.directory, CHILD), AT, doing="error joining cgroup") for place in where),
    ]


def adopt(config: Config, facts: HostFacts, request: Request) -> list[Op]:
    """Return the ops that make the cgroups for a process that is there already, the CHILD, and move it into all of them."""
    if request.systemd:
        return meet(config, facts, request)
    where = places(config, facts, request)
    moves = [Op("move_to_cgroup", (place.directory, CHILD), AT, doing="error joining cgroup") for place in where]
    return [*make(config, facts, request), *delegate.host(config, facts, where), *moves]


def _limits(config: Config, facts: HostFacts, where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the ops that set the limits."""
    unified = facts.cgroups.unified
    rules = _rules(config)
    changes: list[Write] = []
    if not unified:
        if "devices" in facts.cgroups.v1:
            changes += [Write("devices", file, line, at) for file, line, at in devices.v1_writes(rules)]
    elif facts.cgroups.v2 is not None:
        args = (where[-1].directory, _program(rules))
        yield Op("attach_device_program", args, devices.AT, doing="error setting device rules")
    resources = config.linux.resources
    if resources is not None:
        changes += knobs.writes(resources, unified=unified)
        if resources.pids is not None and resources.pids.limit == 0 and config.minor >= ZERO_PIDS_SINCE:
            changes.append(Write("pids", "pids.max", "0", f"{knobs.ROOT}/pids/limit"))
    if changes:
        yield Op("limit_cgroup", (where, tuple(changes)), knobs.ROOT)


def _rules(config: Config) -> tuple[devices.Rule, ...]:
    """Return the device rules."""
    resources = config.linux.resources
    rules = devices.rules(resources.devices if resources is not None else ())
    return (*rules, *devices.for_nodes(rules, config.linux.devices))


def _properties(config: Config, facts: HostFacts) -> tuple[Argument, ...]:
    """Return the limits as properties of a unit, then those that annotations name; only systemd needs these modules."""
    from pyrunc.cgroup import annotated, properties

    unified = facts.cgroups.unified
    changes = knobs.writes(config.linux.resources, unified=unified) if config.linux.resources is not None else []
    found = (*properties.of_devices(_rules(config)), *properties.of_writes(changes, unified=unified))
    return (*found, *annotated.properties(config.annotations))


def _program(rules: tuple[devices.Rule, ...]) -> bytes:
    """Return the eBPF program for RULES; only version 2 needs that module."""
    from pyrunc.cgroup import bpf

    return bpf.program(rules)


def open_doors(where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the ops that open, before the fork, what a process joins the cgroups at WHERE by.

    A write of "0" to `tasks` moves just the writer, for which the kernel takes
    no lock; a write to cgroup.procs waits for an RCU grace period, 10 ms and
    more.  Version 2 has no such file, but a process can be born there.
    """
    doing = "error joining cgroup"
    for index, place in enumerate(where):
        if place.controllers != ("",):
            yield Op("open_tasks", (place.directory,), AT, Slot(f"tasks{index}"), doing)
    if _born_in_v2(where):
        yield Op("open_directory", (where[-1].directory,), AT, BIRTHPLACE, doing)


def birthplace(where: tuple[Place, ...]) -> Slot | None:
    """Return the slot of the version 2 cgroup to fork into, on a host where that has no limits."""
    return BIRTHPLACE if _born_in_v2(where) else None


def enter(where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the op by which the new process joins the cgroups of version 1 itself."""
    doors = tuple(Slot(f"tasks{i}") for i, place in enumerate(where) if place.controllers != ("",))
    if doors:
        yield Op("join_cgroup", doors, AT, doing="error joining cgroup")


def move(where: tuple[Place, ...]) -> list[Op]:
    """Return the host's op that moves the process into version 2, as late as may be.

    Where version 2 has the limits, what the process touches from then on is charged.
    """
    if not where or _born_in_v2(where) or where[-1].controllers != ("",):
        return []
    return [Op("move_to_cgroup", (where[-1].directory, CHILD), AT, doing="error joining cgroup")]


def _born_in_v2(where: tuple[Place, ...]) -> bool:
    """Return whether the process starts its life in version 2: on hybrid hosts, where that costs nothing."""
    return len(where) > 1 and where[-1].controllers == ("",)
