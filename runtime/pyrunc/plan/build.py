"""The whole sequence: how a container is made, and how a process is added to one."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci import crun
from pyrunc.plan import (
    affinity,
    cgroups,
    delegate,
    devices,
    hooks,
    labels,
    masks,
    mounts,
    namespaces,
    ondemand,
    paths,
    process,
    rootfs,
    seccomp,
    sources,
    sysctl,
    terminal,
)
from pyrunc.plan.op import CHILD, PROC, Op, Plan, barrier, barrier_if

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroup.paths import Place
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.linux import Linux
    from pyrunc.oci.process import Process
    from pyrunc.plan.request import Request


def build(config: Config, facts: HostFacts, request: Request) -> Plan:
    """Return the plan of a new container: host ops and child ops, with the same barriers.

    Raises ConfigError and UnsupportedError for what cannot be planned.
    """
    user = config.process
    if user is None:
        raise ConfigError("process is missing", pointer="/process", hint="say what is to run")
    config = ondemand.own_mappings(paths.cleaned(config, request.rootfs))
    namespaces.check_user(config.linux, facts)
    facts = process.grantable(facts, (namespace.type for namespace in config.linux.namespaces))
    crun.check(config.annotations)
    request = request.replace(keep_groups=crun.truth(config.annotations, crun.KEEP_GROUPS))
    filters = config.linux.seccomp
    label, kind = config.linux.mountLabel, config.annotations.get(crun.MOUNT_CONTEXT, "context")
    places = cgroups.places(config, facts, request)
    where = () if request.systemd else places  # what systemd makes is not there yet when the process is forked
    at_cgroup_barrier = cgroups.at_barrier(config, facts, request, places)
    into_cgroup = [Op("barrier", ("cgroup",))] if at_cgroup_barrier else []
    below = ondemand.subgroup(config, facts, request)
    late = cgroups.limits_runtime(config.linux.resources)
    split = mounts.first_after_cgroup(config)
    opened = sources.by_helper(config, facts, request)
    strict = crun.truth(config.annotations, crun.UNKNOWN_CALLS)
    early = seccomp.notifies(filters) and bool(request.wait or config.hooks.startContainer)
    host = [
        *([] if request.systemd else cgroups.make(config, facts, where)),
        *delegate.host(config, facts, where),
        *ondemand.make_resctrl(config.linux, facts, request.id),
        Op("open_directory", ("/proc",), into=PROC),
        *seccomp.host(filters, request, wait=request.wait, strict=strict),
        *hooks.outputs(config),
        *rootfs.host(config, request),
        *labels.mounts(label, facts, sources.host(config, facts, request), kind),
        *cgroups.open_birthplace(where, late=late),
        *namespaces.host(
            config,
            cgroups.birthplace(where, late=late),
            sysctl.kinds(config) | ondemand.network_kinds(config.linux) | (set() if request.own_mounts else {"mount"}),
        ),
        *process.raise_limits(user, "/process"),
        *namespaces.mappings(config.linux, facts),
        *([] if request.systemd else cgroups.make_v1(config, facts, where)),
        *cgroups.open_doors(where),
        *(op for before, ops in opened if before < 0 for op in ops),
        *ondemand.move_devices(config.linux),
        *(op for before, ops in opened if 0 <= before < split for op in ops),
        *barrier_if("cgroup", at_cgroup_barrier),
        *(op for before, ops in opened if before >= split for op in ops),
        *terminal.host(user, "/process"),
        *hooks.host(config.hooks, request.bundle),
        *barrier(
            "ready",
            *ondemand.join_resctrl(ondemand.resctrl_groups(config, facts, request.id)[0]),
            *process.host(user, facts, "/process"),
            *ondemand.scheduling(user, facts, "/process"),
            *(below.leave(config, places) if below else ()),
            *(() if early and request.wait else (Op("commit"),)),
        ),
        *(seccomp.deliver(process.limits(user, "/process", CHILD)) if early else ()),
        *((Op("commit"),) if early and request.wait else ()),  # it is `created` once its agent has heard
    ]
    child = [
        Op("umask", (0,)),
        *process.child_oom_score(user, facts, "/process"),
        *namespaces.child(config, facts),
        *rootfs.prepare(config, request),
        *sources.child(config, facts, request),
        *labels.mounts(label, facts, masks.prepare(config), kind),
        *namespaces.configure(config),
        *ondemand.await_devices(config.linux),
        *_mounts_and_cgroup(config, facts, request, [*into_cgroup, *cgroups.enter(where)]),
        *devices.child(config, facts),
        *terminal.child(user, "/process", console=True),
        *hooks.create_container(config),
        *sysctl.child(config, facts),
        *process.make_cwd(user, "/process"),
        *mounts.read_only(config, facts),
        *masks.child(config),
        *rootfs.enter(config, facts, request),
        *rootfs.finish(config),
        *affinity.child(),
        *ondemand.personality(config.linux),
        *ondemand.memory_policy(config.linux),
        *process.child(
            user,
            facts,
            request,
            filters,
            at="/process",
            named=namespaces.has_own_proc(config.linux),
            filtered=early,
        ),
        *namespaces.open_to_exec(config, facts, request),
        Op("barrier", ("ready",)),
        *(_start_filtered(config, request) if early else _start(config, user, facts, request)),
    ]
    return Plan(host=tuple(host), child=tuple(child))


def _start(config: Config, user: Process, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield what the ready process does: wait for `start`, run hooks, and become the program, under its filter only then."""
    if request.wait:
        yield Op("wait_for_start")
    yield from hooks.start_container(config, filtered=False)
    yield Op("announce_exec")
    yield from process.execute(user, facts, config.linux.seccomp, at="/process")


def _start_filtered(config: Config, request: Request) -> Iterator[Op]:
    """Yield the same for a filter that hooks share, and that has an agent to be told of it at `create`."""
    yield from seccomp.apply(request)
    yield from hooks.start_container(config, filtered=True)
    yield from process.execute_filtered(config.linux.seccomp, at="/process")


def build_exec(
    added: Process,
    joins: tuple[str, ...],
    where: tuple[Place, ...],
    linux: Linux,
    facts: HostFacts,
    request: Request,
    groups: tuple[str, ...] = (),
    unit: str = "",
) -> Plan:
    """Return the plan of one more process, ADDED, in a running container.

    JOINS names the types of the namespaces to enter, which are those of the
    container's init; WHERE are the cgroups, or UNIT the scope of the user's
    own systemd; GROUPS are those of resctrl; LINUX is of its config.  Pointers are into the process document, whose root is "",
    and that config.
    """
    filters = linux.seccomp
    facts = process.grantable(facts, joins)
    # An affinity for the time before the cgroup needs such a time.
    late = bool(unit) or cgroups.limits_runtime(linux.resources) or affinity.has_initial(added.execCPUAffinity)
    traced = ondemand.traced(joins, facts, request)
    birthplace = cgroups.birthplace(where, late=late)
    host = [
        *seccomp.host(filters, request),
        Op("open_directory", ("/proc",), into=PROC),
        *cgroups.open_doors(where),
        *cgroups.open_birthplace(where, late=late),
        *(traced.host(birthplace) if traced else namespaces.host_exec(joins, facts, birthplace)),
        *process.raise_limits(added, ""),
        *terminal.host(added, ""),
        *barrier(
            "ready",
            *(cgroups.attach(unit) if unit else cgroups.move(where, late=late)),
            *ondemand.join_resctrl(groups),
            *process.host(added, facts, ""),
            *ondemand.scheduling(added, facts, ""),
            Op("commit"),
        ),
    ]
    into_cgroup = list(cgroups.enter(where))
    enter = [
        Op("umask", (0,)),
        *process.child_oom_score(added, facts, ""),
        *affinity.child_exec(added.execCPUAffinity, ""),
        *(traced.child(joins, request, into_cgroup) if traced else [*into_cgroup, *namespaces.child_exec(joins, facts)]),
    ]
    become = [
        *terminal.child(added, "", console=False),
        *ondemand.personality(linux),
        *process.child(added, facts, request, filters, at="", named=True),
        Op("barrier", ("ready",)),
        # In the cgroup by now, from whose processors and nodes these choose.
        *affinity.joined_exec(added.execCPUAffinity, ""),
        *ondemand.memory_policy(linux),
        Op("announce_exec"),
        *process.execute(added, facts, filters, at=""),
    ]
    return Plan(host=tuple(host), child=(*enter, *(traced.by_own_proc(become) if traced else become)))


def _mounts_and_cgroup(config: Config, facts: HostFacts, request: Request, into_cgroup: list[Op]) -> list[Op]:
    """Return the mounts, and INTO_CGROUP, the way into the cgroups, as late among them as it may be.

    What the interpreter touches before it joins the cgroup is not charged to
    the container; a cgroup mount and namespace must come after, and what is
    copied into a tmpfs is the container's to pay for.
    """
    kind = config.annotations.get(crun.MOUNT_CONTEXT, "context")
    ops = list(labels.mounts(config.linux.mountLabel, facts, mounts.child(config, facts, request), kind))
    first = f"/mounts/{mounts.first_after_cgroup(config)}/"
    place = next((i for i, op in enumerate(ops) if (op.at + "/").startswith(first)), len(ops))
    return [*ops[:place], *into_cgroup, *namespaces.cgroup(config), *ops[place:]]
