"""Loads the planner of a rare subject (resctrl, netDevices, memoryPolicy, scheduling, idmap, subgroup and others) if need be.

A module costs every `create` its time, and the waiting init its memory.  So the
sequences in build.py and mounts.py come here, and from here the subject's own
file is imported, where there is something to plan.
"""

from __future__ import annotations

from pyrunc.oci.crun import DELEGATE, SUBGROUP, pointer
from pyrunc.plan.mountopts import idmapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.linux import Linux
    from pyrunc.oci.mounts import Mount
    from pyrunc.oci.process import Process
    from pyrunc.plan.mountopts import Options
    from pyrunc.plan.op import Op
    from pyrunc.plan.request import Request


def resctrl_groups(config: Config, facts: HostFacts, container: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the groups of resctrl that CONTAINER joins, and those that go with it (plan/rdt.py)."""
    if config.linux.intelRdt is None:
        return (), ()
    from pyrunc.plan import rdt

    groups = rdt.groups(config.linux.intelRdt, facts, container)
    return groups.joins, groups.owns


def make_resctrl(linux: Linux, facts: HostFacts, container: str) -> Iterable[Op]:
    """Return the ops that make the groups of resctrl (plan/rdt.py)."""
    if linux.intelRdt is None:
        return ()
    from pyrunc.plan import rdt

    return rdt.make(linux.intelRdt, facts, container)


def join_resctrl(groups: tuple[str, ...]) -> Iterable[Op]:
    """Return the ops that move the process into GROUPS of resctrl (plan/rdt.py)."""
    if not groups:
        return ()
    from pyrunc.plan import rdt

    return rdt.join(groups)


def subgroup(config: Config, facts: HostFacts, request: Request) -> ModuleType | None:
    """Return plan/subgroup.py, if annotations ask for cgroups below a scope that is to be made."""
    asked = config.annotations.get(SUBGROUP) or config.annotations.get(DELEGATE)
    if not asked or not request.systemd or not facts.cgroups.unified:
        return None
    from pyrunc.plan import subgroup

    return subgroup


def subgroup_warnings(config: Config, facts: HostFacts, *, systemd: bool) -> list[str]:
    """Return what of that means nothing here: without SYSTEMD there is no scope, and version 1 gives no cgroup away."""
    if systemd and facts.cgroups.unified:
        return []
    why = "it is for systemd's scopes: use --systemd-cgroup" if not systemd else "it is for cgroup version 2"
    found = [name for name in (SUBGROUP, DELEGATE) if config.annotations.get(name)]
    return [f"{name} has no effect (at {pointer(name)}; {why})" for name in found]


def traced(joins: tuple[str, ...], facts: HostFacts, request: Request) -> ModuleType | None:
    """Return plan/traced.py, if who enters the namespaces of types JOINS may be traced there; a user namespace keeps that off."""
    if not request.traced or facts.rootless or "pid" not in joins or "user" in joins:
        return None
    from pyrunc.plan import traced

    return traced


def network_kinds(linux: Linux) -> frozenset[str]:
    """Return the types of namespaces that moving network devices must not find the host's own."""
    return frozenset(("network",)) if linux.netDevices else frozenset()


def move_devices(linux: Linux) -> Iterable[Op]:
    """Return the host's side of barrier network, if there are devices to move (plan/netdevices.py)."""
    if not linux.netDevices:
        return ()
    from pyrunc.plan import netdevices

    return netdevices.host(linux)


def await_devices(linux: Linux) -> Iterable[Op]:
    """Return the child's side of barrier network (plan/netdevices.py)."""
    if not linux.netDevices:
        return ()
    from pyrunc.plan import netdevices

    return netdevices.child()


def personality(linux: Linux) -> Iterable[Op]:
    """Return the ops of /linux/personality (plan/personality.py)."""
    if linux.personality is None:
        return ()
    from pyrunc.plan import personality

    return personality.child(linux.personality)


def memory_policy(linux: Linux) -> Iterable[Op]:
    """Return the ops of /linux/memoryPolicy (plan/memorypolicy.py)."""
    if linux.memoryPolicy is None:
        return ()
    from pyrunc.plan import memorypolicy

    return memorypolicy.child(linux.memoryPolicy)


def scheduling(process: Process, facts: HostFacts, at: str) -> Iterable[Op]:
    """Return the host's ops for scheduler and I/O priority of PROCESS (plan/scheduling.py)."""
    if process.scheduler is None and process.ioPriority is None:
        return ()
    from pyrunc.plan import scheduling

    return scheduling.host(process, facts, at)


def own_mappings(config: Config) -> Config:
    """Return CONFIG with the mappings that options of its mounts have (plan/idmapoption.py)."""
    if not any("idmap=" in option for mount in config.mounts for option in mount.options):
        return config
    from pyrunc.plan import idmapoption

    return idmapoption.read(config)


def check_idmap(config: Config, facts: HostFacts, mount: Mount, options: Options, at: str) -> None:
    """Refuse an idmapped MOUNT that cannot be (plan/idmap.py)."""
    if idmapped(mount):
        from pyrunc.plan import idmap

        idmap.check(config, facts, mount, options, at)


def idmap_namespaces(config: Config) -> Iterable[Op]:
    """Return the host's ops that open the user namespaces of idmapped mounts (plan/idmap.py)."""
    if not any(map(idmapped, config.mounts)):
        return ()
    from pyrunc.plan import idmap

    return idmap.namespaces(config)


def idmap(config: Config, mount: Mount, options: Options, index: int, doing: str) -> Iterable[Op]:
    """Return the op that gives the detached MOUNT, number INDEX, its mapping (plan/idmap.py)."""
    if not idmapped(mount):
        return ()
    from pyrunc.plan import idmap

    return idmap.apply(config, mount, options, index, doing)
