"""/linux/cgroupsPath and /linux/resources: ops by which cgroups are made and limited, and processes join them."""

from __future__ import annotations

from pyrunc.cgroup import devices, knobs, paths, units
from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.paths import Place
from pyrunc.errors import UnsupportedError
from pyrunc.plan import delegate, ondemand
from pyrunc.plan.namespaces import is_new
from pyrunc.plan.op import CHILD, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.resources import Resources
    from pyrunc.plan.op import Argument
    from pyrunc.plan.request import Request

AT = "/linux/cgroupsPath"
ZERO_PIDS_SINCE = 3  # the minor version from which on 0 processes are a limit; before that it was written for none
BIRTHPLACE = Slot("birthplace")
MAKING = "unable to apply cgroup configuration"
JOINING = "unable to apply cgroup configuration: error adding pid {child} to cgroups"


def places(config: Config, facts: HostFacts, request: Request) -> tuple[Place, ...]:
    """Return where the container's cgroups are."""
    if not request.cgroups:
        return ()
    if request.systemd:
        return units.places(facts.cgroups, unit(config, facts, request), facts.manager)
    where = paths.places(facts.cgroups, config.linux.cgroupsPath, request.id)
    if facts.rootless and not facts.cgroups.unified:
        # Version 2 beside version 1 has no limits, and nobody but root may move a process into it from where it begins.
        where = tuple(place for place in where if not place.is_v2)
    return paths.writable(facts.cgroups, where) if _tolerant(config, facts, request) else where


def joined(config: Config, facts: HostFacts, request: Request) -> tuple[Place, ...]:
    """Return the cgroups that the container's process will sit in: its own, and ours where it cannot have one."""
    where = places(config, facts, request)
    if request.cgroups and not _tolerant(config, facts, request):
        return where
    made = {place.mount: place for place in where}
    every = paths.places(facts.cgroups, "", request.id)
    return tuple(made.get(p.mount) or p.replace(directory=paths.own(facts.cgroups, p.mount)) for p in every)


def rootless(facts: HostFacts, request: Request) -> bool:
    """Return whether this is to be done as by an ordinary user: so it was asked for, or is one."""
    return facts.rootless if request.rootless is None else request.rootless


def _tolerant(config: Config, facts: HostFacts, request: Request) -> bool:
    """Return whether the container may do without cgroups that we may not make: nobody names them, and we are not root.

    As runc: a limit in such a cgroup is an error all the same (`_limits`).
    """
    return rootless(facts, request) and not config.linux.cgroupsPath and not request.systemd


def unit(config: Config, facts: HostFacts, request: Request) -> units.Unit:
    """Return the scope of the container, where systemd makes the cgroups; an ordinary user has a systemd of its own."""
    user = rootless(facts, request)
    if user and not facts.cgroups.unified:
        hint = "leave --systemd-cgroup out"
        raise UnsupportedError("cannot use rootless systemd cgroups manager on cgroup v1", pointer=AT, hint=hint)
    return units.unit(config.linux.cgroupsPath, request.id, user=user)


def make(config: Config, facts: HostFacts, where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the ops that make, before the fork, what of WHERE the process may be born in: the cgroup of version 2.

    Not for a scope of systemd's, which begins with its process: that is made at barrier cgroup (`at_barrier`).
    """
    if unified := tuple(place for place in where if place.is_v2):
        yield Op("make_cgroup", (unified,), AT, doing=MAKING)
    if facts.cgroups.unified:
        yield from _limits(config, facts, where)


def make_v1(config: Config, facts: HostFacts, where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the ops that make the cgroups of version 1 at WHERE and set the limits, before any process is in them.

    There are ten or more of them, so it is done while the new process makes its mounts.
    """
    if facts.cgroups.unified:
        return
    if made := tuple(place for place in where if not place.is_v2):
        yield Op("make_cgroup", (made,), AT, doing=MAKING)
    yield from _limits(config, facts, where)


def at_barrier(config: Config, facts: HostFacts, request: Request, where: tuple[Place, ...]) -> list[Op]:
    """Return the host's side of barrier cgroup: let the process into WHERE, or move it where it could not get by itself."""
    if not request.systemd:
        doors = _doors(where)
        return [Op("give", doors)] if doors else move(where, late=limits_runtime(config.linux.resources))
    scope = unit(config, facts, request)
    below = ondemand.subgroup(config, facts, request)
    return [
        Op("start_scope", (scope, CHILD, _properties(config, facts), where), AT, doing=MAKING),
        Op("fill_cgroup", (where,), AT, doing=MAKING),
        *_limits(config, facts, where),
        *(() if below else delegate.host(config, facts, where)),
        *(Op("move_to_cgroup", (place.directory, CHILD), AT, doing=JOINING) for place in where),
        *((*below.enter(config, where), *delegate.host(config, facts, below.place(config, where))) if below else ()),
    ]


def adopt(config: Config, facts: HostFacts, request: Request) -> list[Op]:
    """Return the ops that make the cgroups for a process that is there already, the CHILD, and move it into all of them."""
    where = places(config, facts, request)
    if request.systemd:
        return at_barrier(config, facts, request, where)
    moves = [Op("move_to_cgroup", (place.directory, CHILD), AT, doing=JOINING) for place in where]
    made = [*make(config, facts, where), *make_v1(config, facts, where)]
    return [*made, *delegate.host(config, facts, where), *moves]


def _limits(config: Config, facts: HostFacts, where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the ops that set the limits."""
    unified = facts.cgroups.unified
    rules = _rules(config)
    changes: list[Write] = []
    if facts.rootless or not where:
        pass  # only the machine's root may set them; a user namespace makes no device node, and opens what its user may
    elif not unified:
        if "devices" in facts.cgroups.v1:
            changes += [Write("devices", file, line, at) for file, line, at in devices.v1_writes(rules)]
    elif facts.cgroups.v2 is not None:
        args = (where[-1].directory, _program(rules))
        yield Op("attach_device_program", args, devices.AT, doing="error setting device rules")
    changes += _asked(config, unified=unified)
    if changes:
        _refuse_without_cgroup(changes, facts, where)
        yield Op("limit_cgroup", (where, tuple(changes)), knobs.ROOT)


def _asked(config: Config, *, unified: bool) -> list[Write]:
    """Return what the resources of CONFIG ask for; 0 processes are no limit in a configuration older than 1.3.0."""
    resources = config.linux.resources
    if resources is None:
        return []
    if resources.pids is not None and resources.pids.limit == 0 and config.minor < ZERO_PIDS_SINCE:
        resources = resources.replace(pids=None)
    return knobs.writes(resources, unified=unified)


def _refuse_without_cgroup(changes: list[Write], facts: HostFacts, where: tuple[Place, ...]) -> None:
    """Refuse CHANGES in cgroups that exist on this machine, but not among WHERE, as we may not make them."""
    made = {controller for place in where for controller in place.controllers}
    for change in changes:
        if not where and not facts.rootless:
            text = f"cannot set {change.controller or change.file} limit: the container has no cgroups"
        elif facts.cgroups.unified and not where:
            text = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
        elif change.controller in facts.cgroups.v1 and change.controller not in made:
            text = f"cannot set {change.controller} limit: container could not join or create cgroup"
        else:
            continue
        hint = "remove the limit, or name a cgroup in cgroupsPath that this user may write"
        raise UnsupportedError(text, pointer=change.pointer, hint=hint)


def _rules(config: Config) -> tuple[devices.Rule, ...]:
    """Return the device rules."""
    resources = config.linux.resources
    rules = devices.rules(resources.devices if resources is not None else ())
    return (*rules, *devices.for_nodes(rules, config.linux.devices))


def warnings(config: Config, facts: HostFacts, where: tuple[Place, ...], *, systemd: bool) -> list[str]:
    """Return what of the limits has no effect, and what cannot be ended without cgroups, at WHERE; SYSTEMD makes them, or we."""
    found = [*knobs.warnings(config.linux.resources), *ondemand.subgroup_warnings(config, facts, systemd=systemd)]
    if not where and not is_new(config.linux, "pid"):
        whose = "a rootless container" if facts.rootless else "a container"
        text = whose + " with no cgroup and no private pid namespace: its processes cannot all be killed"
        found.append(f"{text}. Such configuration is strongly discouraged (at /linux/namespaces)")
    return found


def _properties(config: Config, facts: HostFacts) -> tuple[Argument, ...]:
    """Return the limits as properties of a unit, then those that annotations name; only systemd needs these modules."""
    from pyrunc.cgroup import annotated, properties

    unified = facts.cgroups.unified
    devices_too = () if facts.rootless else properties.of_devices(_rules(config))
    found = (*devices_too, *properties.of_writes(_asked(config, unified=unified), unified=unified))
    return (*found, *annotated.properties(config.annotations))


def _program(rules: tuple[devices.Rule, ...]) -> bytes:
    """Return the eBPF program for RULES; only version 2 needs that module."""
    from pyrunc.cgroup import bpf

    return bpf.program(rules)


def open_doors(where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the host's ops that open what a process joins the cgroups of version 1 at WHERE by.

    A write of "0" to `tasks` moves just the writer, for which the kernel takes
    no lock; a write to cgroup.procs waits for an RCU grace period, 10 ms and more.
    """
    for place, door in zip(where, _doors(where), strict=False):  # version 2, which has none, is the last
        yield Op("open_tasks", (place.directory,), AT, door, JOINING)


def open_birthplace(where: tuple[Place, ...], *, late: bool) -> Iterator[Op]:
    """Yield the host's op that opens what a process is born in (clone3(2), CLONE_INTO_CGROUP, since Linux 5.7).

    Version 2 has no `tasks` to write to.  Not if the process is to come LATE.
    """
    if _born_in_v2(where, late=late):
        yield Op("open_directory", (where[-1].directory,), AT, BIRTHPLACE, JOINING)


def birthplace(where: tuple[Place, ...], *, late: bool) -> Slot | None:
    """Return the slot of the version 2 cgroup to fork into, None where the process is moved there later."""
    return BIRTHPLACE if _born_in_v2(where, late=late) else None


def enter(where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the op by which the new process joins the cgroups of version 1 itself."""
    doors = _doors(where)
    if doors:
        yield Op("join_cgroup", doors, AT, doing=JOINING)


def _doors(where: tuple[Place, ...]) -> tuple[Slot, ...]:
    """Return the slots of what the process joins the cgroups of version 1 by."""
    return tuple(Slot(f"tasks{i}") for i, place in enumerate(where) if not place.is_v2)


def move(where: tuple[Place, ...], *, late: bool) -> list[Op]:
    """Return the host's op that moves the process into version 2, as late as may be, where it is not born there."""
    if not where or _born_in_v2(where, late=late) or not where[-1].is_v2:
        return []
    return [Op("move_to_cgroup", (where[-1].directory, CHILD), AT, doing=JOINING)]


def attach(unit: str) -> list[Op]:
    """Return the host's op that has the user's systemd move the process into its UNIT.

    Who is not in that systemd's part of the tree may not move a process there himself.
    """
    return [Op("attach_to_unit", (unit, CHILD), AT, doing=JOINING)]


def _born_in_v2(where: tuple[Place, ...], *, late: bool) -> bool:
    """Return whether the process starts its life in its cgroup of version 2.

    Then there is no moment in which it, or what it starts, is outside, and no
    grace period to wait for.  But what it uses as our fork counts as the
    container's: the pages that it copies stay charged until the execve, and no
    later move takes a charge along.  So not where limits count such things
    (`limits_runtime`): a container of 2 MiB could not start, and an exec into a full one
    would kill somebody in it, or be refused for lack of a pid.  There it comes
    LATE: it is moved at the last barrier before it is the container's.  On a
    hybrid host version 2 counts nothing.
    """
    if not where or not where[-1].is_v2:
        return False
    return len(where) > 1 or not late


def limits_runtime(limits: Resources | None) -> bool:
    """Return whether LIMITS are about what the runtime itself uses before the program runs: memory, time, processes.

    A file of `unified` may be about anything.
    """
    if limits is None:
        return False
    memory, cpu, pids = limits.memory, limits.cpu, limits.pids
    if memory is not None and ((memory.limit or 0) > 0 or (memory.swap or 0) > 0):
        return True
    if cpu is not None and (cpu.quota or 0) > 0:
        return True
    return bool(limits.unified) or (pids is not None and pids.limit is not None and pids.limit >= 0)
