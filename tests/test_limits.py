"""cgroup/knobs.py, cgroup/owner.py and plan/delegate.py: what version 2 is told, without a machine that has it."""

from __future__ import annotations

import json
import os

import pytest

from pyrunc.cgroup import owner
from pyrunc.cgroup.paths import Place
from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.host.cgroups import Cgroups, Hierarchy
from pyrunc.host.facts import HostFacts
from pyrunc.oci import parsing
from pyrunc.plan import cgroups, delegate
from pyrunc.plan.request import Request

V2 = HostFacts((6, 1), 40, False, Cgroups(v2=Hierarchy("/sys/fs/cgroup", "/user")))
V1 = V2.replace(cgroups=Cgroups(v1={"pids": Hierarchy("/sys/fs/cgroup/pids", "/", ("pids",))}))
REQUEST = Request(id="c", bundle="/b", rootfs="/b/rootfs")
MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid"]}
USER = [{"type": "user"}, {"type": "cgroup"}]
IDS = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 500, "hostID": 7000, "size": 10}]


def document(version: str = "1.3.0", uid: int = 0, mounts: tuple[dict[str, object], ...] = (MOUNT,), **linux: object):
    """Return a configuration with the properties LINUX."""
    made = {
        "ociVersion": version,
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "user": {"uid": uid, "gid": 0}},
        "mounts": list(mounts),
        "linux": linux,
    }
    return parsing.parse(json.dumps(made).encode())


def writes(version: str = "1.3.0", facts: HostFacts = V2, **resources: object) -> dict[str, str]:
    """Return what is written for RESOURCES, by file."""
    ops = cgroups.adopt(document(version, resources=resources), facts, REQUEST)
    changes = [change for op in ops if op.call == "limit_cgroup" for change in op.args[1]]
    return {change.file: change.value for change in changes if change.controller != "devices"}


@pytest.mark.parametrize(
    ("resources", "file", "value"),
    [
        ({"memory": {"limit": 1000, "swap": 3000}}, "memory.swap.max", "2000"),
        ({"memory": {"reservation": -1}}, "memory.low", "max"),
        ({"cpu": {"quota": -1, "period": 5000}}, "cpu.max", "max 5000"),
        ({"cpu": {"burst": 7}}, "cpu.max.burst", "7"),
        ({"cpu": {"idle": 1}}, "cpu.idle", "1"),
        ({"cpu": {"shares": 1024}}, "cpu.weight", "100"),
        ({"blockIO": {"weight": 1000}}, "io.bfq.weight", "1000"),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 16, "weight": 10}]}}, "io.bfq.weight", "8:16 10"),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]}}, "io.max", "8:0 rbps=max"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}, "hugetlb.2MB.rsvd.max", "5"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}, "hugetlb.2MB.max", "5"),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}}}, "rdma.max", "mlx5_1 hca_handle=3 hca_object=4"),
        ({"rdma": {"mlx5_1": {"hcaObjects": 0}}}, "rdma.max", "mlx5_1 hca_object=0"),
        ({"unified": {"memory.oom.group": "1"}}, "memory.oom.group", "1"),
        ({"unified": {"never.heard": "of"}}, "never.heard", "of"),
        ({"pids": {"limit": -1}}, "pids.max", "max"),
    ],
)
def test_version_2(resources, file, value):
    assert writes(**resources)[file] == value


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"swappiness": 0}}, "memory/swappiness"),
        ({"memory": {"kernelTCP": 5}}, "memory/kernelTCP"),
        ({"cpu": {"realtimeRuntime": 5}}, "cpu/realtimeRuntime"),
        ({"cpu": {"realtimePeriod": 5}}, "cpu/realtimePeriod"),
        ({"network": {"classID": 5}}, "network/classID"),
        ({"network": {"priorities": [{"name": "lo", "priority": 5}]}}, "network/priorities/0"),
        ({"blockIO": {"leafWeight": 50}}, "blockIO/leafWeight"),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 50}]}}, "blockIO/weightDevice/0/leafWeight"),
    ],
)
def test_what_version_2_cannot_express(resources, pointer):
    with pytest.raises(UnsupportedError) as caught:
        writes(**resources)
    assert caught.value.pointer == f"/linux/resources/{pointer}"


def test_version_1_of_what_few_kernels_have():
    assert writes(facts=V1, blockIO={"leafWeight": 300})["blkio.leaf_weight"] == "300"
    rows = [{"major": 8, "minor": 0, "weight": 20, "leafWeight": 30}]
    found = writes(facts=V1, blockIO={"weightDevice": rows})
    assert (found["blkio.bfq.weight_device"], found["blkio.leaf_weight_device"]) == ("8:0 20", "8:0 30")
    found = writes(facts=V1, network={"classID": 5, "priorities": [{"name": "eth0", "priority": 6}]})
    assert (found["net_cls.classid"], found["net_prio.ifpriomap"]) == ("5", "eth0 6")


@pytest.mark.parametrize(("version", "found"), [("1.3.0", {"pids.max": "1"}), ("1.2.1", {}), ("1.0.2-dev", {})])
@pytest.mark.parametrize("facts", [V1, V2])
def test_no_processes_are_a_limit_from_1_3_0_on(version, found, facts):
    assert writes(version, facts, pids={"limit": 0}) == found


@pytest.mark.parametrize(("version", "found"), [("1.3.0", [1]), ("1.2.1", [])])
def test_systemd_is_told_of_no_processes_too(version, found):
    config = document(version, resources={"pids": {"limit": 0}})
    assert [value for name, _, value in cgroups._properties(config, V2) if name == "TasksMax"] == found


# Owners


def owned(config, facts: HostFacts = V2) -> list[object]:
    """Return the arguments of the ops that change an owner."""
    return [op.args for op in delegate.host(config, facts, (Place("/cg/c", "/cg", ("",)),))]


def test_the_users_own_cgroup():
    assert owned(document(uid=1000, namespaces=[{"type": "cgroup"}])) == [("/cg/c", 1000)]
    mapped = {"namespaces": USER, "uidMappings": IDS, "gidMappings": IDS}
    assert owned(document(**mapped)) == [("/cg/c", 100000)]
    assert owned(document(uid=505, **mapped)) == [("/cg/c", 7005)]


@pytest.mark.parametrize("change", [{"options": ["ro"]}, {"source": "other"}, {"destination": "/cgroup"}])
def test_no_other_mount_counts(change):
    assert owned(document(uid=1000, mounts=({**MOUNT, **change},), namespaces=[{"type": "cgroup"}])) == []


def test_nobody_gets_more_than_it_should():
    assert owned(document(uid=1000)) == []  # no cgroup namespace: it would see the others
    assert owned(document(uid=1000, namespaces=[{"type": "cgroup", "path": "/proc/1/ns/cgroup"}])) == []
    assert owned(document(uid=1000, namespaces=[{"type": "cgroup"}]), V1) == []
    assert owned(document(namespaces=[{"type": "cgroup"}])) == []  # root has it already


def test_the_list_of_files(tmp_path):
    assert owner.files(str(tmp_path / "none")) == ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
    (tmp_path / "delegate").write_text("cgroup.procs\nmemory.oom.group\n../../etc/passwd\n")
    assert owner.files(str(tmp_path / "delegate")) == ("cgroup.procs", "memory.oom.group")


def test_only_listed_files_change_their_owner(tmp_path):
    directory = tmp_path / "cgroup"
    directory.mkdir()
    for name in ("cgroup.procs", "pids.max"):
        (directory / name).touch()
    uid = 4242 if os.geteuid() == 0 else os.geteuid()
    owner.give(str(directory), uid, ("cgroup.procs", "cgroup.threads"))
    assert directory.stat().st_uid == (directory / "cgroup.procs").stat().st_uid == uid
    assert (directory / "pids.max").stat().st_uid == os.geteuid()


@pytest.mark.parametrize(
    "resources",
    [{"rdma": {"a/b": {}}}, {"blockIO": {"weightDevice": [{"major": 1, "minor": 2}]}}, {"unified": {"../x.max": "1"}}],
)
def test_half_an_entry_is_refused(resources):
    with pytest.raises(ConfigError):
        writes(**resources)
