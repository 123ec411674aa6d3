"""The version 2 driver on this kernel, in a cgroup of the test's own: a hybrid machine has that hierarchy too.

What needs controllers that version 1 holds here is tested by containers in the virtual machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for
from pyrunc.cgroup import freezer, fs, limits
from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.paths import Place
from pyrunc.cgroup.stats import stats
from pyrunc.errors import OpError, UnsupportedError

TOP = next((Path(p) for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if Path(p, "cgroup.controllers").exists()), None)
LOOP = "while true; do :; done"


@pytest.fixture
def place():
    """A new cgroup, with what its parent hands down; whoever is in it at the end is killed."""
    if TOP is None:
        pytest.skip("there is no version 2")
    made = TOP / f"pyrunc-test-{os.getpid()}-unified"
    made.mkdir()
    yield Place(str(made), str(TOP), ("",))
    (made / "cgroup.kill").write_text("1")
    wait_for(lambda: "populated 0" in (made / "cgroup.events").read_text(), "the cgroup to be empty")
    made.rmdir()


@pytest.fixture
def loops(place):
    """Three processes in it that do nothing but run."""
    line = f"echo 0 >{place.directory}/cgroup.procs && {LOOP}"
    started = [subprocess.Popen(["sh", "-c", line]) for _ in range(3)]
    wait_for(lambda: len(fs.pids(place.directory)) == 3, "three processes")
    yield started
    for each in started:
        each.kill()
        each.wait()


def file(place, name):
    path = Path(place.directory, name)
    if not path.exists():
        pytest.skip(f"this cgroup has no {name}")
    return path


def test_freezing(place, loops):
    freezer.set_frozen((place,), frozen=True)
    assert freezer.is_frozen((place,))
    before = file(place, "cpu.stat").read_text().splitlines()[0]
    time.sleep(0.2)
    assert file(place, "cpu.stat").read_text().splitlines()[0] == before
    freezer.set_frozen((place,), frozen=False)
    assert not freezer.is_frozen((place,))
    wait_for(lambda: file(place, "cpu.stat").read_text().splitlines()[0] != before, "them to go on")


@pytest.mark.parametrize("frozen", [False, True])
def test_killing_all_at_once(place, loops, frozen):
    if frozen:
        freezer.set_frozen((place,), frozen=True)
    fs.signal_all((place,), signal.SIGKILL)
    assert [each.wait(5) for each in loops] == [-signal.SIGKILL] * 3


def test_statistics(place, loops):
    wait_for(lambda: stats((place,))["cpu"]["usage"].get("total", 0) > 10_000_000, "ten milliseconds")
    found = stats((place,))
    assert set(found) == {
        "cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces",
    }  # fmt: skip
    usage = found["cpu"]["usage"]
    assert abs(usage["kernel"] + usage["user"] - usage["total"]) < 10_000
    if file(place, "cpu.pressure").exists():
        psi = found["cpu"]["psi"]
        assert set(psi["some"]) == {"avg10", "avg60", "avg300", "total"}
        assert isinstance(psi["some"]["total"], int)
    sizes = {path.name.split(".")[1] for path in Path(place.directory).glob("hugetlb.*.current")}
    assert set(found["hugetlb"]) == sizes


def test_a_missing_controller_is_named(place):
    have = file(place, "cgroup.controllers").read_text().split()
    missing = next((each for each in ("memory", "cpu", "rdma", "misc") if each not in have), None)
    if missing is None:
        pytest.skip("none is missing")
    with pytest.raises(UnsupportedError) as caught:
        limits.apply((place,), (Write(missing, f"{missing}.max", "1", "/linux/resources/x/limit"),))
    assert f"cgroup controller {missing} is not available" in caught.value.message
    assert caught.value.pointer == "/linux/resources/x/limit"


def test_what_is_optional(place):
    limits.apply((place,), (Write("", "cgroup.nonsense", "1", "/p", optional=True),))
    limits.apply((place,), (Write("", "cgroup.nonsense", "1", "/p", other=("cgroup.max.depth", "7")),))
    assert file(place, "cgroup.max.depth").read_text() == "7\n"
    with pytest.raises(OpError, match=r"cgroup\.nonsense"):
        limits.apply((place,), (Write("", "cgroup.nonsense", "1", "/p"),))


def test_all_or_nothing(place):
    page = file(place, "hugetlb.2MB.max")
    page.write_text("4194304")
    good = [Write("", "cgroup.max.depth", "3", "/p"), Write("hugetlb", "hugetlb.2MB.max", "8388608", "/p")]
    with pytest.raises(OpError, match=r"invalid argument \(at /q; "):
        limits.update((place,), [*good, Write("", "cgroup.max.descendants", "nonsense", "/q")])
    assert file(place, "cgroup.max.depth").read_text() == "max\n"
    assert page.read_text() == "4194304\n"
    limits.update((place,), good)
    assert page.read_text() == "8388608\n"
