"""Why the kernel refuses a value of a cgroup file: the rules, over directories that look like a hierarchy."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.lists import members
from pyrunc.cgroup.reasons import Group, lacks, reason

PERIOD, QUOTA, BURST = "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us"
RUNTIME, RT_PERIOD = "cpu.rt_runtime_us", "cpu.rt_period_us"
LIMIT, SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


def refused(root: Path, file: str, value: str, **written: str) -> int:
    """Return the errno for VALUE of FILE in cgroup /parent/own below ROOT, to which WRITTEN goes before; 0 for none."""
    group = Group(f"{root}/parent/own", str(root), {name.replace("__", "."): text for name, text in written.items()})
    found = reason(Write("x", file, value, "/at"), group)
    assert found is None or found.hint
    return found.errno if found else 0


def make(root: Path, **files: str) -> None:
    """Write FILES of the parent cgroup below ROOT."""
    (root / "parent").mkdir(exist_ok=True)
    for name, text in files.items():
        (root / "parent" / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("file", "value", "code"),
    [
        (PERIOD, "999", errno.EINVAL),
        (PERIOD, "1000", 0),
        (PERIOD, "1000000", 0),
        (PERIOD, "1000001", errno.EINVAL),
        (QUOTA, "999", errno.EINVAL),
        (QUOTA, "1000", 0),
        (QUOTA, "-1", 0),
        (QUOTA, str((1 << 44) - 1), 0),
        (QUOTA, str(1 << 44), errno.EINVAL),
        ("cpu.max", "max 100000", 0),
        ("cpu.max", "max 10", errno.EINVAL),
        ("cpu.max", "500 100000", errno.EINVAL),
        ("cpu.max", "1000", 0),
        ("cpu.idle", "1", 0),
        ("cpu.idle", "2", errno.EINVAL),
        ("cpu.idle", "-1", errno.EINVAL),
        ("pids.max", "max", 0),
        ("pids.max", "4194304", 0),
        ("pids.max", "4194305", errno.EINVAL),
        (LIMIT, "-1", 0),
        (LIMIT, "-2", errno.EINVAL),
        (LIMIT, "4096", 0),
        ("memory.soft_limit_in_bytes", "-7", errno.EINVAL),
        (SWAP, "1000000", errno.EINVAL),
        (SWAP, "-1", 0),
        (SWAP, str((1 << 63) - 1), 0),
        ("blkio.throttle.read_bps_device", "4000:7 1", errno.ENODEV),
        ("io.max", "4000:7 rbps=1", errno.ENODEV),
        ("net_prio.ifpriomap", "nosuch0 1", errno.ENODEV),
        ("net_prio.ifpriomap", "lo 1", 0),
        ("cpu.shares", "1", 0),
        ("memory.high", "whatever", 0),
    ],
)
def test_a_value_alone(tmp_path, file, value, code):
    make(tmp_path)
    assert refused(tmp_path, file, value) == code


@pytest.mark.parametrize(
    ("burst", "quota", "code"),
    [("100", "-1", 0), ("1000", "1000", 0), ("1001", "1000", errno.EINVAL), (str(1 << 62), "-1", errno.EINVAL)],
)
def test_a_burst_is_within_its_quota(tmp_path, burst, quota, code):
    make(tmp_path)
    assert refused(tmp_path, BURST, burst, **{QUOTA.replace(".", "__"): quota}) == code


@pytest.mark.parametrize(("swap", "code"), [("8191", errno.EINVAL), ("8192", 0), ("12000", 0)])
def test_swap_holds_memory_too(tmp_path, swap, code):
    """In whole pages."""
    make(tmp_path)
    assert refused(tmp_path, SWAP, swap, memory__limit_in_bytes="8200") == code


@pytest.mark.parametrize(
    ("above", "quota", "period", "code"),
    [
        ("-1", "1000000", "100000", 0),
        ("50000", "50000", "100000", 0),
        ("50000", "50001", "100000", errno.EINVAL),
        ("50000", "6000", "10000", errno.EINVAL),
    ],
)
def test_no_more_time_than_the_cgroups_above(tmp_path, above, quota, period, code):
    make(tmp_path, cpu__cfs_quota_us=above, cpu__cfs_period_us="100000")
    assert refused(tmp_path, QUOTA, quota, cpu__cfs_period_us=period) == code


@pytest.mark.parametrize(
    ("runtime", "given", "code"),
    [
        ("1000", "950000", 0),
        ("950000", "950000", 0),
        ("950001", "950000", errno.EINVAL),
        ("1", "0", errno.EINVAL),
        ("-1", "950000", errno.EINVAL),
    ],
)
def test_realtime_comes_from_the_parent(tmp_path, runtime, given, code):
    make(tmp_path, cpu__rt_runtime_us=given, cpu__rt_period_us="1000000")
    assert refused(tmp_path, RUNTIME, runtime) == code


def test_realtime_that_a_sibling_has(tmp_path):
    make(tmp_path, cpu__rt_runtime_us="500000", cpu__rt_period_us="1000000")
    (tmp_path / "parent/other").mkdir()
    (tmp_path / "parent/other" / RUNTIME).write_text("400000")
    (tmp_path / "parent/other" / RT_PERIOD).write_text("1000000")
    assert refused(tmp_path, RUNTIME, "90000") == 0
    assert refused(tmp_path, RUNTIME, "200000") == errno.EINVAL


def test_realtime_below_a_parent_that_is_still_to_be_made(tmp_path):
    assert refused(tmp_path, RUNTIME, "1000") == errno.EINVAL
    assert refused(tmp_path, RUNTIME, "1", cpu__rt_period_us="10000000") == 0
    assert refused(tmp_path, RUNTIME, "2000", cpu__rt_period_us="1000") == errno.EINVAL
    assert refused(tmp_path, RT_PERIOD, str(1 << 63)) == errno.EINVAL


@pytest.mark.parametrize(
    ("value", "code"), [("0", 0), (" 0 ", 0), ("a", errno.EINVAL), ("0-", errno.EINVAL), ("9000", errno.ERANGE), ("all", 0)]
)
def test_processors_of_the_machine(tmp_path, value, code):
    make(tmp_path)
    assert refused(tmp_path, "cpuset.cpus", value) == code


def test_processors_of_the_parent(tmp_path):
    """In version 1; version 2 takes what the parent has of them."""
    make(tmp_path, cpuset__cpus="7000")
    assert refused(tmp_path, "cpuset.cpus", "0") == errno.EACCES
    (tmp_path / "cgroup.controllers").write_text("cpuset")
    assert refused(tmp_path, "cpuset.cpus", "0") == 0


@pytest.mark.parametrize(
    ("file", "other", "missing"),
    [("memory.high", "", False), ("memory.nosuch", "", True), ("memory.nosuch", "memory.high", False)],
)
def test_a_file_that_the_kernel_does_not_offer(tmp_path, file, other, missing):
    """A cgroup above, or beside, shows which there are; the root has others."""
    write, group = Write("memory", file, "1", "/at", (other, "1")), Group(f"{tmp_path}/new/own", str(tmp_path), {})
    assert lacks(write, group) is False  # nobody shows it
    make(tmp_path, memory__high="max")
    assert lacks(write, group) is missing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("", set()),
        ("1-0", None),
        ("0,", {0}),
        ("0-9:2/4", {0, 1, 4, 5, 8, 9}),
        ("0-9:2", None),
        ("0-9:3/2", None),
        ("x", None),
        ("-1", None),
        ("0 1", {0, 1}),
        ("99999999", None),
    ],
)
def test_lists(text, found):
    assert members(text) == found
