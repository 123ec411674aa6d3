"""When, where and as what a process runs: scheduler, I/O priority, affinity, memory policy, personality."""

from __future__ import annotations

import ctypes
import json
import os
import struct
from pathlib import Path

import pytest

from integration.looking import fields, mapped, refused, status_outside, unified, with_probe

x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
pytestmark = [pytest.mark.pyrunc_only("1.1 has none of these"), x86_64]
SCHED_GETATTR, IOPRIO_GET, GET_MEMPOLICY, PERSONALITY = 315, 252, 239, 135
POLICIES = {"SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_IDLE": 5, "SCHED_DEADLINE": 6}
KERNEL = tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])
MS = 1_000_000
slices = pytest.mark.skipif(KERNEL < (6, 12), reason="a runtime is a slice since Linux 6.12")
ALL = sorted(os.sched_getaffinity(0))
two_cpus = pytest.mark.skipif(len(ALL) < 2, reason="there is one processor only")


def attributes(pid):
    """Return what sched_getattr(2) says of process PID."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(56)
    assert libc.syscall(SCHED_GETATTR, pid, buffer, 56, 0) == 0, os.strerror(ctypes.get_errno())
    names = ("size", "policy", "flags", "nice", "priority", "runtime", "deadline", "period", "min", "max")
    return dict(zip(names, struct.unpack("=IIQiIQQQII", buffer.raw), strict=True))


def io_priority(pid):
    """Return class and priority that ioprio_get(2) says of process PID."""
    value = ctypes.CDLL(None).syscall(IOPRIO_GET, 1, pid)
    return value >> 13, value & 0x1FFF


def points(said, pointer):
    """Check that the message SAID names POINTER, and nothing below it."""
    assert f"(at {pointer};" in said or f"(at {pointer})" in said, said


def realtime(b, name):
    """Let a realtime process be in the cgroup of B: in version 1, that needs a share of the processors."""
    share = Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
    if not unified() and share.exists():
        b.linux["cgroupsPath"] = f"/{name}"
        b.linux["resources"]["cpu"] = {"realtimeRuntime": 20000, "realtimePeriod": 1000000}
    return b


def started(runtime, b):
    """Start B, which may have a realtime process, and return its id."""
    name = runtime.new_id()
    realtime(b, name)
    b.save()
    runtime("create", "--bundle", str(b.path), name, capture_output=False, stdout=-3, stderr=-3)
    runtime("start", name)
    return name


def added(runtime, name, tmp_path, b, **changes):
    """Run `sleep` in container NAME as exec's process document with CHANGES; return its pid."""
    document = {**b.process, "args": ["sleep", "1000"], **changes}
    (tmp_path / "process.json").write_text(json.dumps(document))
    words = ("exec", "-d", "--process", str(tmp_path / "process.json"), "--pid-file", str(tmp_path / "pid"), name)
    runtime(*words, stdout=-3, stderr=-3)
    return int((tmp_path / "pid").read_text())


SCHEDULERS = [
    ({"policy": "SCHED_OTHER", "nice": 7}, {"nice": 7}),
    ({"policy": "SCHED_OTHER", "nice": -5}, {"nice": -5}),
    ({"policy": "SCHED_BATCH", "nice": 3}, {"nice": 3}),
    pytest.param({"policy": "SCHED_OTHER", "nice": 1, "runtime": 5 * MS}, {"nice": 1, "runtime": 5 * MS}, marks=slices),
    pytest.param({"policy": "SCHED_BATCH", "runtime": MS // 10}, {"runtime": MS // 10}, marks=slices),
    ({"policy": "SCHED_IDLE"}, {}),
    ({"policy": "SCHED_FIFO", "priority": 5}, {"priority": 5}),
    ({"policy": "SCHED_RR", "priority": 99}, {"priority": 99}),
    ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, {"flags": 1}),
    ({"policy": "SCHED_FIFO", "priority": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, {"priority": 1, "flags": 1}),
    (
        {"policy": "SCHED_DEADLINE", "runtime": MS, "deadline": 20 * MS, "period": 40 * MS},
        {"runtime": MS, "deadline": 20 * MS, "period": 40 * MS},
    ),
    (
        {
            "policy": "SCHED_DEADLINE", "runtime": MS, "deadline": 30 * MS,
            "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RESET_ON_FORK"],
        },
        {"runtime": MS, "deadline": 30 * MS, "period": 30 * MS, "flags": 7},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("scheduler", "seen"), SCHEDULERS)
def test_scheduler(runtime, bundle, tmp_path, scheduler, seen):
    """The kernel's own word for it, of init and of exec."""
    b = bundle()
    b.process["scheduler"] = scheduler
    name = started(runtime, b)
    expected = {"policy": POLICIES[scheduler["policy"]], **seen}
    found = attributes(runtime.pid(name))
    assert {key: found[key] for key in expected} == expected
    plain = added(runtime, name, tmp_path, b, scheduler=None)
    assert attributes(plain)["policy"] == 0
    found = attributes(added(runtime, name, tmp_path, b))
    assert {key: found[key] for key in expected} == expected


def test_exec_without_a_document_has_the_scheduler_of_the_config(runtime, bundle):
    b = bundle()
    b.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 4}
    b.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    name = runtime.start(with_probe(b))
    assert runtime.exec(name, "probe", "call", "145", "0").stdout == "3\n"  # sched_getscheduler
    assert runtime.exec(name, "probe", "call", "140", "0", "0").stdout == f"{20 - 4}\n"  # getpriority
    assert runtime.exec(name, "probe", "call", str(IOPRIO_GET), "1", "0").stdout == f"{2 << 13 | 6}\n"


def test_keeping_flags(runtime, bundle):
    """The caller's policy, or its parameters, stay."""

    def before():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 9)

    b = bundle("sh", "-c", "probe call 145 0; probe call 140 0 0")
    b.process["scheduler"] = {"policy": "SCHED_OTHER", "nice": 2, "flags": ["SCHED_FLAG_KEEP_POLICY"]}
    assert runtime.output(with_probe(b), preexec_fn=before).split() == ["3", "18"]
    b.process["scheduler"] = {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_KEEP_PARAMS"]}
    assert runtime.output(b, preexec_fn=before).split()[1] == "11"


@pytest.mark.parametrize("flag", ["MIN", "MAX"])
def test_utilization_clamps(runtime, bundle, flag):
    """The specification has no number for them: they clamp to 0, if the kernel can."""
    b = bundle()
    b.process["scheduler"] = {"policy": "SCHED_OTHER", "flags": [f"SCHED_FLAG_UTIL_CLAMP_{flag}"]}
    if not Path("/proc/sys/kernel/sched_util_clamp_min").exists():
        refused(runtime, b, "sched_setattr", f"SCHED_FLAG_UTIL_CLAMP_{flag}", "not supported", "/process/scheduler")
        return
    found = attributes(runtime.pid(runtime.start(b)))
    assert found[flag.lower()] == 0


def test_in_a_user_namespace(runtime, bundle):
    """Its root has no CAP_SYS_NICE on the host; the runtime has."""
    b = mapped(bundle())
    b.process["scheduler"] = {"policy": "SCHED_OTHER", "nice": -3}
    b.process["ioPriority"] = {"class": "IOPRIO_CLASS_RT", "priority": 2}
    pid = runtime.pid(runtime.start(b))
    assert attributes(pid)["nice"] == -3
    assert io_priority(pid) == (1, 2)


def test_without_the_capability(runtime, bundle):
    """What the program may not change itself, the runtime has set before."""
    b = bundle("sh", "-c", "probe call 141 0 0 -19; probe call 140 0 0")  # setpriority, getpriority
    b.process["capabilities"] = {}
    b.process["user"] = {"uid": 1000, "gid": 1000}
    b.process["scheduler"] = {"policy": "SCHED_OTHER", "nice": -4}
    assert runtime.output(with_probe(b)).split() == ["-13", "24"]


@pytest.mark.parametrize(
    ("scheduler", "pointer"),
    [
        ({"nice": 1}, "/policy"),
        ({"policy": "SCHED_FOO"}, "/policy"),
        ({"policy": "SCHED_OTHER", "nice": 20}, "/nice"),
        ({"policy": "SCHED_OTHER", "priority": 1}, "/priority"),
        ({"policy": "SCHED_FIFO"}, "/priority"),
        ({"policy": "SCHED_RR", "priority": 100}, "/priority"),
        ({"policy": "SCHED_OTHER", "runtime": MS // 10 - 1}, "/runtime"),
        ({"policy": "SCHED_BATCH", "runtime": 100 * MS + 1}, "/runtime"),
        ({"policy": "SCHED_OTHER", "runtime": MS, "period": MS}, "/period" if KERNEL >= (6, 12) else "/runtime"),
        ({"policy": "SCHED_IDLE", "runtime": MS}, "/runtime"),
        ({"policy": "SCHED_FIFO", "priority": 1, "runtime": MS}, "/runtime"),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RECLAIM"]}, "/flags/0"),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_FOO"]}, "/flags/0"),
        ({"policy": "SCHED_OTHER", "nice": 1, "flags": ["SCHED_FLAG_KEEP_PARAMS"]}, "/nice"),
        ({"policy": "SCHED_DEADLINE", "deadline": MS}, "/runtime"),
        ({"policy": "SCHED_DEADLINE", "runtime": MS}, "/deadline"),
        ({"policy": "SCHED_DEADLINE", "runtime": 2 * MS, "deadline": MS}, "/deadline"),
        ({"policy": "SCHED_DEADLINE", "runtime": MS, "deadline": 9 * MS, "period": 8 * MS}, "/period"),
        ({"policy": "SCHED_ISO"}, ""),
    ],
)
def test_what_cannot_be_meant(runtime, bundle, scheduler, pointer):
    b = bundle()
    b.process["scheduler"] = scheduler
    points(refused(runtime, b), f"/process/scheduler{pointer}")


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ({"class": "IOPRIO_CLASS_RT", "priority": 0}, (1, 0)),
        ({"class": "IOPRIO_CLASS_BE", "priority": 7}, (2, 7)),
        ({"class": "IOPRIO_CLASS_IDLE"}, (3, 0)),
    ],
)
def test_io_priority(runtime, bundle, tmp_path, wanted, seen):
    b = bundle()
    b.process["ioPriority"] = wanted
    name = runtime.start(b)
    assert io_priority(runtime.pid(name)) == seen
    assert io_priority(added(runtime, name, tmp_path, b)) == seen


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"priority": 1}, "/class"),
        ({"class": "IOPRIO_CLASS_NONE", "priority": 0}, "/class"),
        ({"class": "IOPRIO_CLASS_BE", "priority": 8}, "/priority"),
    ],
)
def test_no_io_priority(runtime, bundle, wanted, pointer):
    b = bundle()
    b.process["ioPriority"] = wanted
    points(refused(runtime, b), f"/process/ioPriority{pointer}")


# Affinity of exec


def allowed(pid):
    return status_outside(pid)["Cpus_allowed_list"]


@two_cpus
def test_final_affinity(runtime, bundle, tmp_path):
    b = bundle()
    b.process["execCPUAffinity"] = {"final": str(ALL[1])}
    name = runtime.start(b)
    assert allowed(runtime.pid(name)) == fields(Path("/proc/self/status").read_text())["Cpus_allowed_list"]
    assert fields(runtime.exec(name, "cat", "/proc/self/status").stdout)["Cpus_allowed_list"] == str(ALL[1])
    pid = added(runtime, name, tmp_path, b, execCPUAffinity={"initial": str(ALL[1]), "final": str(ALL[0])})
    assert allowed(pid) == str(ALL[0])
    pid = added(runtime, name, tmp_path, b, execCPUAffinity={})
    assert allowed(pid) == allowed(runtime.pid(name))


@two_cpus
def test_initial_affinity_alone_stays(runtime, bundle, tmp_path):
    """The specification: without a final one, nothing is changed after the process has joined the cgroup."""
    if unified() and KERNEL < (6, 2):
        pytest.skip("before Linux 6.2 a process that joins a cgroup of version 2 gets all of its processors")
    b = bundle()
    name = runtime.start(b)
    assert allowed(added(runtime, name, tmp_path, b, execCPUAffinity={"initial": str(ALL[1])})) == str(ALL[1])


@two_cpus
def test_initial_affinity_is_there_before_the_cgroup(runtime, bundle, tmp_path):
    """Outside of the container's cpuset it is allowed, as it comes first; the final one is not."""
    b = bundle()
    b.linux["resources"]["cpu"] = {"cpus": str(ALL[0])}
    name = runtime.start(b)
    pid = added(runtime, name, tmp_path, b, execCPUAffinity={"initial": str(ALL[1]), "final": str(ALL[0])})
    assert allowed(pid) == str(ALL[0])
    document = {**b.process, "args": ["true"], "execCPUAffinity": {"final": str(ALL[1])}}
    (tmp_path / "process.json").write_text(json.dumps(document))
    said = runtime.refuses("exec", "--process", str(tmp_path / "process.json"), name, status=255)
    assert "sched_setaffinity" in said
    assert "(at /execCPUAffinity/final; none of these processors is in the process's cpuset)" in said


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "0,,1", "0-99999", " ", "0x1", "1;2"])
@pytest.mark.parametrize("which", ["initial", "final"])
def test_no_list_of_cpus(runtime, bundle, which, text):
    b = bundle()
    b.process["execCPUAffinity"] = {which: text}
    refused(runtime, b, f"(at /process/execCPUAffinity/{which}")


# Memory policy


def policy(text):
    """Return the policy of the first mapping in TEXT, which is /proc/PID/numa_maps."""
    return text.split()[1]


MODES = [
    ({"mode": "MPOL_DEFAULT"}, "default"),
    ({"mode": "MPOL_LOCAL"}, "local"),
    ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0-0"}, "interleave:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
    ({"mode": "MPOL_PREFERRED"}, "local"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
    pytest.param(
        {"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"},
        "weighted interleave:0",
        marks=pytest.mark.skipif(KERNEL < (6, 9), reason="this kernel does not know it"),
    ),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "interleave=relative:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "bind="),  # by name from 6.9 on
]
numa = pytest.mark.skipif(not Path("/proc/self/numa_maps").exists(), reason="this kernel has no NUMA")


@numa
@pytest.mark.parametrize(("wanted", "seen"), MODES)
def test_memory_policy(runtime, bundle, tmp_path, wanted, seen):
    b = bundle()
    b.linux["memoryPolicy"] = wanted
    name = runtime.start(b)
    added_ = added(runtime, name, tmp_path, b)
    for pid in (runtime.pid(name), added_):
        text = Path(f"/proc/{pid}/numa_maps").read_text()
        assert any(line.split(" ", 1)[1].startswith(seen) for line in text.splitlines()), text


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"nodes": "0"}, "/mode"),
        ({"mode": "MPOL_FOO"}, "/mode"),
        ({"mode": "MPOL_BIND"}, "/nodes"),
        ({"mode": "MPOL_BIND", "nodes": "a"}, "/nodes"),
        ({"mode": "MPOL_DEFAULT", "nodes": "0"}, "/nodes"),
        ({"mode": "MPOL_DEFAULT", "flags": ["MPOL_F_STATIC_NODES"]}, "/flags/0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "/flags/0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}, "/flags/0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_FOO"]}, "/flags/0"),
        ({"mode": "MPOL_BIND", "nodes": "4000"}, ""),
    ],
)
def test_no_memory_policy(runtime, bundle, wanted, pointer):
    b = bundle()
    b.linux["memoryPolicy"] = wanted
    points(refused(runtime, b), f"/linux/memoryPolicy{pointer}")


# Personality


@pytest.mark.parametrize(("domain", "machine", "number"), [("LINUX", "x86_64", 0), ("LINUX32", "i686", 8)])
def test_personality(runtime, bundle, domain, machine, number):
    b = with_probe(bundle("sh", "-c", f"uname -m; probe call {PERSONALITY} 0xffffffff"))
    b.linux["personality"] = {"domain": domain}
    assert runtime.output(b).split() == [machine, str(number)]
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b)
    assert Path(f"/proc/{runtime.pid(name)}/personality").read_text() == f"{number:08x}\n"
    assert runtime.exec(name, "uname", "-m").stdout == f"{machine}\n"


def test_the_callers_personality_stays_without_one(runtime, bundle):
    def before():
        ctypes.CDLL(None).personality(8)

    assert runtime.output(bundle("uname", "-m"), preexec_fn=before) == "i686\n"


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [({}, "/domain"), ({"domain": "BSD"}, "/domain"), ({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}, "/flags/0")],
)
def test_no_personality(runtime, bundle, wanted, pointer):
    b = bundle()
    b.linux["personality"] = wanted
    points(refused(runtime, b), f"/linux/personality{pointer}")
