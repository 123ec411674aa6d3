"""The knob table: each resource as both versions write it, side by side, and in which order an update does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroup import devices, knobs, properties, writeorder
from pyrunc.cgroup.knobs import Write
from pyrunc.container.merge import merged
from pyrunc.errors import ConfigError, PyruncError, UnsupportedError
from pyrunc.oci import resources as records

ROOT = Path(__file__).parents[1]
DEVICE = {"major": 8, "minor": 16}


def parse(document):
    return records.resources(document, knobs.ROOT)


def written(document, *, unified, asked=None):
    """Return "controller file value", or what else, of each write; the error's first words if there is one."""
    try:
        found = knobs.writes(parse(document), unified=unified, asked=None if asked is None else parse(asked))
    except UnsupportedError as error:
        return f"refused at {error.pointer.removeprefix(knobs.ROOT)}"
    return [
        f"{w.controller or '-'} {w.file} {w.value}"
        + (f" or {w.other[0]} {w.other[1]}" if w.other[0] else "")
        + (" (optional)" if w.optional else "")
        for w in found
    ]


# document, version 1, version 2
GOLDEN = [
    ({"cpu": {"mems": "0", "cpus": "0-3,7"}}, ["cpuset cpuset.mems 0", "cpuset cpuset.cpus 0-3,7"], ...),
    (
        {"cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 950000}},
        ["cpu cpu.rt_period_us 1000000", "cpu cpu.rt_runtime_us 950000"],
        "refused at /cpu/realtimePeriod",
    ),
    ({"cpu": {"shares": 2}}, ["cpu cpu.shares 2"], ["cpu cpu.weight 1"]),
    ({"cpu": {"shares": 3}}, ["cpu cpu.shares 3"], ["cpu cpu.weight 2"]),
    ({"cpu": {"shares": 512}}, ["cpu cpu.shares 512"], ["cpu cpu.weight 59"]),
    ({"cpu": {"shares": 1024}}, ["cpu cpu.shares 1024"], ["cpu cpu.weight 100"]),
    ({"cpu": {"shares": 2048}}, ["cpu cpu.shares 2048"], ["cpu cpu.weight 174"]),
    ({"cpu": {"shares": 10240}}, ["cpu cpu.shares 10240"], ["cpu cpu.weight 639"]),
    ({"cpu": {"shares": 262143}}, ["cpu cpu.shares 262143"], ["cpu cpu.weight 10000"]),
    ({"cpu": {"shares": 262144}}, ["cpu cpu.shares 262144"], ["cpu cpu.weight 10000"]),
    ({"cpu": {"idle": 1}}, ["cpu cpu.idle 1"], ...),
    ({"cpu": {"idle": 0}}, ["cpu cpu.idle 0 (optional)"], ...),
    (
        {"cpu": {"quota": 50000, "period": 200000}},
        ["cpu cpu.cfs_period_us 200000", "cpu cpu.cfs_quota_us 50000"],
        ["cpu cpu.max 50000 200000"],
    ),
    ({"cpu": {"quota": 50000}}, ["cpu cpu.cfs_quota_us 50000"], ["cpu cpu.max 50000"]),
    ({"cpu": {"period": 200000}}, ["cpu cpu.cfs_period_us 200000"], ["cpu cpu.max max 200000"]),
    ({"cpu": {"quota": -1}}, ["cpu cpu.cfs_quota_us -1"], ["cpu cpu.max max"]),
    ({"cpu": {"burst": 5}}, ["cpu cpu.cfs_burst_us 5"], ["cpu cpu.max.burst 5"]),
    ({"cpu": {"burst": 0}}, ["cpu cpu.cfs_burst_us 0 (optional)"], ["cpu cpu.max.burst 0 (optional)"]),
    ({"pids": {"limit": 42}}, ["pids pids.max 42"], ...),
    ({"pids": {"limit": -1}}, ["pids pids.max max"], ...),
    ({"pids": {"limit": 0}}, ["pids pids.max 1"], ...),
    ({"memory": {"limit": 100}}, ["memory memory.limit_in_bytes 100"], ["memory memory.max 100"]),
    (
        {"memory": {"limit": -1}},
        ["memory memory.limit_in_bytes -1", "memory memory.memsw.limit_in_bytes -1 (optional)"],
        ["memory memory.max max", "memory memory.swap.max max (optional)"],
    ),
    (
        {"memory": {"limit": 100, "swap": 150}},
        ["memory memory.limit_in_bytes 100", "memory memory.memsw.limit_in_bytes 150"],
        ["memory memory.max 100", "memory memory.swap.max 50"],
    ),
    (
        {"memory": {"limit": 100, "swap": 100}},
        ["memory memory.limit_in_bytes 100", "memory memory.memsw.limit_in_bytes 100"],
        ["memory memory.max 100", "memory memory.swap.max 0"],
    ),
    (
        {"memory": {"limit": 100, "swap": -1}},
        ["memory memory.limit_in_bytes 100", "memory memory.memsw.limit_in_bytes -1 (optional)"],
        ["memory memory.max 100", "memory memory.swap.max max (optional)"],
    ),
    ({"memory": {"reservation": 9}}, ["memory memory.soft_limit_in_bytes 9"], ["memory memory.low 9"]),
    ({"memory": {"reservation": -1}}, ["memory memory.soft_limit_in_bytes -1"], ["memory memory.low max"]),
    ({"memory": {"kernel": 9, "useHierarchy": True, "checkBeforeUpdate": True}}, [], []),
    ({"memory": {"kernelTCP": 9}}, ["memory memory.kmem.tcp.limit_in_bytes 9"], "refused at /memory/kernelTCP"),
    ({"memory": {"swappiness": 0}}, ["memory memory.swappiness 0"], "refused at /memory/swappiness"),
    ({"memory": {"swappiness": (1 << 64) - 1}}, [], []),
    ({"memory": {"disableOOMKiller": True}}, ["memory memory.oom_control 1"], "refused at /memory/disableOOMKiller"),
    ({"memory": {"disableOOMKiller": False}}, [], []),
    (
        {"blockIO": {"weight": 500}},
        ["blkio blkio.bfq.weight 500 or blkio.weight 500"],
        ["io io.bfq.weight 500 or io.weight 4950"],
    ),
    ({"blockIO": {"leafWeight": 500}}, ["blkio blkio.leaf_weight 500"], "refused at /blockIO/leafWeight"),
    (
        {"blockIO": {"weightDevice": [{**DEVICE, "weight": 10}]}},
        ["blkio blkio.bfq.weight_device 8:16 10 or blkio.weight_device 8:16 10"],
        ["io io.bfq.weight 8:16 10 or io.weight 8:16 1"],
    ),
    (
        {"blockIO": {"weightDevice": [{**DEVICE, "leafWeight": 10}]}},
        ["blkio blkio.leaf_weight_device 8:16 10"],
        "refused at /blockIO/weightDevice/0/leafWeight",
    ),
    *(
        (
            {"blockIO": {f"throttle{name}Device": [{**DEVICE, "rate": rate}]}},
            [f"blkio blkio.throttle.{v1}_device 8:16 {rate}"],
            [f"io io.max 8:16 {v2}={rate or 'max'}"],
        )
        for rate in (77, 0)
        for name, v1, v2 in (
            ("ReadBps", "read_bps", "rbps"),
            ("WriteBps", "write_bps", "wbps"),
            ("ReadIOPS", "read_iops", "riops"),
            ("WriteIOPS", "write_iops", "wiops"),
        )
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
        ["hugetlb hugetlb.2MB.limit_in_bytes 0", "hugetlb hugetlb.2MB.rsvd.limit_in_bytes 0 (optional)"],
        ["hugetlb hugetlb.2MB.max 0", "hugetlb hugetlb.2MB.rsvd.max 0 (optional)"],
    ),
    ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, ["rdma rdma.max mlx5_1 hca_handle=3"], ...),
    (
        {"rdma": {"mlx5_1": {"hcaHandles": 0, "hcaObjects": 10000}}},
        ["rdma rdma.max mlx5_1 hca_handle=0 hca_object=10000"],
        ...,
    ),
    ({"rdma": {"mlx5_1": {}}}, [], []),
    ({"network": {"classID": 1048577}}, ["net_cls net_cls.classid 1048577"], "refused at /network/classID"),
    (
        {"network": {"priorities": [{"name": "eth0", "priority": 5}]}},
        ["net_prio net_prio.ifpriomap eth0 5"],
        "refused at /network/priorities/0",
    ),
    (
        {"unified": {"memory.high": "9", "cgroup.max.depth": "3", "io.max": "8:0 rbps=1\n8:16 wbps=2"}},
        "refused at /unified/memory.high",
        ["memory memory.high 9", "- cgroup.max.depth 3", "io io.max 8:0 rbps=1", "io io.max 8:16 wbps=2"],
    ),
    ({"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""}, "memory": {"limit": 0}, "pids": {}}, [], []),
]


@pytest.mark.parametrize(("document", "v1", "v2"), GOLDEN, ids=lambda v: str(v)[:60] if isinstance(v, dict) else "")
def test_both_versions(document, v1, v2):
    assert written(document, unified=False) == v1
    assert written(document, unified=True) == (v1 if v2 is ... else v2)


SIDE_BY_SIDE = ROOT / "tests/golden/resources.txt"


def told(document, *, unified):
    """Return what systemd is told of DOCUMENT."""
    try:
        found = properties.of_writes(knobs.writes(parse(document), unified=unified), unified=unified)
    except UnsupportedError:
        return []
    return [f"{name}={value.hex() if isinstance(value, bytes) else value}" for name, _, value in found]


def test_side_by_side(request):
    """Each golden document: what version 1 and version 2 write, and what systemd is told on each."""
    lines = []
    for document, _, _ in GOLDEN:
        lines.append(json.dumps(document))
        for unified in (False, True):
            found = written(document, unified=unified)
            shown = found if isinstance(found, str) else "; ".join(found) or "nothing"
            lines.append(f"    version {1 + unified}: {shown}")
            lines.append(f"    systemd:   {', '.join(told(document, unified=unified)) or 'nothing'}")
    if request.config.getoption("--update-golden"):
        SIDE_BY_SIDE.write_text("\n".join(lines) + "\n")
    assert lines == SIDE_BY_SIDE.read_text().splitlines()


@pytest.mark.parametrize(
    ("document", "weight"),
    [
        ({"cpu": {"idle": 1}}, ["CPUWeight=0"]),
        ({"cpu": {"idle": 1, "shares": 512}}, ["CPUWeight=0"]),
        ({"cpu": {"idle": 0, "shares": 512}}, ["CPUWeight=59"]),
        ({"cpu": {"idle": 0}}, [f"CPUWeight={(1 << 64) - 1}"]),
        ({"unified": {"cpu.idle": "1"}}, ["CPUWeight=0"]),
        ({"unified": {"pids.max": "0"}}, ["TasksMax=1"]),
        ({"unified": {"memory.high": "max"}}, [f"MemoryHigh={(1 << 64) - 1}"]),
    ],
)
def test_what_systemd_has_other_words_for(document, weight):
    """A group that idles has the weight 0 (systemd 252), and there is no limit of 0 processes; 2^64-1 is none."""
    assert told(document, unified=True) == weight


def test_every_row_has_a_golden_document():
    """A row that nothing above sets is one that no test knows."""
    kept = knobs.KNOBS
    for knob in kept:
        parts = [part for part in knob.path.split("/") if part != "*"]
        assert any(_names(document, parts) for document, _, _ in GOLDEN), knob.path


def _names(node, parts):
    if isinstance(node, list):
        return any(_names(item, parts) for item in node)
    return not parts or (parts[0] in node and (len(parts) == 1 or _names(node[parts[0]], parts[1:])))


@pytest.mark.parametrize(
    ("document", "unified", "pointer"),
    [
        ({"memory": {"limit": 100, "swap": 50}}, False, "/memory/swap"),
        ({"memory": {"limit": 100, "swap": 50}}, True, "/memory/swap"),
        ({"memory": {"swap": 50}}, True, "/memory/swap"),
        ({"memory": {"limit": -1, "swap": 50}}, True, "/memory/swap"),
        ({"blockIO": {"weight": 9}}, False, "/blockIO/weight"),
        ({"cpu": {"shares": 1}}, False, "/cpu/shares"),
        ({"cpu": {"shares": 262145}}, False, "/cpu/shares"),
        ({"blockIO": {"weight": 1001}}, True, "/blockIO/weight"),
        ({"blockIO": {"weightDevice": [{**DEVICE, "weight": 9}]}}, True, "/blockIO/weightDevice/0/weight"),
        ({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}, True, "/hugepageLimits/0/pageSize"),
        ({"unified": {"a/b.c": "1"}}, True, "/unified/a~1b.c"),
        ({"unified": {"nodot": "1"}}, True, "/unified/nodot"),
        ({"unified": {".hidden": "1"}}, True, "/unified/.hidden"),
    ],
)
def test_nonsense(document, unified, pointer):
    with pytest.raises(ConfigError) as caught:
        knobs.writes(parse(document), unified=unified)
    assert caught.value.pointer == knobs.ROOT + pointer


# Updates


@pytest.mark.parametrize(
    ("asked", "v1", "v2"),
    [
        ({"pids": {"limit": 5}}, ["pids pids.max 5"], ["pids pids.max 5"]),
        ({"cpu": {"period": 9}}, ["cpu cpu.cfs_period_us 9"], ["cpu cpu.max 50 9"]),
        ({"cpu": {"quota": 7}}, ["cpu cpu.cfs_quota_us 7"], ["cpu cpu.max 7 100"]),
        (
            {"memory": {"limit": 90}},
            ["memory memory.limit_in_bytes 90", "memory memory.memsw.limit_in_bytes 200"],
            ["memory memory.max 90", "memory memory.swap.max 110"],
        ),
        ({"memory": {"reservation": 3}}, ["memory memory.soft_limit_in_bytes 3"], ["memory memory.low 3"]),
        ({"memory": {"limit": 0}, "cpu": {"shares": 0}, "pids": {}}, [], []),
        ({"pids": {"limit": 0}}, ["pids pids.max 1"], ["pids pids.max 1"]),
        ({"cpu": {"idle": 0}}, ["cpu cpu.idle 0 (optional)"], ["cpu cpu.idle 0 (optional)"]),
    ],
)
def test_an_update_writes_what_it_changes(asked, v1, v2):
    old = {"memory": {"limit": 100, "swap": 200}, "cpu": {"quota": 50, "period": 100, "shares": 5}, "pids": {"limit": 3}}
    new = merged(old, asked)
    assert written(new, unified=False, asked=asked) == v1
    assert written(new, unified=True, asked=asked) == v2


def test_shares_beyond_their_range_on_version_2():
    assert written({"cpu": {"shares": 1}}, unified=True) == ["cpu cpu.weight 1"]
    assert written({"cpu": {"shares": 999999}}, unified=True) == ["cpu cpu.weight 10000"]


def test_swappiness_that_an_engine_wrote_for_none():
    """Minus one, as an unsigned number of 64 bits; what is really too much is refused before the kernel, which takes 200."""
    old = {"memory": {"swappiness": 30}}
    assert merged(old, {"memory": {"swappiness": (1 << 64) - 1}}) == old
    with pytest.raises(ConfigError, match=r"invalid memory swappiness value: 101 \(valid range is 0-100\)"):
        knobs.writes(parse({"memory": {"swappiness": 101}}), unified=False)


def test_merging():
    old = {"memory": {"limit": 1, "swap": 2}, "cpu": {"idle": 1, "cpus": "0"}}
    old["hugepageLimits"] = [{"pageSize": "2MB", "limit": 1}]
    old["blockIO"] = {"throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 3}]}
    new = {
        "memory": {"limit": 0, "swap": 5, "checkBeforeUpdate": False},
        "cpu": {"idle": 0, "cpus": "", "quota": -1},
        "pids": None,
        "hugepageLimits": [{"pageSize": "1GB", "limit": 0}, {"pageSize": "2MB", "limit": 7}],
        "blockIO": {"throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 0}], "weight": 0},
        "unified": {"memory.high": "3"},
    }
    before = str(old)
    assert merged(old, new) == {
        "memory": {"limit": 1, "swap": 5, "checkBeforeUpdate": False},
        "cpu": {"idle": 0, "cpus": "0", "quota": -1},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 7}, {"pageSize": "1GB", "limit": 0}],
        "blockIO": {"throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 0}]},
        "unified": {"memory.high": "3"},
    }
    assert str(old) == before


SECTIONS = {
    "memory": "limit reservation swap kernel kernelTCP swappiness disableOOMKiller checkBeforeUpdate",
    "cpu": "shares quota burst period realtimeRuntime realtimePeriod cpus mems idle",
    "pids": "limit",
    "blockIO": "weight leafWeight weightDevice throttleReadBpsDevice",
    "network": "classID priorities",
    "other": "field",
}
NUMBERS = st.integers(0, 9)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 1 << 40),
    st.sampled_from(["", "0", "x"]),
    st.lists(st.fixed_dictionaries({"major": NUMBERS, "minor": NUMBERS}, optional={"weight": st.integers(0, 99)})),
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(st.none(), st.fixed_dictionaries({}, optional=dict.fromkeys(fields.split(), VALUES)), st.just(5))
        for name, fields in SECTIONS.items()
    },
)


@given(DOCUMENTS, DOCUMENTS, st.booleans())
def test_any_update_of_anything_is_written_or_refused(old, change, unified):
    """And a second one of the same asks for the same: what is remembered is what was written."""
    try:
        asked, _ = parse(change), parse(old)
        new = merged(old, change)
        found = knobs.writes(parse(new), unified=unified, asked=asked)
    except PyruncError as error:
        assert error.pointer.startswith(knobs.ROOT)  # noqa: PT017 - being refused is fine
        return
    assert merged(new, change) == new
    assert knobs.writes(parse(merged(new, change)), unified=unified, asked=asked) == found
    assert {write.pointer for write in found} <= {write.pointer for write in knobs.writes(parse(new), unified=unified)}


def in_write_order(document, unified, now):
    found = knobs.writes(parse(document), unified=unified)
    return [f"{write.file} {write.value}" for write in writeorder.in_write_order(found, now)]


@pytest.mark.parametrize(
    ("memory", "swap", "now", "first"),
    [
        (100, 100, 50, "memsw"),
        (100, 200, 150, "limit"),
        (100, 200, 100, "limit"),
        (101, 200, 100, "memsw"),
        (-1, -1, 100, "memsw"),
        (10, 10, 100, "limit"),
    ],
)
def test_memory_and_swap(memory, swap, now, first):
    files = in_write_order({"memory": {"limit": memory, "swap": swap}}, False, {"memory.memsw.limit_in_bytes": f"{now}\n"})
    assert first in files[0]
    assert len(files) == 2


def test_no_step_asks_for_more_than_both_ends():
    """Quota, period and burst in every direction: the ratio never rises above the larger, the burst never above the quota."""
    values = (2000, 10000, 90000)
    for quota, period, burst in [(q, p, b) for q in values for p in values for b in (0, 2000, 9000, 90000) if b <= q]:
        for quota2, period2, burst2 in [(q, p, b) for q in values for p in values for b in (0, 2000, 9000, 90000) if b <= q]:
            now = {"cpu.cfs_period_us": str(period), "cpu.cfs_burst_us": str(burst), "cpu.max.burst": str(burst)}
            document = {"cpu": {"quota": quota2, "period": period2, "burst": burst2}}
            state = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": period, "cpu.cfs_burst_us": burst}
            most = max(quota / period, quota2 / period2)
            for line in in_write_order(document, False, now):
                file, value = line.split()
                state[file] = int(value)
                assert state["cpu.cfs_quota_us"] / state["cpu.cfs_period_us"] <= most
                assert state["cpu.cfs_burst_us"] <= state["cpu.cfs_quota_us"]
            limit, extra = quota, burst
            for line in in_write_order(document, True, now):
                file, value = line.split(maxsplit=1)
                limit, extra = (int(value.split()[0]), extra) if file == "cpu.max" else (limit, int(value))
                assert extra <= limit


def test_idle():
    assert in_write_order({"cpu": {"idle": 1, "shares": 9}}, False, {}) == ["cpu.shares 9", "cpu.idle 1"]
    assert in_write_order({"cpu": {"idle": 0, "shares": 9}}, True, {}) == ["cpu.idle 0", "cpu.weight 3"]


# Devices


def rules(*lines):
    rows = (line.split() for line in lines)
    made = (devices.Rule(True, kind, int(major), int(minor), access) for kind, major, minor, access in rows)
    return (*devices.DEFAULTS, *made)


def test_device_rules_change_by_what_differs():
    present = "\n".join(
        f"{rule.type} {'*' if rule.major < 0 else rule.major}:{'*' if rule.minor < 0 else rule.minor} {rule.access}"
        for rule in rules("c 10 229 rwm", "b 8 0 r")
    )
    assert devices.v1_change(present, rules("c 10 229 rwm", "b 8 0 r")) == []
    found = [(file, line) for file, line, _ in devices.v1_change(present, rules("c 10 229 r", "b 8 0 rw", "c 7 7 m"))]
    assert found == [("devices.allow", "b 8:0 w"), ("devices.allow", "c 7:7 m"), ("devices.deny", "c 10:229 mw")]
    everything = (devices.Rule(True, "a", -1, -1, "rwm"),)
    assert [line[:2] for line in devices.v1_change(present, everything)] == [("devices.allow", "a")]
    assert [line[:2] for line in devices.v1_change("a *:* rwm\n", everything)] == [("devices.allow", "a")]
    hole = (*everything, devices.Rule(False, "c", 10, 229, "rw"))
    lines = [line[:2] for line in devices.v1_change("a *:* rwm\n", hole)]
    assert lines == [("devices.allow", "a"), ("devices.deny", "c 10:229 rw")]
    assert devices.v1_change("a *:* rwm\n", rules())[0][:2] == ("devices.deny", "a")


# The document


def test_the_document_is_current():
    done = subprocess.run([sys.executable, ROOT / "script/resources.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_writes_are_records():
    """What the plan shows, and golden plans compare, has the pointer of who asked."""
    found = knobs.writes(parse({"pids": {"limit": 5}}), unified=False)
    assert found == [Write("pids", "pids.max", "5", "/linux/resources/pids/limit")]
    assert issubclass(UnsupportedError, PyruncError)
