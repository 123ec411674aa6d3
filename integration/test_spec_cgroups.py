"""Resources that test_resources.py does not have, owners of cgroups, and the same place for the same path."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from integration.looking import FIRST, become, before_1_4, cgroup_of, has_controller, knob, mapped, refused, unified
from integration.test_resources import check, disk, limited

MIB = 1 << 20


def offered(controller, file):
    """Skip unless this kernel has FILE for CONTROLLER; some are built without it."""
    top = Path("/sys/fs/cgroup") / ("" if unified() else controller)
    if not unified() and not has_controller(controller):
        pytest.skip(f"there is no {controller} controller here")
    if not unified() and not (top / file).exists():
        pytest.skip(f"this kernel has no {file}")


@pytest.mark.pyrunc_only("1.1 does not know it")
def test_burst(runtime, bundle):
    offered("cpu", "cpu.cfs_burst_us")
    b = limited(bundle(), cpu={"quota": 50000, "period": 100000, "burst": 20000})
    check(runtime, b, "cpu", ("cpu.cfs_burst_us", "20000"), ("cpu.max.burst", "20000"))


@pytest.mark.pyrunc_only("1.1 does not know it")
def test_idle(runtime, bundle):
    offered("cpu", "cpu.idle")
    check(runtime, limited(bundle(), cpu={"idle": 1}), "cpu", ("cpu.idle", "1"), ("cpu.idle", "1"))


@pytest.mark.v1
@pytest.mark.parametrize(
    ("cpu", "file", "value"),
    [
        ({"realtimePeriod": 900000}, "cpu.rt_period_us", "900000"),
        ({"realtimePeriod": 900000, "realtimeRuntime": 1000}, "cpu.rt_runtime_us", "1000"),
    ],
)
def test_realtime(runtime, bundle, cpu, file, value):
    """The parent needs a share itself, so the cgroup is made below the top."""
    offered("cpu", "cpu.rt_runtime_us")
    b = limited(bundle(), cpu=cpu)
    b.linux["cgroupsPath"] = f"/{runtime.new_id()}-flat"
    name = runtime.start(b)
    assert knob(runtime, name, "cpu", file) == value


@pytest.mark.v1
def test_leaf_weight(runtime, bundle):
    offered("blkio", "blkio.leaf_weight")
    name = runtime.start(limited(bundle(), blockIO={"leafWeight": 300}))
    assert knob(runtime, name, "blkio", "blkio.leaf_weight") == "300"


@pytest.mark.v1
def test_weights_of_a_device(runtime, bundle):
    major, minor = disk()
    offered("blkio", "blkio.weight_device")
    rows = [{"major": major, "minor": minor, "weight": 300}]
    name = runtime.start(limited(bundle(), blockIO={"weightDevice": rows}))
    found = knob(runtime, name, "blkio", "blkio.weight_device")
    assert f"{major}:{minor} " in found


MISSING = [
    ("net_cls", {"network": {"classID": 1048577}}, "/linux/resources/network/classID"),
    ("net_prio", {"network": {"priorities": [{"name": "lo", "priority": 5}]}}, "/linux/resources/network/priorities/0"),
    ("rdma", {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 100}}}, "/linux/resources/rdma/mlx5_1"),
    ("hugetlb", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}]}, "/linux/resources/hugepageLimits/0"),
]


@pytest.mark.pyrunc_only("1.1 leaves them out without a word")
@pytest.mark.parametrize(("controller", "resources", "pointer"), MISSING, ids=[row[0] for row in MISSING])
def test_a_limit_whose_controller_this_host_lacks_is_refused(runtime, bundle, controller, resources, pointer):
    if has_controller(controller) or (unified() and controller in ("rdma", "hugetlb")):
        pytest.skip("it is not missing here")
    refused(runtime, limited(bundle("true"), **resources), pointer)


@pytest.mark.v1
def test_network_class_and_priorities(runtime, bundle):
    offered("net_cls", "net_cls.classid")
    resources = {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}]}
    name = runtime.start(limited(bundle(), network=resources))
    assert knob(runtime, name, "net_cls", "net_cls.classid") == "1048577"
    assert "lo 5" in knob(runtime, name, "net_prio", "net_prio.ifpriomap").splitlines()


@pytest.mark.v2
@pytest.mark.pyrunc_only("the words differ")
@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"swappiness": 30}}, "memory/swappiness"),
        ({"memory": {"kernelTCP": 16 * MIB}}, "memory/kernelTCP"),
        ({"cpu": {"realtimePeriod": 1000000}}, "cpu/realtimePeriod"),
        ({"network": {"classID": 1}}, "network/classID"),
        ({"blockIO": {"leafWeight": 300}}, "blockIO/leafWeight"),
    ],
)
def test_what_version_2_cannot_express_is_refused(runtime, bundle, resources, pointer):
    refused(runtime, limited(bundle("true"), **resources), f"/linux/resources/{pointer}")


@pytest.mark.v2
def test_unified_files_that_nobody_here_knows(runtime, bundle):
    """Any file of a controller, and of the core: what the runtime has no table for is written all the same."""
    b = limited(bundle(), unified={"memory.oom.group": "1", "cgroup.max.depth": "5"})
    name = runtime.start(b)
    assert knob(runtime, name, "", "memory.oom.group") == "1"
    assert knob(runtime, name, "", "cgroup.max.depth") == "5"


@pytest.mark.v2
@pytest.mark.pyrunc_only("runc does not look")
@pytest.mark.parametrize("verb", ["run", "update"])
def test_a_value_of_unified_that_the_kernel_calls_invalid(runtime, bundle, verb):
    """A partition needs a parent that is one: the kernel takes the word, and then says in the same file that it does not hold."""
    b = bundle()
    b.linux["cgroupsPath"] = f"/{runtime.new_id()}-parent/box"
    asked = {"cpuset.cpus.partition": "root"}
    if verb == "run":
        refused(runtime, limited(b, unified=asked), 'cpuset.cpus.partition takes "root", and then reads "root invalid')
        return
    name = runtime.start(b)
    done = runtime("update", "-r", "-", name, input=json.dumps({"unified": asked}), check=False)
    assert done.returncode == 1
    assert 'reads "root invalid' in done.stderr
    assert "at /unified/cpuset.cpus.partition" in done.stderr
    assert knob(runtime, name, "", "cpuset.cpus.partition") == "member", "it was not set back"


@pytest.mark.v2
def test_unified_enables_the_controller(runtime, bundle):
    b = limited(bundle(), unified={"pids.max": "44"})
    name = runtime.start(b)
    directory = cgroup_of(runtime.pid(name), "")
    assert "pids" in (directory / "cgroup.controllers").read_text().split()


@pytest.mark.v2
@pytest.mark.pyrunc_only("the words differ")
def test_unified_with_a_controller_that_is_not_there(runtime, bundle):
    refused(runtime, limited(bundle("true"), unified={"nonsense.max": "1"}), "/linux/resources/unified/nonsense.max")


# No processes at all


@pytest.mark.parametrize(("version", "value"), [("1.3.0", "1"), ("1.2.1", "max"), ("1.0.2-dev", "max")])
def test_a_limit_of_no_processes(runtime, bundle, version, value):
    """1.3.0 made 0 a limit; engines that follow older versions write it for none.

    The file says 1: systemd knows no 0, and no process can be forked beside the first either way.
    """
    if runtime.name == "runc" and (value == "max") != before_1_4(runtime.binary):
        pytest.skip("every runc takes 0 for one and the same, whatever the configuration's version")
    b = limited(bundle(), pids={"limit": 0})
    b.config["ociVersion"] = version
    check(runtime, b, "pids", ("pids.max", value), ("pids.max", value))


def test_with_a_limit_of_no_processes_none_is_forked(runtime, bundle):
    if before_1_4(runtime.binary):
        pytest.skip("it takes 0 for none")
    b = limited(bundle("sh", "-c", "echo alone; true | true; echo never"), pids={"limit": 0})
    b.config["ociVersion"] = "1.3.0"
    done = runtime.run(b, check=False)
    assert done.stdout.startswith("alone\n")
    assert "fork" in done.stderr


# Where it is, and whose


@pytest.mark.parametrize("form", ["{id}-parent/{id}", "/{id}-parent/{id}"])
def test_one_path_is_one_place(runtime, bundle, form):
    name = runtime.new_id()
    seen = []
    for _ in range(2):
        b = bundle()
        b.linux["cgroupsPath"] = form.format(id=name)
        b.save()
        runtime("create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
        seen.append([cgroup_of(runtime.pid(name), controller) for controller in ("pids", "memory", "freezer")])
        runtime("delete", "--force", name)
    assert seen[0] == seen[1]


def writable(b):
    """Give B a cgroup namespace of its own, and the hierarchy mounted for writing."""
    b.namespace("cgroup")
    for mount in b.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev"]
    return b


def owners(directory):
    """Return who owns the cgroup at DIRECTORY, and the names of its files that are not root's."""
    return directory.stat().st_uid, {path.name for path in directory.iterdir() if path.is_file() and path.stat().st_uid}


@pytest.mark.v1
@pytest.mark.parametrize("own", [True, False])
def test_no_owner_changes_on_version_1(runtime, bundle, own):
    b = writable(bundle())
    name = runtime.start(mapped(b) if own else become(b, 1000))
    for controller in ("pids", "memory", "cpu"):
        assert owners(cgroup_of(runtime.pid(name), controller)) == (0, set())


@pytest.mark.v2
@pytest.mark.parametrize(("own", "uid"), [(True, FIRST), (False, 1000)])
def test_the_user_gets_its_cgroup(runtime, bundle, own, uid):
    b = writable(bundle())
    name = runtime.start(mapped(b) if own else become(b, 1000))
    directory = cgroup_of(runtime.pid(name), "")
    owner, files = owners(directory)
    listed = Path("/sys/kernel/cgroup/delegate").read_text().split()
    assert owner == uid
    assert files == {file for file in listed if (directory / file).exists()}
    assert "cgroup.procs" in files
    assert "pids.max" not in files


@pytest.mark.v2
@pytest.mark.parametrize("without", ["namespace", "writing", "mount"])
def test_the_user_does_not_get_its_cgroup(runtime, bundle, without):
    b = become(writable(bundle()), 1000)
    if without == "namespace":
        b.namespace("cgroup", drop=True)
    elif without == "writing":
        next(mount for mount in b.config["mounts"] if mount["type"] == "cgroup")["options"].append("ro")
    else:
        b.config["mounts"] = [mount for mount in b.config["mounts"] if mount["type"] != "cgroup"]
    name = runtime.start(b)
    assert owners(cgroup_of(runtime.pid(name), "")) == (0, set())


def test_the_owner_of_the_rootfs_does_not_change(runtime, bundle):
    """A user namespace maps ids; the files stay whose they were."""
    b = mapped(bundle("true"))
    os.chown(b.rootfs / "data", 7, 8)
    before = {path: (path.lstat().st_uid, path.lstat().st_gid) for path in (b.rootfs, *b.rootfs.rglob("*"))}
    runtime.run(b)
    assert all((path.lstat().st_uid, path.lstat().st_gid) == found for path, found in before.items())
