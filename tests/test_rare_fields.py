"""Plans of rarely used fields: what they add, where, and that both columns still meet."""

from __future__ import annotations

import json

import pytest

from pyrunc.errors import ConfigError
from pyrunc.host.cgroups import Cgroups
from pyrunc.host.facts import HostFacts
from pyrunc.oci import parsing
from pyrunc.oci.default import default_config
from pyrunc.plan import build, text
from pyrunc.plan.op import barriers
from pyrunc.plan.request import Request

FACTS = HostFacts(kernel=(6, 1), last_cap=40, apparmor=True, cgroups=Cgroups(), resctrl="/rdt", selinux=True)
REQUEST = Request(id="box", bundle="/b", rootfs="/b/rootfs", wait=True)
HOOK = {"path": "/bin/hook"}
PROCESS = {
    "scheduler": {"policy": "SCHED_RR", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    "ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1},
    "execCPUAffinity": {"initial": "0", "final": "1-2"},
    "selinuxLabel": "label",
    "apparmorProfile": "profile",
}
LINUX = {
    "personality": {"domain": "LINUX32"},
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
    "intelRdt": {"closID": "gold", "enableMonitoring": True},
    "netDevices": {"eth1": {"name": "net0"}, "eth2": {}},
    "mountLabel": "context",
    "seccomp": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/agent",
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}],
    },
}


def everything(*, users=False, hooks=False):
    made = default_config(rootless_uid=0) if users else default_config()
    made["process"].update(PROCESS)
    made["linux"].update(LINUX)
    made["linux"]["namespaces"].append({"type": "network"} if users else {"type": "cgroup"})
    if hooks:
        made["hooks"] = {"createRuntime": [HOOK], "startContainer": [HOOK]}
    return parsing.parse(json.dumps(made).encode())


@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("hooks", [False, True])
def test_both_columns_meet(users, hooks):
    plan = build.build(everything(users=users, hooks=hooks), FACTS, REQUEST)
    assert barriers(plan.host) == barriers(plan.child)
    assert "network" in barriers(plan.host)
    assert text.render(plan)


def lines(ops, *words):
    return [line for line in map(text.line, ops) if any(word in line for word in words)]


def test_what_is_planned():
    plan = build.build(everything(), FACTS, REQUEST)
    assert lines(plan.host, "sched_", "ioprio", "resctrl", "move_device", "share_listener") == [
        'use_resctrl_class("/rdt/gold", [])    # /linux/intelRdt/closID',
        'make_resctrl_group("/rdt/gold/mon_groups/box")    # /linux/intelRdt',
        'share_listener(listener, "/agent", "")    # /linux/seccomp/listenerPath',
        'move_device(child, "eth1", "net0")    # /linux/netDevices/eth1',
        'move_device(child, "eth2", "")    # /linux/netDevices/eth2',
        'join_resctrl(["/rdt/gold", "/rdt/gold/mon_groups/box"], child)    # /linux/intelRdt',
        "sched_setattr(child, SCHED_RR, SCHED_FLAG_RESET_ON_FORK, 0, 3, 0, 0, 0)    # /process/scheduler",
        "ioprio_set(IOPRIO_WHO_PROCESS, child, 0x2001)    # /process/ioPriority",
    ]
    assert lines(plan.child, "sched_set", "mempolicy", "personality(") == [
        "sched_setaffinity(0, [0-8191])",
        "personality(8)    # /linux/personality/domain",
        "set_mempolicy(0x8002, [0-1])    # /linux/memoryPolicy",
    ]


def test_what_is_planned_for_exec():
    made = everything()
    plan = build.build_exec(made.process, ("pid", "mount"), (), made.linux, FACTS, REQUEST, ("/rdt/gold",))
    assert barriers(plan.host) == barriers(plan.child)
    assert lines(plan.host, "sched_", "ioprio", "resctrl", "move_device", "share_listener") == [
        'share_listener(listener, "/agent", "")    # /linux/seccomp/listenerPath',
        'join_resctrl(["/rdt/gold"], child)    # /linux/intelRdt',
        "sched_setattr(child, SCHED_RR, SCHED_FLAG_RESET_ON_FORK, 0, 3, 0, 0, 0)    # /scheduler",
        "ioprio_set(IOPRIO_WHO_PROCESS, child, 0x2001)    # /ioPriority",
    ]
    assert lines(plan.child, "sched_", "mempolicy", "personality(", "-- at ready", "setns") == [
        "sched_setaffinity(0, [0])    # /execCPUAffinity/initial",
        "setns(init, CLONE_NEWPID|CLONE_NEWNS)",
        "personality(8)    # /linux/personality/domain",
        "-- at ready",
        "sched_setaffinity(0, [1-2])    # /execCPUAffinity/final",
        "set_mempolicy(0x8002, [0-1])    # /linux/memoryPolicy",
    ]


def test_devices_need_a_namespace():
    made = everything()
    without = made.linux.replace(namespaces=tuple(n for n in made.linux.namespaces if n.type != "network"))
    with pytest.raises(ConfigError, match="netDevices need a network namespace"):
        build.build(made.replace(linux=without), FACTS, REQUEST)
