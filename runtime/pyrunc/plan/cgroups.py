"""/linux/cgroupsPath and /linux/resources: the host's ops that make and limit the container's cgroups."""

from __future__ import annotations

from pyrunc.cgroup import bpf, devices, knobs, paths
from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.paths import Place
from pyrunc.plan.op import CHILD, Op
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.request import Request

AT = "/linux/cgroupsPath"


class Membership(Record):
    """The cgroups that one more process of a container joins."""

    places: tuple[Place, ...]


def places(config: Config, facts: HostFacts, request: Request) -> tuple[Place, ...]:
    """Return where the container's cgroups are."""
    return paths.places(facts.cgroups, config.linux.cgroupsPath, request.id)


def make(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that make the cgroups and set the limits, before any process is in them."""
    where = places(config, facts, request)
    yield Op("make_cgroup", (where,), AT, doing="error creating cgroup")
    resources = config.linux.resources
    unified = facts.cgroups.unified
    changes: list[Write] = []
    rules = devices.rules(resources.devices if resources is not None else ())
    if not unified:
        if "devices" in facts.cgroups.v1:
            lines = devices.v1_writes(rules)
            changes += [Write("devices", file, line, at) for file, line, at in lines]
    elif facts.cgroups.v2 is not None:
        args = (where[-1].directory, bpf.program(rules))
        yield Op("attach_device_program", args, devices.AT, doing="error setting device rules")
    if resources is not None:
        changes += knobs.writes(resources, unified=unified)
    if changes:
        yield Op("limit_cgroup", (where, tuple(changes)), knobs.ROOT)


def join(config: Config, facts: HostFacts, request: Request) -> list[Op]:
    """Return the op that moves the new process in."""
    where = places(config, facts, request)
    return [Op("join_cgroup", (where, CHILD), AT, doing="error joining cgroup")]


def join_existing(membership: Membership) -> list[Op]:
    """Return the op that moves an added process in."""
    return [Op("join_cgroup", (membership.places, CHILD), doing="error joining cgroup")] if membership.places else []
