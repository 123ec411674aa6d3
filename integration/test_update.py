"""update: limits read back from the kernel's files, their effect seen, and what later commands know of them."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.crash import Victim, every
from integration.harness.runtime import wait_for
from integration.looking import before_1_4, cgroup_of, give, has_controller, knob, unified

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

MIB = 1 << 20
ENDLESS = "9223372036854771712"  # what version 1 shows of -1
DENY = {"allow": False, "access": "rwm"}


def limited(b: Bundle, **resources: Any) -> Bundle:
    b.linux["resources"] = resources
    return b


def shown(runtime: Runtime, name: str, controller: str, v1: str, v2: str) -> str:
    """Return what the file of this machine's version says."""
    return knob(runtime, name, "" if unified() else controller, v2 if unified() else v1)


def sends(runtime: Runtime, name: str, document: object, **options: Any) -> Any:
    """Update container NAME by DOCUMENT on standard input."""
    return runtime("update", "-r", "-", name, input=json.dumps(document), **options)


# Each option: its value, the controller, its file and value in version 1, and in version 2

OPTIONS = [
    (("--memory", "50M"), "memory", ("memory.limit_in_bytes", str(50 * MIB)), ("memory.max", str(50 * MIB))),
    (("--memory", "1g"), "memory", ("memory.limit_in_bytes", str(1024 * MIB)), ("memory.max", str(1024 * MIB))),
    (("--memory", "67108864"), "memory", ("memory.limit_in_bytes", str(64 * MIB)), ("memory.max", str(64 * MIB))),
    (("--memory", "-1"), "memory", ("memory.limit_in_bytes", ENDLESS), ("memory.max", "max")),
    (
        ("--memory", "50M", "--memory-swap", "80M"),
        "memory",
        ("memory.memsw.limit_in_bytes", str(80 * MIB)),
        ("memory.swap.max", str(30 * MIB)),
    ),
    (
        ("--memory", "50M", "--memory-swap", "-1"),
        "memory",
        ("memory.memsw.limit_in_bytes", ENDLESS),
        ("memory.swap.max", "max"),
    ),
    (
        ("--memory-reservation", "33M"),
        "memory",
        ("memory.soft_limit_in_bytes", str(33 * MIB)),
        ("memory.low", str(33 * MIB)),
    ),
    (("--memory", ".25g"), "memory", ("memory.limit_in_bytes", str(256 * MIB)), ("memory.max", str(256 * MIB))),
    (("--memory", "1e8"), "memory", ("memory.limit_in_bytes", "99999744"), ("memory.max", "99999744")),
    (("--cpu-quota", "40000"), "cpu", ("cpu.cfs_quota_us", "40000"), ("cpu.max", "40000 100000")),
    (("--cpu-period", "50000"), "cpu", ("cpu.cfs_period_us", "50000"), ("cpu.max", "max 50000")),
    (
        ("--cpu-period", "50000", "--cpu-quota", "20000"),
        "cpu",
        ("cpu.cfs_quota_us", "20000"),
        ("cpu.max", "20000 50000"),
    ),
    (("--cpu-quota", "-1"), "cpu", ("cpu.cfs_quota_us", "-1"), ("cpu.max", "max 100000")),
    (("--cpuset-cpus", "0"), "cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
    (("--cpuset-mems", "0"), "cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0")),
    (("--pids-limit", "17"), "pids", ("pids.max", "17"), ("pids.max", "17")),
    (("--pids-limit", "-1"), "pids", ("pids.max", "max"), ("pids.max", "max")),
    (("--pids-limit", "0x10"), "pids", ("pids.max", "16"), ("pids.max", "16")),
    (("--pids-limit", "010"), "pids", ("pids.max", "8"), ("pids.max", "8")),
    (("--pids-limit", "+5"), "pids", ("pids.max", "5"), ("pids.max", "5")),
    (("--blkio-weight", "200"), "blkio", ("blkio.bfq.weight", "200"), ("io.bfq.weight", "default 200")),
]
NEWER = [
    (("--cpu-share", "512"), "cpu", ("cpu.shares", "512"), ("cpu.weight", "59")),
    (("--cpu-share", "10240"), "cpu", ("cpu.shares", "10240"), ("cpu.weight", "639")),
    (("--pids-limit", "0"), "pids", ("pids.max", "1"), ("pids.max", "1")),
    (("--cpu-idle", "1"), "cpu", ("cpu.idle", "1"), ("cpu.idle", "1")),
    (
        ("--cpu-quota", "40000", "--cpu-burst", "5000"),
        "cpu",
        ("cpu.cfs_burst_us", "5000"),
        ("cpu.max.burst", "5000"),
    ),
]


@pytest.mark.parametrize(("words", "controller", "v1", "v2"), OPTIONS, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_options(runtime, bundle, words, controller, v1, v2):
    name = runtime.start(bundle())
    before = shown(runtime, name, controller, v1[0], v2[0])  # skips where there is no such file
    runtime("update", *words, name)
    assert shown(runtime, name, controller, v1[0], v2[0]) == (v2[1] if unified() else v1[1]), before


@pytest.mark.parametrize(("words", "controller", "v1", "v2"), NEWER, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_newer_options(runtime, bundle, words, controller, v1, v2):
    if before_1_4(runtime.binary):
        pytest.skip("it has no such option, or takes it for something else")
    test_options(runtime, bundle, words, controller, v1, v2)


@pytest.mark.parametrize("form", ["-", "file"])
def test_a_document(runtime, bundle, form):
    name = runtime.start(bundle())
    document = {
        "memory": {"limit": 40 * MIB},
        "cpu": {"shares": 100, "quota": 30000, "period": 60000},
        "pids": {"limit": 9},
    }
    if form == "-":
        sends(runtime, name, document)
    else:
        path = runtime.directory / "resources.json"
        path.write_text(json.dumps(document))
        runtime("update", "--resources", str(path), name)
    assert shown(runtime, name, "memory", "memory.limit_in_bytes", "memory.max") == str(40 * MIB)
    assert shown(runtime, name, "cpu", "cpu.cfs_quota_us", "cpu.max").startswith("30000")
    assert shown(runtime, name, "pids", "pids.max", "pids.max") == "9"


@pytest.mark.parametrize("limit", [{"limit": 0}, {"limit": None}, {}, None])
def test_zero_processes_in_a_document(runtime, bundle, limit):
    """Zero is one; what says nothing changes nothing."""
    if before_1_4(runtime.binary) or (runtime.name == "runc" and limit is None):
        pytest.skip("1.1 takes 0 for none, and all of them crash at null")
    name = runtime.start(limited(bundle(), pids={"limit": 40}))
    sends(runtime, name, {"pids": limit})
    assert shown(runtime, name, "pids", "pids.max", "pids.max") == ("1" if limit == {"limit": 0} else "40")
    runtime("update", "--memory", "200M", name)
    assert shown(runtime, name, "pids", "pids.max", "pids.max") == ("1" if limit == {"limit": 0} else "40")


@pytest.mark.parametrize("text", ["null", "{}"])
def test_a_document_that_says_nothing(runtime, bundle, text):
    name = runtime.start(limited(bundle(), pids={"limit": 40}))
    assert runtime("update", "-r", "-", name, input=text).stdout == ""
    assert shown(runtime, name, "pids", "pids.max", "pids.max") == "40"


def test_letters_of_access_that_mean_nothing(runtime, bundle):
    rules = [DENY, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwa"}]
    name = runtime.start(bundle())
    sends(runtime, name, {"devices": rules, "pids": {"limit": 40}})
    assert shown(runtime, name, "pids", "pids.max", "pids.max") == "40"
    assert runtime.exec(name, "sh", "-c", "echo x >/dev/null && echo open").stdout == "open\n"


@pytest.mark.parametrize("form", ["--kernel-memory", "document"])
def test_limits_that_no_kernel_has_are_warned_of(runtime, bundle, form):
    name = runtime.start(bundle())
    log = runtime.directory / "log"
    words, text = (("--kernel-memory", "50M"), "") if form != "document" else (("-r", "-"), '{"memory":{"kernel":52428800}}')
    done = runtime("--log", str(log), "update", *words, name, input=text)
    assert done.stdout == ""
    assert "level=warning" in log.read_text()
    assert "ernel memory settings are ignored" in log.read_text()


def test_what_an_engine_sends(runtime, bundle):
    """Zeros, empty strings, nulls, and a rule that denies all devices: only the limit of memory changes."""
    b = limited(
        bundle(),
        devices=[DENY],
        memory={"limit": 64 * MIB, "swap": 64 * MIB},
        cpu={"shares": 200, "quota": 50000},
        pids={"limit": 33},
    )
    name = runtime.start(b)
    sends(
        runtime,
        name,
        {
            "devices": [DENY],
            "memory": {"limit": 32 * MIB, "reservation": 0, "swap": 0, "disableOOMKiller": False},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
            "pids": {},
            "blockIO": {"weight": 0},
            "hugepageLimits": None,
        },
    )
    assert shown(runtime, name, "memory", "memory.limit_in_bytes", "memory.max") == str(32 * MIB)
    assert shown(runtime, name, "cpu", "cpu.shares", "cpu.weight") in ("200", "29")
    assert shown(runtime, name, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    if not before_1_4(runtime.binary):  # that takes it for no limit
        assert shown(runtime, name, "pids", "pids.max", "pids.max") == "33"
    assert runtime.exec(name, "sh", "-c", "echo a >/dev/null && echo fine").stdout == "fine\n"


# Up and down


@pytest.mark.v1
def test_memory_and_swap_up_and_down(runtime, bundle):
    """Memory never outgrows memory and swap together, whichever way both go."""
    name = runtime.start(limited(bundle(), memory={"limit": 32 * MIB, "swap": 32 * MIB}))
    for limit, swap in [(64, 64), (128, 256), (32, 32), (256, 256), (16, 300), (300, 300), (16, 16)]:
        runtime("update", "--memory", f"{limit}M", "--memory-swap", f"{swap}M", name)
        assert knob(runtime, name, "memory", "memory.limit_in_bytes") == str(limit * MIB)
        assert knob(runtime, name, "memory", "memory.memsw.limit_in_bytes") == str(swap * MIB)
    runtime("update", "--memory", "-1", "--memory-swap", "-1", name)
    assert knob(runtime, name, "memory", "memory.memsw.limit_in_bytes") == ENDLESS
    runtime("update", "--memory", "16M", "--memory-swap", "16M", name)
    assert knob(runtime, name, "memory", "memory.memsw.limit_in_bytes") == str(16 * MIB)


@pytest.mark.v1
def test_unlimited_memory_is_unlimited_swap(runtime, bundle):
    name = runtime.start(limited(bundle(), memory={"limit": 32 * MIB, "swap": 32 * MIB}))
    if runtime.name == "runc":
        pytest.skip("1.1 of Debian 12 merges the old swap")
    runtime("update", "--memory", "-1", name)
    assert knob(runtime, name, "memory", "memory.limit_in_bytes") == ENDLESS
    assert knob(runtime, name, "memory", "memory.memsw.limit_in_bytes") == ENDLESS


@pytest.mark.v2
def test_swap_follows_memory(runtime, bundle):
    """The configuration counts both together, and version 2 swap alone: it changes with the limit."""
    name = runtime.start(limited(bundle(), memory={"limit": 32 * MIB, "swap": 96 * MIB}))
    runtime("update", "--memory", "64M", name)
    assert knob(runtime, name, "", "memory.swap.max") == str(32 * MIB)


def test_quota_and_period_up_and_down(runtime, bundle):
    """Below a parent with a limit, no step on the way may ask for more than that."""
    b = limited(bundle(), cpu={"quota": 50000, "period": 100000})
    name = runtime.start(b)
    parent = cgroup_of(runtime.pid(name), "cpu").parent
    if unified():
        (parent / "cpu.max").write_text("60000 100000")
    else:
        (parent / "cpu.cfs_quota_us").write_text("60000")
    for quota, period in [(5000, 10000), (400000, 1000000), (1000, 2000), (50000, 100000), (2000, 50000)]:
        runtime("update", "--cpu-quota", str(quota), "--cpu-period", str(period), name)
        found = shown(runtime, name, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0]
        assert found == str(quota)


@pytest.mark.pyrunc_only("1.1 has no burst")
def test_quota_and_burst_up_and_down(runtime, bundle):
    name = runtime.start(limited(bundle(), cpu={"quota": 50000, "period": 100000}))
    shown(runtime, name, "cpu", "cpu.cfs_burst_us", "cpu.max.burst")
    for quota, burst in [(50000, 50000), (10000, 10000), (90000, 80000), (20000, 0), (30000, 30000)]:
        runtime("update", "--cpu-quota", str(quota), "--cpu-burst", str(burst), name)
        assert shown(runtime, name, "cpu", "cpu.cfs_burst_us", "cpu.max.burst") == str(burst)


@pytest.mark.v1
def test_realtime_up_and_down(runtime, bundle):
    """The runtime has to fit into the period at every step, and into the parent's share."""
    name = runtime.start(bundle())
    knob(runtime, name, "cpu", "cpu.rt_runtime_us")
    parent = cgroup_of(runtime.pid(name), "cpu").parent
    (parent / "cpu.rt_runtime_us").write_text("100000")
    values = [(5000, 100000), (90000, 1000000), (1000, 10000), (500, 1000000)]
    for share, period in values[:2] if runtime.name == "runc" else values:  # which always writes the period first
        runtime("update", "--cpu-rt-runtime", str(share), "--cpu-rt-period", str(period), name)
        assert knob(runtime, name, "cpu", "cpu.rt_runtime_us") == str(share)
        assert knob(runtime, name, "cpu", "cpu.rt_period_us") == str(period)


@pytest.mark.pyrunc_only("1.1 does not know idle")
def test_idle_and_back(runtime, bundle):
    name = runtime.start(bundle())
    shown(runtime, name, "cpu", "cpu.idle", "cpu.idle")
    runtime("update", "--cpu-idle", "1", name)
    assert shown(runtime, name, "cpu", "cpu.idle", "cpu.idle") == "1"
    runtime("update", "--cpu-idle", "0", "--cpu-share", "300", name)
    assert shown(runtime, name, "cpu", "cpu.idle", "cpu.idle") == "0"
    assert shown(runtime, name, "cpu", "cpu.shares", "cpu.weight") in ("300", "39")


def test_period_alone_keeps_the_quota(runtime, bundle):
    name = runtime.start(limited(bundle(), cpu={"quota": 20000}))
    runtime("update", "--cpu-period", "80000", name)
    if unified():
        assert knob(runtime, name, "", "cpu.max") == "20000 80000"
    else:
        assert knob(runtime, name, "cpu", "cpu.cfs_quota_us") == "20000"
        assert knob(runtime, name, "cpu", "cpu.cfs_period_us") == "80000"


# What they do


def test_a_lower_memory_limit_kills(runtime, bundle):
    b = bundle("while [ ! -e /data/go ]; do sleep 0.05; done; head -c 100000000 /dev/zero | tail -c 99999999 | wc -c >/data/n")
    name = runtime.start(limited(b, memory={"limit": 512 * MIB}))
    runtime("update", "--memory", "16M", "--memory-swap", "16M", name)
    directory = cgroup_of(runtime.pid(name), "memory")
    (b.rootfs / "data/go").touch()
    events = directory / ("memory.events" if unified() else "memory.oom_control")
    wait_for(lambda: "oom_kill 0" not in events.read_text(), events.read_text, what="an OOM kill")


def test_a_lower_limit_of_processes_refuses_a_fork(runtime, bundle):
    b = bundle("while [ ! -e /data/go ]; do usleep 1000; done; exec 2>/data/err; for i in 1 2 3 4 5 6 7; do sleep 9 & done; wait")
    name = runtime.start(limited(b, pids={"limit": 1000}))
    runtime("update", "--pids-limit", "4", name)
    (b.rootfs / "data/go").touch()
    said = b.rootfs / "data/err"
    wait_for(lambda: said.exists() and "fork" in said.read_text().lower(), "a fork to be refused")


def test_a_lower_quota_throttles(runtime, bundle):
    name = runtime.start(bundle("while true; do :; done"))
    runtime("update", "--cpu-quota", "5000", "--cpu-period", "100000", name)
    stat = cgroup_of(runtime.pid(name), "cpu") / "cpu.stat"
    wait_for(lambda: "nr_throttled 0\n" not in stat.read_text(), stat.read_text, what="throttling")


def test_other_processors_are_used(runtime, bundle):
    name = runtime.start(limited(bundle(), cpu={"cpus": "0"}))
    if len([line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]) < 2:
        pytest.skip("there is one processor only")
    runtime("update", "--cpuset-cpus", "1", name)
    assert "Cpus_allowed_list:\t1\n" in runtime.exec(name, "cat", "/proc/self/status").stdout


# What is remembered


def test_a_second_update_builds_on_the_first(runtime, bundle):
    name = runtime.start(limited(bundle(), memory={"limit": 32 * MIB}))
    runtime("update", "--memory", "32M", "--memory-swap", "64M", name)
    runtime("update", "--pids-limit", "12", name)
    assert shown(runtime, name, "memory", "memory.limit_in_bytes", "memory.max") == str(32 * MIB)
    assert shown(runtime, name, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max") == str(
        (32 if unified() else 64) * MIB
    )
    assert runtime.status(name) == "running"
    assert runtime.exec(name, "echo", "fine").stdout == "fine\n"


@pytest.mark.pyrunc_only("the state directory is its own")
def test_the_saved_configuration_agrees(runtime, bundle):
    b = limited(bundle(), memory={"limit": 64 * MIB, "swap": 64 * MIB}, devices=[DENY])
    name = runtime.start(b)
    sends(runtime, name, {"memory": {"limit": 32 * MIB}, "pids": {"limit": 7}, "devices": [DENY], "cpu": {"cpus": "0"}})
    saved = json.loads((runtime.root / name / "config.json").read_text())
    assert saved["linux"]["resources"] == {
        "memory": {"limit": 32 * MIB, "swap": 64 * MIB},
        "pids": {"limit": 7},
        "cpu": {"cpus": "0"},
        "devices": [DENY],
    }
    saved["linux"]["resources"] = b.linux["resources"]
    assert {**saved, "linux": None} == {**b.config, "linux": None}


# States


def test_states(runtime, bundle):
    name = runtime.create(bundle())
    runtime("update", "--pids-limit", "50", name)
    runtime("start", name)
    runtime("update", "--pids-limit", "51", name)
    runtime("pause", name)
    runtime("update", "--pids-limit", "52", name)
    assert runtime.status(name) == "paused"
    assert shown(runtime, name, "pids", "pids.max", "pids.max") == "52"
    runtime("resume", name)
    runtime.end(name)
    assert "container not running" in runtime.refuses("update", "--pids-limit", "53", name)


def test_no_container(runtime):
    assert "does not exist" in runtime.refuses("update", "--pids-limit", "53", "pyrunc-test-nobody")


def test_nothing_to_change(runtime, bundle):
    name = runtime.start(bundle())
    assert runtime("update", name).stdout == ""


# What is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--memory", "abc"), '"abc" for --memory'),
        (("--memory", "-2"), '"-2" for --memory'),
        (("--memory", "1.2.3M"), '"1.2.3M" for --memory'),
        (("--memory", "99999999999999G"), "too large"),
        (("--memory-swap", "50X"), '"50X" for --memory-swap'),
        (("--pids-limit", "many"), '"many" for --pids-limit'),
        (("--pids-limit=",), '"" for --pids-limit'),
        (("--blkio-weight", "70000"), "at --blkio-weight"),
        (("--cpu-share", "-5"), '"-5" for --cpu-share'),
        (("--cpu-quota", "1e5"), '"1e5" for --cpu-quota'),
        (("--cpu-quota", "5"), "at --cpu-quota"),
        (("--cpu-period", "5"), "at --cpu-period"),
        (("--cpuset-cpus", "999"), "at --cpuset-cpus"),
        (("--cpuset-cpus", "nonsense"), "at --cpuset-cpus"),
        (("--memory", "50M", "--memory-swap", "40M"), "at --memory-swap"),
        (("--blkio-weight", "5"), "at --blkio-weight"),
        (("--l3-cache-schema", "L3:0=f"), "no resctrl file system on this host (at --l3-cache-schema"),
        (("--mem-bw-schema", "MB:0=20"), "no resctrl file system on this host (at --mem-bw-schema"),
        (("--resources", "/no/such/file"), "no such file or directory"),
        (("--resources", "/dev/null"), "invalid JSON"),
        (("--resources", "/dev/null", "--memory", "50M"), "cannot go together"),
    ],
    ids=" ".join,
)
def test_refused_options(runtime, bundle, words, said):
    name = runtime.start(limited(bundle(), pids={"limit": 40}))
    if runtime.name == "runc" and words[0].rstrip("=") in ("--blkio-weight", "--pids-limit", "--resources"):
        pytest.skip("1.1 takes it, or shows its usage")
    found = runtime.refuses("update", *words, name)
    if runtime.name == "pyrunc":
        assert said in found
        assert found.startswith("pyrunc update failed: ")


@pytest.mark.pyrunc_only("words and pointers are pyrunc's")
@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected an object"),
        ({"memory": {"limit": "50M"}}, "at /memory/limit"),
        ({"cpu": {"cpus": "999"}}, "out of range (at /cpu/cpus"),
        ({"cpu": {"quota": 5}}, "at /cpu/quota"),
        ({"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}, "at /memory/swap"),
        ({"hugepageLimits": [{"pageSize": "2MB/..", "limit": 1}]}, "at /hugepageLimits/0/pageSize"),
        ({"unified": {"../x.y": "1"}}, "at /unified/"),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 0, "rate": 5}]}}, "/throttleReadBpsDevice/0"),
    ],
    ids=str,
)
def test_refused_documents(runtime, bundle, document, said):
    name = runtime.start(bundle())
    done = sends(runtime, name, document, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.pyrunc_only("1.1 keeps what it had written by then")
def test_all_or_nothing(runtime, bundle):
    """What comes before the refused value is set back, in the kernel and in what is remembered."""
    b = limited(bundle(), memory={"limit": 64 * MIB, "swap": 64 * MIB}, pids={"limit": 40}, cpu={"quota": 50000})
    name = runtime.start(b)
    document = {
        "cpu": {"shares": 77, "quota": 20000, "period": 40000},
        "pids": {"limit": 5},
        "memory": {"limit": 32 * MIB, "swap": 32 * MIB},
        "blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 0, "rate": 5}]},
    }
    saved = (runtime.root / name / "config.json").read_text()
    directories = {cgroup_of(runtime.pid(name), controller) for controller in ("cpu", "pids", "memory", "blkio")}
    looked = [path for each in directories for path in sorted(each.glob("*.m*")) + sorted(each.glob("cpu.*"))]
    settings = [path for path in looked if path.suffix in (".max", ".shares", ".weight", ".cfs_quota_us", ".cfs_period_us") or "limit" in path.name]

    def values():
        return {path: path.read_text() for path in settings}

    before = values()
    assert before
    assert sends(runtime, name, document, check=False).returncode == 1
    assert values() == before
    assert (runtime.root / name / "config.json").read_text() == saved


@pytest.mark.v1
@pytest.mark.pyrunc_only("words and pointers are pyrunc's")
def test_a_missing_controller_is_named(runtime, bundle):
    if has_controller("hugetlb"):
        pytest.skip("it is not missing here")
    name = runtime.start(bundle())
    done = sends(runtime, name, {"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}]}, check=False)
    assert "cgroup controller hugetlb is not available" in done.stderr
    assert "at /hugepageLimits/0/limit" in done.stderr


@pytest.mark.v1
def test_less_memory_than_is_used(runtime, bundle):
    b = bundle("dd if=/dev/zero of=/dev/shm/big bs=1M count=40 2>/dev/null; touch /data/there; sleep 1000")
    name = runtime.start(limited(b, memory={"limit": 64 * MIB, "swap": 64 * MIB}))
    wait_for((b.rootfs / "data/there").exists, "the file in memory")
    found = runtime.refuses("update", "--memory", "8M", name)
    if runtime.name == "pyrunc":
        assert "the container uses" in found
        assert "at --memory" in found
    assert knob(runtime, name, "memory", "memory.limit_in_bytes") == str(64 * MIB)


@pytest.mark.v2
@pytest.mark.pyrunc_only("1.1 does not know it")
def test_check_before_update(runtime, bundle):
    b = bundle("dd if=/dev/zero of=/dev/shm/big bs=1M count=40 2>/dev/null; touch /data/there; sleep 1000")
    name = runtime.start(limited(b, memory={"limit": 64 * MIB}))
    wait_for((b.rootfs / "data/there").exists, "the file in memory")
    done = sends(runtime, name, {"memory": {"limit": 8 * MIB, "checkBeforeUpdate": True}}, check=False)
    assert "rejecting memory limit" in done.stderr
    assert "at /memory/limit" in done.stderr
    assert knob(runtime, name, "", "memory.max") == str(64 * MIB)


# Devices

FUSE = {"type": "c", "major": 10, "minor": 229}
NULLS = "i=0; while [ ! -e /data/stop ]; do : >/dev/null || echo refused >>/data/err; i=$((i+1)); done; echo $i >/data/n"


def opens(runtime: Runtime, name: str) -> bool:
    done = runtime.exec(name, "sh", "-c", "exec 3</data/d", check=False)
    return done.returncode == 0


def with_fuse(bundle: Any, *args: str, **resources: Any) -> Bundle:
    if "229 fuse" not in Path("/proc/misc").read_text():
        pytest.skip("this kernel has no fuse device to try")
    return give(limited(bundle(*args), **resources), "CAP_MKNOD", "CAP_DAC_OVERRIDE")


@pytest.mark.pyrunc_only("runc leaves devices alone")
def test_other_devices(runtime, bundle):
    b = with_fuse(bundle, devices=[DENY])
    name = runtime.start(b)
    runtime.exec(name, "mknod", "/data/d", "c", "10", "229")
    assert not opens(runtime, name)
    sends(runtime, name, {"devices": [DENY, {"allow": True, "access": "rwm", **FUSE}]})
    assert opens(runtime, name)
    sends(runtime, name, {"devices": [DENY], "pids": {"limit": 100}})  # an engine that knows nothing of it
    assert opens(runtime, name)
    sends(runtime, name, {"devices": [DENY, {"allow": True, "access": "w", **FUSE}]})
    assert not opens(runtime, name)
    sends(runtime, name, {"devices": [{"allow": True, "access": "rwm"}]})
    assert opens(runtime, name)
    sends(runtime, name, {"devices": [DENY, {"allow": True, "access": "rwm", "type": "c", "major": 7, "minor": 7}]})
    assert not opens(runtime, name)
    assert runtime.status(name) == "running"


@pytest.mark.v1
def test_what_somebody_else_allowed_stays(runtime, bundle):
    """A plugin may have written to the cgroup: an engine that sends all its rules again changes nothing about that."""
    rules = [DENY, {"allow": True, "access": "rwm", "type": "c", "major": 7, "minor": 7}]
    b = with_fuse(bundle, devices=rules)
    name = runtime.start(b)
    runtime.exec(name, "mknod", "/data/d", "c", "10", "229")
    (cgroup_of(runtime.pid(name), "devices") / "devices.allow").write_text("c 10:229 rwm")
    sends(runtime, name, {"devices": rules, "pids": {"limit": 100}})
    assert opens(runtime, name)
    assert knob(runtime, name, "pids", "pids.max") == "100"


@pytest.mark.pyrunc_only("runc leaves devices alone")
def test_no_moment_without_the_devices_that_stay(runtime, bundle):
    """A program that opens /dev/null all the time is never refused, whatever else changes."""
    b = with_fuse(bundle, NULLS, devices=[DENY])
    name = runtime.start(b)
    for round_ in range(6):
        more = [{"allow": True, "access": "rwm", **FUSE}] if round_ % 2 == 0 else [{"allow": True, "access": "r", **FUSE}]
        if round_ == 4:
            more = [{"allow": True, "access": "rwm"}]
        sends(runtime, name, {"devices": [DENY, *more]})
    (b.rootfs / "data/stop").touch()
    runtime.wait(name, "stopped")
    assert int((b.rootfs / "data/n").read_text()) > 100
    assert not (b.rootfs / "data/err").exists()


@pytest.mark.v1
@pytest.mark.pyrunc_only("runc leaves devices alone")
def test_refused_limits_leave_the_devices(runtime, bundle):
    b = with_fuse(bundle, devices=[DENY])
    name = runtime.start(b)
    before = knob(runtime, name, "devices", "devices.list")
    hole = [DENY, {"allow": True, "access": "rwm", "type": "c", "major": 10}, {"allow": False, "access": "rw", **FUSE}]
    assert "/devices/2" in sends(runtime, name, {"devices": hole}, check=False).stderr
    document = {"devices": [DENY, {"allow": True, "access": "rwm", **FUSE}], "cpu": {"cpus": "999"}}
    assert sends(runtime, name, document, check=False).returncode == 1
    assert knob(runtime, name, "devices", "devices.list") == before


@pytest.mark.v1
@pytest.mark.pyrunc_only("runc leaves devices alone")
def test_what_is_denied_of_everything(runtime, bundle):
    """From everything to everything but one, and back: the kernel's own list shows neither."""
    everything = {"allow": True, "access": "rwm"}
    b = with_fuse(bundle, devices=[everything])
    name = runtime.start(b)
    runtime.exec(name, "mknod", "/data/d", "c", "10", "229")
    assert opens(runtime, name)
    sends(runtime, name, {"devices": [everything, {"allow": False, "access": "rw", **FUSE}]})
    assert not opens(runtime, name)
    sends(runtime, name, {"devices": [everything, {"allow": False, "access": "rwm", "type": "b"}]})
    assert opens(runtime, name)
    assert runtime.exec(name, "sh", "-c", ": </dev/null && echo fine").stdout == "fine\n"


@pytest.mark.pyrunc_only("the state directory is its own")
def test_an_update_that_was_killed_is_completed_by_the_next(runtime, bundle):
    """Wherever it is killed, the kernel and what is remembered agree after the next one."""
    name = runtime.start(limited(bundle(), memory={"limit": 64 * MIB, "swap": 64 * MIB}))
    victim = Victim(runtime)
    runtime("update", "--pids-limit", "50", name)
    calls = victim.calls("update", "--memory", "48M", "--memory-swap", "48M", "--pids-limit", "40", name, after="update.json")
    writes = [call for call in calls if call.name in ("write", "rename", "unlink")]
    for number, call in enumerate(every(writes, 1, 8)):
        size = 32 + number
        words = ("update", "--memory", f"{size}M", "--memory-swap", f"{size}M", "--pids-limit", f"{30 + number}", name)
        assert victim.kill_at(call, *words), call
        runtime("update", "--cpu-share", "100", name)
        saved = json.loads((runtime.root / name / "config.json").read_text())["linux"]["resources"]
        limit = shown(runtime, name, "memory", "memory.limit_in_bytes", "memory.max")
        assert saved["memory"]["limit"] == int(limit), call
        assert str(saved["pids"]["limit"]) == shown(runtime, name, "pids", "pids.max", "pids.max"), call
    assert not (runtime.root / name / "update.json").exists()


# Many at once


@pytest.mark.parametrize("threads", [20, pytest.param(100, marks=pytest.mark.slow_vm)])
def test_updates_and_pauses_at_once(runtime, bundle, threads):
    """Each is refused or done whole; afterwards the files agree with each other, and the container runs."""
    b = bundle("while true; do echo . >>/data/ticks; usleep 10000; done")
    name = runtime.start(limited(b, memory={"limit": 64 * MIB, "swap": 64 * MIB}))
    made = {}

    def one(number: int) -> str:
        if number % 10 == 8:
            return runtime("pause", name, check=False).stderr
        if number % 10 == 9:
            return runtime("resume", name, check=False).stderr
        size = 32 + number
        made[size] = number
        words = ("--memory", f"{size}M", "--memory-swap", f"{size}M", "--cpu-quota", str(1000 * size))
        done = runtime("update", *words, name, check=runtime.name == "pyrunc")
        return str(done.stderr)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        said = list(pool.map(one, range(threads)))
    if runtime.name == "runc":
        return  # which takes no lock
    for number, text in enumerate(said):
        assert number % 10 >= 8 or not text, text
        assert not text or "container not" in text, text
    runtime("resume", name, check=False)
    limit = int(shown(runtime, name, "memory", "memory.limit_in_bytes", "memory.max")) // MIB
    assert limit in made
    assert shown(runtime, name, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == str(1000 * limit)
    saved = json.loads((runtime.root / name / "config.json").read_text())["linux"]["resources"]
    assert saved["memory"] == {"limit": limit * MIB, "swap": limit * MIB}
    size = (b.rootfs / "data/ticks").stat().st_size
    time.sleep(0.3)
    assert (b.rootfs / "data/ticks").stat().st_size > size


# All or nothing


def limits_and_memory_of_them(runtime: Runtime, name: str) -> tuple[str, str, object]:
    """Return the limits of container NAME that are in force, and those that are written down of it."""
    config = json.loads((runtime.root / name / "config.json").read_text())
    pids = shown(runtime, name, "pids", "pids.max", "pids.max")
    return pids, shown(runtime, name, "memory", "memory.limit_in_bytes", "memory.max"), config["linux"]["resources"]


@pytest.mark.pyrunc_only("runc's own steps are others")
def test_a_signal_leaves_the_old_limits_or_the_new_ones_and_says_which(runtime: Runtime, bundle: Bundles) -> None:
    name = runtime.start(limited(bundle(), pids={"limit": 50}, memory={"limit": 50 * MIB}))
    victim = Victim(runtime)
    old = ("update", "--pids-limit", "50", "--memory", "50M", name)
    new = ("update", "--pids-limit", "60", "--memory", "60M", name)
    runtime(*new)
    after = limits_and_memory_of_them(runtime, name)
    runtime(*old)
    before = limits_and_memory_of_them(runtime, name)
    calls = victim.calls(*new, after=f"{runtime.root}/{name}")
    ended = set()
    for call in every(calls, 1, 40):
        runtime(*old)
        argv = victim.argv(new, call.inject("INT"))
        status = subprocess.run(argv, stdin=-3, stdout=-3, stderr=-3, check=False, timeout=60).returncode
        found = limits_and_memory_of_them(runtime, name)
        assert found in (before, after), call
        assert not (runtime.root / name / "update.json").exists(), call
        ended.add((status == 0, found == after))
    assert (False, False) in ended  # some were early enough to take all back


@pytest.mark.pyrunc_only("runc's own steps are others")
def test_what_cannot_be_written_down_is_not_done(runtime: Runtime, bundle: Bundles) -> None:
    name = runtime.start(limited(bundle(), pids={"limit": 50}, memory={"limit": 50 * MIB}))
    before = limits_and_memory_of_them(runtime, name)
    (runtime.root / name / ".config.json").mkdir()  # where the draft is to be
    said = runtime.refuses("update", "--pids-limit", "60", name)
    assert "config.json" in said, said
    assert limits_and_memory_of_them(runtime, name) == before
    (runtime.root / name / ".config.json").rmdir()
    runtime("update", "--pids-limit", "60", name)
    assert limits_and_memory_of_them(runtime, name) != before


@pytest.mark.pyrunc_only("runc's own steps are others")
def test_what_fails_after_the_limits_takes_them_back(runtime: Runtime, bundle: Bundles) -> None:
    """The last step, the new name of the configuration, is refused: neither the old limits nor the directory have changed."""
    name = runtime.start(limited(bundle(), pids={"limit": 50}, memory={"limit": 50 * MIB}))
    victim = Victim(runtime)
    old = ("update", "--pids-limit", "50", "--memory", "50M", name)
    new = ("update", "--pids-limit", "60", "--memory", "60M", name)
    calls = victim.calls(*new, after=f"{runtime.root}/{name}")
    runtime(*old)
    before, files = limits_and_memory_of_them(runtime, name), sorted(os.listdir(runtime.root / name))
    last = next(call for call in calls if call.name.startswith("rename") and '/config.json"' in call.line)
    argv = victim.argv(new, f"inject={last.name}:error=EIO:when={last.number}")
    done = subprocess.run(argv, stdin=-3, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "input/output error" in done.stderr, done.stderr
    assert limits_and_memory_of_them(runtime, name) == before
    assert sorted(os.listdir(runtime.root / name)) == files


@pytest.mark.v1
def test_an_empty_cpuset_is_set_back(tmp_path: Path) -> None:
    """One in which no process has been yet: reading it gives an empty line."""
    from pyrunc.cgroup import limits
    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.paths import Place
    from pyrunc.errors import OpError

    top = "/sys/fs/cgroup/cpuset"
    where = Path(f"{top}/pyrunc-test-{os.getpid()}-empty")
    where.mkdir()
    try:
        place = Place(str(where), top, ("cpuset",))
        changes = [Write("cpuset", "cpuset.mems", "0", "/a"), Write("cpuset", "cpuset.cpus", "0", "/b")]
        with pytest.raises(OpError):
            limits.update((place,), [*changes, Write("cpuset", "cpuset.cpu_exclusive", "nonsense", "/c")])
        assert (where / "cpuset.cpus").read_text().strip() == ""
        assert (where / "cpuset.mems").read_text().strip() == ""
    finally:
        where.rmdir()
