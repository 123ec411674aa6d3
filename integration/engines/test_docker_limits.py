"""Docker: limits, as the kernel's files and `inspect` have them, and devices."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.docker import CLIENT, SYSTEMD, knob
from integration.looking import cgroup_of, namespace, unified

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = ("test_update", "test_running_out_of_memory", "test_a_device")


# Limits

V1_LIMITS = [
    ("--memory=64m", "memory", "memory.limit_in_bytes", "67108864", ".HostConfig.Memory", "67108864"),
    ("--memory-reservation=32m", "memory", "memory.soft_limit_in_bytes", "33554432", ".HostConfig.MemoryReservation", "33554432"),
    ("--memory=64m --memory-swap=96m", "memory", "memory.memsw.limit_in_bytes", "100663296", ".HostConfig.MemorySwap", "100663296"),
    ("--memory=64m --memory-swappiness=7", "memory", "memory.swappiness", "7", ".HostConfig.MemorySwappiness", "7"),
    ("--memory=64m --oom-kill-disable", "memory", "memory.oom_control", "oom_kill_disable 1", ".HostConfig.OomKillDisable", "true"),
    ("--cpus=0.5", "cpu", "cpu.cfs_quota_us", "50000", ".HostConfig.NanoCpus", "500000000"),
    ("--cpu-period=20000 --cpu-quota=5000", "cpu", "cpu.cfs_period_us", "20000", ".HostConfig.CpuQuota", "5000"),
    ("--cpu-shares=512", "cpu", "cpu.shares", "512", ".HostConfig.CpuShares", "512"),
    ("--cpuset-cpus=1", "cpuset", "cpuset.cpus", "1", ".HostConfig.CpusetCpus", "1"),
    ("--cpuset-mems=0", "cpuset", "cpuset.mems", "0", ".HostConfig.CpusetMems", "0"),
    ("--pids-limit=33", "pids", "pids.max", "33", ".HostConfig.PidsLimit", "33"),
]
V2_LIMITS = [
    ("--memory=64m", "memory", "memory.max", "67108864", ".HostConfig.Memory", "67108864"),
    ("--memory-reservation=32m", "memory", "memory.low", "33554432", ".HostConfig.MemoryReservation", "33554432"),
    ("--memory=64m --memory-swap=96m", "memory", "memory.swap.max", "33554432", ".HostConfig.MemorySwap", "100663296"),
    ("--cpus=0.5", "cpu", "cpu.max", "50000 100000", ".HostConfig.NanoCpus", "500000000"),
    ("--cpu-period=20000 --cpu-quota=5000", "cpu", "cpu.max", "5000 20000", ".HostConfig.CpuQuota", "5000"),
    ("--cpu-shares=512", "cpu", "cpu.weight", "59", ".HostConfig.CpuShares", "512"),
    ("--cpuset-cpus=1", "cpuset", "cpuset.cpus", "1", ".HostConfig.CpusetCpus", "1"),
    ("--cpuset-mems=0", "cpuset", "cpuset.mems", "0", ".HostConfig.CpusetMems", "0"),
    ("--pids-limit=33", "pids", "pids.max", "33", ".HostConfig.PidsLimit", "33"),
]


@pytest.mark.parametrize("row", V2_LIMITS if unified() else V1_LIMITS, ids=lambda row: row[0].replace(" ", ""))
def test_limits_are_the_kernels_and_inspects(docker, row):
    options, controller, file, value, field, shown = row
    name = docker.start_container(*options.split())
    assert docker.inspect(name, field).strip("<>") == shown or docker.output("inspect", "-f", "{{json %s}}" % field, name) == shown
    assert value in knob(docker, name, controller, file).splitlines()


UPDATES = {
    "--memory=48m --memory-swap=48m": ("memory", "memory.max" if unified() else "memory.limit_in_bytes", "50331648"),
    "--cpus=0.25": ("cpu", *(("cpu.max", "25000 100000") if unified() else ("cpu.cfs_quota_us", "25000"))),
    "--cpu-shares=2048": ("cpu", *(("cpu.weight", "174") if unified() else ("cpu.shares", "2048"))),
    "--cpuset-cpus=0": ("cpuset", "cpuset.cpus", "0"),
    "--pids-limit=22": ("pids", "pids.max", "22"),
}


@pytest.mark.parametrize("options", UPDATES)
def test_update(docker, options):
    controller, file, value = UPDATES[options]
    name = docker.start_container("--memory=64m", "--memory-swap=64m", "--pids-limit=44")
    assert knob(docker, name, controller, file) != value
    docker("update", *options.split(), name)
    assert knob(docker, name, controller, file) == value
    if controller != "pids":
        assert knob(docker, name, "pids", "pids.max") == "44", "update changed what it was not asked to"
    assert docker.exec(name, "echo alive") == "alive"


def test_update_takes_a_limit_away(docker):
    name = docker.start_container("--pids-limit=44")
    docker("update", "--pids-limit=-1", name)
    assert knob(docker, name, "pids", "pids.max") == "max"


def test_running_out_of_memory(docker):
    """Not before Docker knows that it runs: containerd's shim forgets an event that comes earlier."""
    since = time.time()
    command = "until test -e /tmp/go; do sleep 0.05; done; exec dd if=/dev/zero of=/dev/null bs=100M"
    name = docker.start_container("--memory=16m", "--memory-swap=16m", command=command)
    docker.exec(name, "touch /tmp/go")
    assert docker.ended(name) == 137
    assert docker.inspect(name, ".State.OOMKilled") == "true"
    assert "oom" in docker.events(name, since)


def test_oom_score(docker):
    assert docker.inside("cat /proc/self/oom_score_adj", "--oom-score-adj", "500") == "500"


def test_shared_memory_size(docker):
    assert "size=8192k" in docker.inside("grep ' /dev/shm ' /proc/mounts", "--shm-size", "8m")


def test_ulimits(docker):
    command = "ulimit -Sn; ulimit -Hn; ulimit -Hc"
    assert docker.inside(command, "--ulimit", "nofile=100:200", "--ulimit", "core=0").split() == ["100", "200", "0"]


def test_sysctls(docker):
    options = ("--sysctl", "kernel.msgmax=12345", "--sysctl", "net.ipv4.ip_unprivileged_port_start=99")
    command = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert docker.inside(command, *options).split() == ["12345", "99"]


def test_the_parent_of_its_cgroup(docker):
    parent = f"{docker.parent.removesuffix('.slice')}-other.slice" if SYSTEMD else f"/{docker.parent}/other"
    name = docker.start_container("--cgroup-parent", parent)
    path = cgroup_of(docker.pid(name), "pids")
    assert path.parent.name == Path(parent).name
    assert docker.inspect(name, ".Id") in path.name


@pytest.mark.parametrize("mode", ["private", "host"])
def test_the_cgroup_namespace(docker, mode):
    name = docker.start_container(f"--cgroupns={mode}")
    pid = docker.pid(name)
    assert (namespace(pid, "cgroup") == namespace("self", "cgroup")) is (mode == "host")
    last = docker.exec(name, "cat /proc/1/cgroup").splitlines()[-1].rpartition(":")[2]
    assert last == "/" if mode == "private" else last.endswith(cgroup_of(pid, "pids").name) or not unified()


# Devices


@pytest.fixture
def disk():
    """A disk of this machine."""
    found = [path.name for path in Path("/sys/block").glob("[vs]d?")]
    return found[0] if found else pytest.skip("no disk here")


def test_a_device(docker):
    """Whose owner may be asked to read only."""
    command = "dd if=/dev/mine count=0 && echo opened; dd if=/dev/null of=/dev/mine conv=notrunc"
    done = docker.run(command, "--device=/dev/fuse:/dev/mine:r", check=False)
    assert done.stdout == "opened\n", done.stderr
    assert "/dev/mine': Operation not permitted" in done.stderr


def test_a_rule_for_devices(docker):
    command = "mknod /tmp/loop b 7 0 && dd if=/tmp/loop count=0"
    denied = docker.run(command, check=False)
    assert "Operation not permitted" in denied.stderr, denied
    allowed = docker.run(command, "--device-cgroup-rule=b 7:* rwm", check=False)
    assert "not permitted" not in allowed.stderr, allowed


def test_a_limit_of_input_and_output(docker, disk):
    numbers = Path(f"/sys/block/{disk}/dev").read_text().strip()
    name = docker.start_container(f"--device-read-bps=/dev/{disk}:1mb")
    if unified():
        assert f"{numbers} rbps=1048576" in knob(docker, name, "io", "io.max")
    else:
        assert f"{numbers} 1048576" in knob(docker, name, "blkio", "blkio.throttle.read_bps_device")
