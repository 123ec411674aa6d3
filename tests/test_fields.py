"""No field is silently ignored: each one changes the plan or is refused by its name."""

from __future__ import annotations

import copy
import json

import pytest

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci import config as oci
from pyrunc.oci import hooks, linux, mounts, process, resources, seccomp
from pyrunc.plan.op import Plan
from tests.machines import MACHINES
from tests.planned import plan

DEVICE = {"path": "/dev/x", "type": "c", "major": 1, "minor": 3}
IDS, OTHER_IDS = ({"containerID": 0, "hostID": number, "size": 9} for number in (1, 2))
RATE = [{"major": 8, "minor": 0, "rate": 9}]
BASE = {
    "ociVersion": "1.3.0",
    "process": {"cwd": "/", "args": ["/a"], "terminal": True, "user": {}, "capabilities": {}, "noNewPrivileges": True},
    "root": {"path": "rootfs"},
    "hostname": "a",
    "mounts": [{"destination": "/a", "type": "tmpfs"}, {"destination": "/b", "source": "/b", "options": ["bind"]}],
    "hooks": {},
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "uts", "ipc", "network", "user", "time")],
        "uidMappings": [IDS],
        "gidMappings": [IDS],
        "resources": {"memory": {"limit": 4096}, "cpu": {}, "pids": {}, "blockIO": {}, "network": {}},
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
    },
}
# Which record stands where, and a value for each of its fields that BASE does not have.
CAPABILITIES = {key: ["CAP_KILL"] for key in ("bounding", "inheritable")}
SECTIONS: dict[str, tuple[type, dict[str, object]]] = {
    "": (
        oci.Config,
        {"process": None, "root": None, "hostname": "b", "domainname": "b", "mounts": []}
        | {"linux": {**BASE["linux"], "cgroupsPath": "/p"}}
        | {"hooks": {"prestart": [{"path": "/hook"}]}, "annotations": {"a": "b"}, "ociVersion": "1.0.0"},
    ),
    "/root": (mounts.Root, {"path": "elsewhere", "readonly": True}),
    "/mounts/0": (
        mounts.Mount,
        {"destination": "/c", "type": "ramfs", "source": "name", "options": ["ro"]}
        | {key: [IDS] for key in ("uidMappings", "gidMappings")},
    ),
    "/mounts/1": (mounts.Mount, {"source": "/c", "destination": "/c", "options": ["rbind"]}),
    "/hooks": (hooks.Hooks, {kind: [{"path": "/hook"}] for kind in hooks.KINDS}),
    "/process": (
        process.Process,
        {"cwd": "/tmp", "args": ["/b"], "env": ["A=b"], "terminal": False, "consoleSize": {"height": 1, "width": 2}}
        | {"user": {"uid": 5}, "capabilities": CAPABILITIES, "noNewPrivileges": False, "apparmorProfile": "p"}
        | {"rlimits": [{"type": "RLIMIT_AS", "hard": 2, "soft": 1}], "selinuxLabel": "l", "oomScoreAdj": 1}
        | {"ioPriority": {"class": "IOPRIO_CLASS_BE"}, "scheduler": {"policy": "SCHED_BATCH"}}
        | {"execCPUAffinity": {"initial": "0"}},
    ),
    "/process/user": (process.User, {"uid": 1, "gid": 1, "umask": 1, "additionalGids": [1]}),
    "/process/capabilities": (process.Capabilities, CAPABILITIES),
    "/linux": (
        linux.Linux,
        {"namespaces": [*BASE["linux"]["namespaces"], {"type": "cgroup"}], "uidMappings": [OTHER_IDS]}
        | {"gidMappings": [OTHER_IDS], "timeOffsets": {"boottime": {"secs": 1}}}
        | {"devices": [DEVICE], "netDevices": {"eth0": {}}, "cgroupsPath": "/p", "resources": {"pids": {"limit": 1}}}
        | {"rootfsPropagation": "shared", "seccomp": None, "sysctl": {"kernel.msgmax": "1"}, "maskedPaths": ["/a"]}
        | {"readonlyPaths": ["/a"], "mountLabel": "l", "personality": {"domain": "LINUX32"}}
        | {"intelRdt": {"closID": "c"}, "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}},
    ),
    "/linux/seccomp": (
        seccomp.Seccomp,
        {"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 5, "architectures": ["SCMP_ARCH_X86"]}
        | {"flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/l", "listenerMetadata": "m"}
        | {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]},
    ),
    "/linux/resources": (
        resources.Resources,
        {"devices": [{"allow": True, "type": "c", "major": 9, "minor": 9}], "memory": {"limit": 1}, "cpu": {"shares": 9}}
        | {"pids": {"limit": 1}, "blockIO": {"weight": 99}, "network": {"classID": 1}, "rdma": {"a": {"hcaHandles": 1}}}
        | {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "unified": {"memory.high": "1"}},
    ),
    "/linux/resources/memory": (
        resources.Memory,
        {"limit": 1, "reservation": 1, "swap": 8192, "kernel": 1, "kernelTCP": 1, "swappiness": 0}
        | {"disableOOMKiller": True, "useHierarchy": False, "checkBeforeUpdate": True},
    ),
    "/linux/resources/cpu": (
        resources.CPU,
        {"shares": 9, "quota": 9, "burst": 9, "period": 9, "realtimeRuntime": 9, "realtimePeriod": 9}
        | {"cpus": "0", "mems": "0", "idle": 1},
    ),
    "/linux/resources/pids": (resources.Pids, {"limit": 1}),
    "/linux/resources/network": (resources.Network, {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]}),
    "/linux/resources/blockIO": (
        resources.BlockIO,
        {"weight": 99, "leafWeight": 99, "weightDevice": [{"major": 8, "minor": 0, "weight": 99, "leafWeight": 9}]}
        | {f"throttle{way}Device": RATE for way in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")},
    ),
}
# What changes no plan, and why not.
ELSEWHERE = {
    "/ociVersion": "checked as it is read",
    "/annotations": "for hooks and `state`",
    "/hooks/poststart": "run by `start`",
    "/hooks/poststop": "run by `delete`",
    "/root": "read by container/verbs/create.py, for the request",
    "/root/path": "read by container/verbs/create.py, for the request",
    "/process/execCPUAffinity": "for `exec`",
    "/linux/resources/memory/kernel": "no kernel since 5.4 has it",
    "/linux/resources/memory/useHierarchy": "no kernel since 5.11 does otherwise",
    "/linux/resources/memory/checkBeforeUpdate": "for `update`",
}
# Refused by another's name.
REFUSED_AS = {  # one needs the other
    "/mounts/0/gidMappings": "/mounts/0/uidMappings",
    "/mounts/0/uidMappings": "/mounts/0/gidMappings",
}
NEEDS_ANOTHER = {
    "/process/capabilities/effective": "permitted",
    "/process/capabilities/permitted": "effective",
    "/process/capabilities/ambient": "permitted and inheritable",
}
ROWS = [(f"{at}/{name}", value) for at, (_, values) in SECTIONS.items() for name, value in values.items()]


def with_value(pointer: str, value: object) -> dict:
    """Return BASE with VALUE at POINTER; None takes away what is there."""
    document = copy.deepcopy(BASE)
    *way, last = pointer.split("/")[1:]
    place = document
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[last] = value
    return document


def outcome(document: dict, host: str) -> Plan | str:
    """Return the plan of DOCUMENT, or the pointer of its refusal."""
    try:
        return plan(json.dumps(document).encode(), MACHINES[host])
    except (UnsupportedError, ConfigError) as error:
        return error.pointer


@pytest.mark.parametrize("host", ["v1", "v2"])
@pytest.mark.parametrize(("pointer", "value"), ROWS, ids=[pointer for pointer, _ in ROWS])
def test_a_field_changes_the_plan_or_is_refused(pointer: str, value: object, host: str):
    usual = outcome(BASE, host)
    assert isinstance(usual, Plan)
    found = outcome(with_value(pointer, value), host)
    if pointer in ELSEWHERE:
        assert found == usual
    elif isinstance(found, str):
        assert found.startswith(REFUSED_AS.get(pointer, pointer)) or not value
    else:
        assert found != usual


@pytest.mark.parametrize("at", SECTIONS)
def test_every_field_has_a_row(at: str):
    record, values = SECTIONS[at]
    others = {pointer.rpartition("/")[2] for pointer in (*ELSEWHERE, *NEEDS_ANOTHER) if pointer.rpartition("/")[0] == at}
    assert set(record._fields) <= {*values, *others} or at == "/mounts/1"


@pytest.mark.parametrize(
    ("names", "changed"),
    [(("permitted", "effective"), "capset"), (("permitted", "inheritable", "ambient"), "raise_ambient")],
)
def test_capabilities_that_need_each_other(names: tuple[str, ...], changed: str):
    usual = [op for op in outcome(BASE, "v2").child if op.call == changed]
    made = outcome(with_value("/process/capabilities", {key: ["CAP_KILL"] for key in names}), "v2")
    assert [op for op in made.child if op.call == changed] != usual
