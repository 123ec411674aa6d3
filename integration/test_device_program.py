"""The device program of version 2, attached to a cgroup of the test's own; a hybrid machine has that hierarchy too."""

from __future__ import annotations

import os
import posix
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.harness import leaks
from integration.harness.runtime import wait_for
from pyrunc.cgroup import bpf, devices

ZERO, FULL = "/dev/zero", "/dev/full"
ALLOWED = devices.Rule(True, "c", 1, 7, "rwm")  # full
# Opens one device all the time until a file appears: how often it could, could not, and could after it could not.
OPENER = """
import os, sys
device, stop = sys.argv[1:]
done = refused = again = 0
while not os.path.exists(stop):
    try:
        os.close(os.open(device, os.O_RDONLY))
        done += 1
        again += refused > 0
    except PermissionError:
        refused += 1
print(done, refused, again)
"""


@pytest.fixture
def directory(tmp_path):
    top = next((Path(p) for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if Path(p, "cgroup.controllers").exists()), None)
    if top is None:
        pytest.skip("there is no version 2")
    made = top / f"pyrunc-test-{os.getpid()}-program"
    made.mkdir()
    yield made
    wait_for(lambda: not (made / "cgroup.procs").read_text(), "the cgroup to be empty")
    made.rmdir()


def rules(*more):
    kept = [rule for rule in devices.DEFAULTS if (rule.major, rule.minor) != (1, 7) and rule.access == "rwm"]
    return bpf.program((*kept, *more))


def attached(directory):
    fd = os.open(directory, os.O_RDONLY)
    try:
        return bpf._attached(fd)
    finally:
        os.close(fd)


def opens(directory, device):
    """Return whether a process in the cgroup can open DEVICE."""
    line = f"echo 0 >{directory}/cgroup.procs && exec 3<{device}"
    return subprocess.run(["sh", "-c", line], capture_output=True).returncode == 0


def test_one_takes_the_place_of_another(directory):
    assert opens(directory, FULL)
    bpf.attach(str(directory), rules())
    (first,) = attached(directory)
    assert opens(directory, ZERO)
    assert not opens(directory, FULL)
    bpf.attach(str(directory), rules(ALLOWED))
    (second,) = attached(directory)
    assert second != first
    assert opens(directory, FULL)
    bpf.attach(str(directory), rules())
    assert not opens(directory, FULL)
    assert len(attached(directory)) == 1


@pytest.mark.parametrize(("device", "could"), [(ZERO, True), (FULL, False)])
def test_no_moment_with_other_rules(directory, tmp_path, device, could):
    """While programs that agree about a device replace each other, nothing else is ever decided about it."""
    bpf.attach(str(directory), rules())
    stop = tmp_path / "stop"
    with subprocess.Popen([sys.executable, "-c", OPENER, device, stop], stdout=subprocess.PIPE, text=True) as opener:
        (directory / "cgroup.procs").write_text(str(opener.pid))
        time.sleep(0.1)
        for number in range(200):
            bpf.attach(str(directory), rules(devices.Rule(True, "c", 10, number, "rwm")))
        stop.touch()
        done, refused, again = map(int, opener.communicate()[0].split())
    # Before it was moved into the cgroup it could open everything.
    assert (refused == 0 and done > 100) if could else (refused > 100 and again == 0)
    assert len(attached(directory)) == 1


def test_what_the_kernel_refuses_changes_nothing(directory):
    bpf.attach(str(directory), rules())
    before, open_before = attached(directory), os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=r"Invalid|Permission"):
        bpf.attach(str(directory), b"\xff" * 8)
    assert attached(directory) == before
    assert len(os.listdir("/proc/self/fd")) == len(open_before)
    assert posix.access(directory, posix.R_OK)


def test_nodes_that_may_not_be_made_are_bound(runtime, bundle, directory):
    """As below a pod of Podman 4.3, whose own cgroup denies them: the host's do."""
    usable = tuple(rule.replace(access="rw") for rule in devices.DEFAULTS if rule.access == "rwm")
    bpf.attach(str(directory), bpf.program(usable))
    b = bundle("echo lost >/dev/null; head -c 2 /dev/zero | wc -c; stat -c %t:%T /dev/null; grep -c ' /dev/[a-z]* .*devtmpfs' /proc/self/mountinfo")
    b.linux["cgroupsPath"] = f"/{directory.name}/box"
    try:
        assert runtime.output(b) == "2\n1:3\n6\n"
    finally:
        for left in leaks.cgroup_directories(directory.name):
            if left != str(directory):
                assert runtime.name != "pyrunc", left
                os.rmdir(left)
