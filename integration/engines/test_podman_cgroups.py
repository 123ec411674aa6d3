"""Podman: cgroups and what is done by them, with the runtime under test.

Those not marked slow_vm are for the virtual machine too, where cgroups are of version 2.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.podman import SYSTEMD, cgroups_called, remove_cgroups
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, mountinfo, unified

need("podman", "conmon")
V2 = unified()


LIMITS = {
    "memory": (["--memory=64m"], "memory/memory.limit_in_bytes", "memory.max", str(64 << 20), str(64 << 20)),
    "reservation": (
        ["--memory-reservation=32m"],
        "memory/memory.soft_limit_in_bytes",
        "memory.low",
        str(32 << 20),
        str(32 << 20),
    ),
    "swap": (
        ["--memory=64m", "--memory-swap=96m"],
        "memory/memory.memsw.limit_in_bytes",
        "memory.swap.max",
        str(96 << 20),
        str(32 << 20),
    ),
    "pids": (["--pids-limit=37"], "pids/pids.max", "pids.max", "37", "37"),
    "cpus": (["--cpus=0.5"], "cpu/cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000"),
    "quota": (["--cpu-period=50000", "--cpu-quota=20000"], "cpu/cpu.cfs_period_us", "cpu.max", "50000", "20000 50000"),
    "shares": (["--cpu-shares=512"], "cpu/cpu.shares", "cpu.weight", "512", "59"),
    "cpuset": (["--cpuset-cpus=1"], "cpuset/cpuset.cpus", "cpuset.cpus", "1", "1"),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_run_with_a_limit(podman, kind):
    options, v1, v2, value1, value2 = LIMITS[kind]
    name = podman.start(*options)
    assert podman.limit(name, v1, v2) == (value2 if V2 else value1)


def block_device() -> tuple[str, str]:
    """Return a disk of this machine, and its number."""
    for path in sorted(Path("/sys/block").iterdir()):
        device = Path("/dev") / path.name
        if path.name.startswith(("vd", "sd", "nvme", "loop0")) and device.exists():
            return str(device), (path / "dev").read_text().strip()
    pytest.skip("no disk here")


@pytest.mark.slow_vm
def test_a_limit_of_reading_and_writing(podman):
    device, number = block_device()
    name = podman.start(f"--device-read-bps={device}:1mb", f"--device-write-iops={device}:77")
    if V2:
        (line,) = [x for x in podman.limit(name, "blkio/x", "io.max").splitlines() if x.startswith(number)]
        assert {"rbps=1048576", "wiops=77"} <= set(line.split())
    else:
        assert podman.limit(name, "blkio/blkio.throttle.read_bps_device", "") == f"{number} 1048576"
        assert podman.limit(name, "blkio/blkio.throttle.write_iops_device", "") == f"{number} 77"


@pytest.mark.slow_vm
def test_no_more_processes_than_allowed(podman):
    done = podman.run("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait", "--pids-limit=5", check=False)
    assert "can't fork" in done.stderr.lower(), done


@pytest.mark.slow_vm
def test_only_the_processor_that_was_asked_for(podman):
    assert podman.inside("nproc; grep Cpus_allowed_list /proc/self/status", "--cpuset-cpus=0").split() == [
        "1",
        "Cpus_allowed_list:",
        "0",
    ]


def test_out_of_memory(podman):
    """conmon 2.1 notes it in the directory where it was started, and Podman 4.3 looks elsewhere: OOMKilled stays false.

    On version 2 conmon 2.1.6 listens to memory.events only until the first word of it, which may be that the limit was
    reached and nobody killed yet; there this looks at what conmon would have read.
    """
    note = podman.directory / "oom"
    note.unlink(missing_ok=True)
    command = "tail /dev/zero; echo $?; until test -e /go; do sleep 0.1; done; exec tail /dev/zero"
    name = podman.start("--memory=20m", "--memory-swap=20m", command=command)
    wait_for(lambda: podman.output("logs", name) == "137", "the end of the first victim")
    if V2:
        assert "oom_kill 1" in podman.limit(name, "memory/memory.oom_control", "memory.events").splitlines()
    else:
        wait_for(note.exists, "conmon to be told")
    podman.exec(name, "touch /go")
    assert podman.ended(name) == "137"


@pytest.mark.slow_vm
def test_update_of_limits(podman):
    name = podman.start("--memory=64m")
    podman("update", "--memory=32m", "--cpus=0.25", "--cpu-shares=256", "--cpuset-cpus=0", name)
    assert podman.limit(name, "memory/memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert podman.limit(name, "cpu/cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    assert podman.limit(name, "cpu/cpu.shares", "cpu.weight") == ("35" if V2 else "256")
    assert podman.limit(name, "cpuset/cpuset.cpus", "cpuset.cpus") == "0"
    assert podman.exec(name, "nproc") == "1"


@pytest.mark.slow_vm
@pytest.mark.parametrize(
    ("option", "kind", "soft", "hard"),
    [
        ("nofile=128:256", "Max open files", "128", "256"),
        ("core=0", "Max core file size", "0", "0"),
        ("cpu=30", "Max cpu time", "30", "30"),
    ],
)
def test_ulimits(podman, option, kind, soft, hard):
    # Without the default limits, of which there are none then, Podman raises both of these.
    others = [f"--ulimit={name}=512:1024" for name in ("nofile", "nproc") if name not in option]
    lines = podman.inside("cat /proc/self/limits", f"--ulimit={option}", *others).splitlines()
    (line,) = [line for line in lines if line.startswith(kind)]
    assert line.removeprefix(kind).split()[:2] == [soft, hard]


@pytest.mark.slow_vm
def test_oom_score(podman):
    assert podman.inside("cat /proc/self/oom_score_adj", "--oom-score-adj=700") == "700"


@pytest.mark.slow_vm
@pytest.mark.skipif(SYSTEMD, reason="a parent is a slice there")
def test_a_parent_cgroup(podman):
    parent = f"/{podman.new_name()}"
    try:
        name = podman.start(f"--cgroup-parent={parent}")
        assert f"{parent}/libpod-" in str(cgroup_of(podman.pid(name), "memory"))
    finally:
        podman.remove_used()
        wait_for(lambda: not podman.place.stays(), podman.place.stays, what="conmon, which is in there, to end")
        remove_cgroups(cgroups_called(parent[1:]))


@pytest.mark.slow_vm
def test_the_cgroup_namespace(podman):
    private, host = (podman.inside("cat /proc/self/cgroup", f"--cgroupns={kind}").splitlines() for kind in ("private", "host"))
    assert {line.split(":", 2)[2] for line in private} == {"/"}
    assert all("libpod" in line for line in host), host


@pytest.mark.slow_vm
def test_a_device(podman):
    device = next(path for path in ("/dev/fuse", "/dev/net/tun", "/dev/loop-control") if Path(path).exists())
    number = os.stat(device).st_rdev
    command = "stat -c '%t %T' /dev/mine; exec 3</dev/mine && echo read; exec 4<>/dev/mine && echo written"
    found = [f"{os.major(number):x}", f"{os.minor(number):x}", "read"]
    assert podman.inside(command, f"--device={device}:/dev/mine:rw").split() == [*found, "written"]
    done = podman.run(command, f"--device={device}:/dev/mine:r", check=False)
    assert done.stdout.split() == found
    assert "not permitted" in done.stderr, done


@pytest.mark.slow_vm
def test_devices_that_nobody_asked_for_are_closed(podman):
    command = "mknod /dev/mem2 c 1 1 && head -c 1 /dev/mem2"
    done = podman.run(command, "--cap-add=MKNOD,SYS_RAWIO", check=False)
    assert "not permitted" in done.stderr, done
    allowed = podman.run(
        "mknod /tmp/full c 1 7; head -c 1 /tmp/full | wc -c", "--cap-add=MKNOD", "--device-cgroup-rule=c 1:7 rwm"
    )
    assert allowed.stdout.strip() == "1"


def test_a_container_for_systemd(podman):
    name = podman.start("--systemd=always")
    table = mountinfo(podman.exec(name, "cat /proc/self/mountinfo"))
    assert {table[path].type for path in ("/run", "/run/lock", "/tmp")} == {"tmpfs"}
    place = "/sys/fs/cgroup" if V2 else "/sys/fs/cgroup/systemd"
    assert "rw" in table[place].options
    podman.exec(name, f"mkdir {place}/mine && rmdir {place}/mine")
    assert podman.inspect(name, ".Config.StopSignal") == "37"
