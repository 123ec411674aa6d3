"""Limits as writes to files: both versions of cgroups side by side."""

from __future__ import annotations

import pytest

from pyrunc.cgroup import knobs
from pyrunc.errors import ConfigError, PyruncError, UnsupportedError
from pyrunc.oci.resources import resources

REFUSED = object()
Writes = list[str] | object


def writes(document: dict, *, unified: bool) -> list[str]:
    made = resources(document, knobs.ROOT)
    found = knobs.writes(made, unified=unified)
    for write in found:
        assert write.pointer.startswith(knobs.ROOT + "/")
        assert write.file.startswith(write.controller)
    return [f"{write.file}={write.value}" for write in found]


MEMORY = "memory.limit_in_bytes"
BOTH: list[tuple[dict, Writes, Writes]] = [  # what is asked for, version 1, version 2
    ({}, [], []),
    ({"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}, "network": {}}, [], []),
    ({"memory": {"limit": 4096}}, [f"{MEMORY}=4096"], ["memory.max=4096"]),
    ({"memory": {"limit": 0, "swap": 0, "reservation": 0}}, [], []),
    ({"memory": {"limit": -1}}, [f"{MEMORY}=-1", "memory.memsw.limit_in_bytes=-1"], ["memory.max=max", "memory.swap.max=max"]),
    ({"memory": {"reservation": 4096}}, ["memory.soft_limit_in_bytes=4096"], ["memory.low=4096"]),
    ({"memory": {"reservation": -1}}, ["memory.soft_limit_in_bytes=-1"], ["memory.low=max"]),
    (
        {"memory": {"limit": 4096, "swap": 8192}},
        [f"{MEMORY}=4096", "memory.memsw.limit_in_bytes=8192"],
        ["memory.max=4096", "memory.swap.max=4096"],
    ),
    (
        {"memory": {"limit": 4096, "swap": 4096}},
        [f"{MEMORY}=4096", "memory.memsw.limit_in_bytes=4096"],
        ["memory.max=4096", "memory.swap.max=0"],
    ),
    (
        {"memory": {"limit": 4096, "swap": -1}},
        [f"{MEMORY}=4096", "memory.memsw.limit_in_bytes=-1"],
        ["memory.max=4096", "memory.swap.max=max"],
    ),
    ({"memory": {"swap": -1}}, ["memory.memsw.limit_in_bytes=-1"], ["memory.swap.max=max"]),
    ({"memory": {"swap": 8192}}, ["memory.memsw.limit_in_bytes=8192"], REFUSED),
    ({"memory": {"limit": 4096, "swap": 4095}}, REFUSED, REFUSED),
    ({"memory": {"swappiness": 0}}, ["memory.swappiness=0"], REFUSED),
    ({"memory": {"kernelTCP": 5}}, ["memory.kmem.tcp.limit_in_bytes=5"], REFUSED),
    ({"memory": {"kernel": 5, "useHierarchy": True, "checkBeforeUpdate": True}}, [], []),
    ({"memory": {"disableOOMKiller": True}}, ["memory.oom_control=1"], REFUSED),
    ({"memory": {"disableOOMKiller": False}}, [], []),
    ({"cpu": {"shares": 1024}}, ["cpu.shares=1024"], ["cpu.weight=39"]),
    ({"cpu": {"shares": 2}}, ["cpu.shares=2"], ["cpu.weight=1"]),
    ({"cpu": {"shares": 1}}, ["cpu.shares=1"], ["cpu.weight=1"]),
    ({"cpu": {"shares": 262144}}, ["cpu.shares=262144"], ["cpu.weight=10000"]),
    ({"cpu": {"shares": 1 << 40}}, [f"cpu.shares={1 << 40}"], ["cpu.weight=10000"]),
    ({"cpu": {"idle": 1}}, ["cpu.idle=1"], ["cpu.idle=1"]),
    ({"cpu": {"quota": 5, "period": 10}}, ["cpu.cfs_period_us=10", "cpu.cfs_quota_us=5"], ["cpu.max=5 10"]),
    ({"cpu": {"quota": 5}}, ["cpu.cfs_quota_us=5"], ["cpu.max=5"]),
    ({"cpu": {"quota": -1}}, ["cpu.cfs_quota_us=-1"], ["cpu.max=max"]),
    ({"cpu": {"period": 10}}, ["cpu.cfs_period_us=10"], ["cpu.max=max 10"]),
    ({"cpu": {"quota": 5, "burst": 1}}, ["cpu.cfs_quota_us=5", "cpu.cfs_burst_us=1"], ["cpu.max=5", "cpu.max.burst=1"]),
    ({"cpu": {"burst": 0}}, ["cpu.cfs_burst_us=0"], ["cpu.max.burst=0"]),
    ({"cpu": {"realtimePeriod": 9, "realtimeRuntime": 5}}, ["cpu.rt_period_us=9", "cpu.rt_runtime_us=5"], REFUSED),
    ({"cpu": {"cpus": "0-1", "mems": "0"}}, ["cpuset.mems=0", "cpuset.cpus=0-1"], ["cpuset.mems=0", "cpuset.cpus=0-1"]),
    ({"pids": {"limit": 9}}, ["pids.max=9"], ["pids.max=9"]),
    ({"pids": {"limit": -1}}, ["pids.max=max"], ["pids.max=max"]),
    ({"blockIO": {"weight": 10}}, ["blkio.weight=10"], ["io.weight=1"]),
    ({"blockIO": {"weight": 1000}}, ["blkio.weight=1000"], ["io.weight=10000"]),
    ({"blockIO": {"weight": 9}}, REFUSED, REFUSED),
    ({"blockIO": {"weight": 1001}}, REFUSED, REFUSED),
    ({"blockIO": {"leafWeight": 10}}, ["blkio.leaf_weight=10"], REFUSED),
    (
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}},
        ["blkio.weight_device=8:0 500"],
        ["io.weight=8:0 4950"],
    ),
    ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 5}]}}, REFUSED, REFUSED),
    (
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 500}]}},
        ["blkio.leaf_weight_device=8:0 500"],
        REFUSED,
    ),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}]}},
        ["blkio.throttle.read_bps_device=8:0 7"],
        ["io.max=8:0 rbps=7"],
    ),
    (
        {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}},
        ["blkio.throttle.write_iops_device=8:0 0"],
        ["io.max=8:0 wiops=max"],
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 7}]},
        ["hugetlb.2MB.limit_in_bytes=7", "hugetlb.2MB.rsvd.limit_in_bytes=7"],
        ["hugetlb.2MB.max=7", "hugetlb.2MB.rsvd.max=7"],
    ),
    ({"rdma": {"a": {"hcaHandles": 3}}}, ["rdma.max=a hca_handle=3"], ["rdma.max=a hca_handle=3"]),
    ({"rdma": {"a": {"hcaHandles": 0, "hcaObjects": 4}}}, *[["rdma.max=a hca_handle=0 hca_object=4"]] * 2),
    ({"network": {"classID": 1048577}}, ["net_cls.classid=1048577"], REFUSED),
    ({"network": {"priorities": [{"name": "eth0", "priority": 5}]}}, ["net_prio.ifpriomap=eth0 5"], REFUSED),
    ({"unified": {"memory.high": "9", "io.max": "a\nb"}}, REFUSED, ["memory.high=9", "io.max=a", "io.max=b"]),
    ({"unified": {"../x": "9"}}, REFUSED, REFUSED),
    ({"unified": {".hidden": "9"}}, REFUSED, REFUSED),
    ({"unified": {"nodot": "9"}}, REFUSED, REFUSED),
]


@pytest.mark.parametrize(("document", "v1", "v2"), BOTH, ids=[str(row[0]) for row in BOTH])
def test_both_versions(document: dict, v1: Writes, v2: Writes):
    for unified, expected in ((False, v1), (True, v2)):
        if expected is REFUSED:
            with pytest.raises((ConfigError, UnsupportedError)) as caught:
                writes(document, unified=unified)
            assert caught.value.pointer.startswith(f"{knobs.ROOT}/{next(iter(document))}")
        else:
            assert writes(document, unified=unified) == expected


def test_a_file_of_the_cgroup_itself_needs_no_controller():
    made = resources({"unified": {"cgroup.max.depth": "1"}}, "")
    assert [write.controller for write in knobs.writes(made, unified=True)] == [""]


def test_pointers_are_escaped():
    with pytest.raises(PyruncError) as caught:
        writes({"unified": {"a/b~": "1"}}, unified=True)
    assert caught.value.pointer == "/linux/resources/unified/a~1b~0"
    found = knobs.writes(resources({"rdma": {"a/b": {"hcaHandles": 1}}}, ""), unified=True)
    assert found[0].pointer == "/linux/resources/rdma/a~1b"
