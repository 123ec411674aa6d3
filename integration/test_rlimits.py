"""Resource limits, in run and in exec (getrlimit(2)); only lowered: root may lack CAP_SYS_RESOURCE."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from integration.looking import become, refused

# The name of the limit -> its name in /proc/PID/limits.
NAMES = {
    "RLIMIT_CPU": "Max cpu time",
    "RLIMIT_FSIZE": "Max file size",
    "RLIMIT_DATA": "Max data size",
    "RLIMIT_STACK": "Max stack size",
    "RLIMIT_CORE": "Max core file size",
    "RLIMIT_RSS": "Max resident set",
    "RLIMIT_NPROC": "Max processes",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_AS": "Max address space",
    "RLIMIT_LOCKS": "Max file locks",
    "RLIMIT_SIGPENDING": "Max pending signals",
    "RLIMIT_MSGQUEUE": "Max msgqueue size",
    "RLIMIT_NICE": "Max nice priority",
    "RLIMIT_RTPRIO": "Max realtime priority",
    "RLIMIT_RTTIME": "Max realtime timeout",
}
# Low enough for any machine, high enough for a shell.
VALUES = {"RLIMIT_NICE": 20, "RLIMIT_RTPRIO": 9, "RLIMIT_AS": 1 << 30, "RLIMIT_DATA": 1 << 29, "RLIMIT_STACK": 1 << 20, "RLIMIT_NOFILE": 64}


def limit(name, soft, hard):
    return {"type": name, "soft": soft, "hard": hard}


def limits(text):
    """Return {name: [soft, hard]} of what /proc/PID/limits says."""
    return {line[:25].strip(): line[25:].split()[:2] for line in text.splitlines()}


def all_of_them():
    asked = []
    for name in NAMES:
        hard = resource.prlimit(0, getattr(resource, name, 0))[1] if hasattr(resource, name) else -1
        value = VALUES.get(name, 500)
        asked.append(limit(name, value, value if hard == -1 else min(hard, value)))
        asked[-1]["soft"] = asked[-1]["hard"] // 2
    return asked


def test_each(runtime, bundle):
    b = bundle("cat", "/proc/self/limits")
    b.process["rlimits"] = all_of_them()
    found = limits(runtime.output(b))
    for row in b.process["rlimits"]:
        assert found[NAMES[row["type"]]] == [str(row["soft"]), str(row["hard"])], row["type"]


def test_in_exec_too(runtime, bundle):
    b = bundle()
    b.process["rlimits"] = [limit("RLIMIT_NOFILE", 30, 60), limit("RLIMIT_CORE", 0, 0)]
    name = runtime.start(b)
    found = limits(runtime.exec(name, "cat", "/proc/self/limits").stdout)
    assert found["Max open files"] == ["30", "60"]
    assert found["Max core file size"] == ["0", "0"]


def test_of_a_process_of_its_own(runtime, bundle):
    b = bundle()
    name = runtime.start(b)
    b.process.update(args=["cat", "/proc/self/limits"], rlimits=[limit("RLIMIT_FSIZE", 20000, 40000)])
    (b.path / "process.json").write_text(json.dumps(b.process))
    out = runtime("exec", "--process", str(b.path / "process.json"), name).stdout
    assert limits(out)["Max file size"] == ["20000", "40000"]


def test_what_is_not_named_stays_the_callers(runtime, bundle):
    b = bundle("cat", "/proc/self/limits")
    b.process["rlimits"] = []
    found = limits(runtime.output(b))
    own = limits(Path("/proc/self/limits").read_text())
    for name in ("Max stack size", "Max processes", "Max address space", "Max locked memory"):
        assert found[name] == own[name]


def test_of_a_user(runtime, bundle):
    b = become(bundle("cat", "/proc/self/limits"), 1000)
    b.process["rlimits"] = [limit("RLIMIT_NOFILE", 33, 44)]
    assert limits(runtime.output(b))["Max open files"] == ["33", "44"]


def test_a_limit_has_its_effect(runtime, bundle):
    b = bundle("head -c 100000 /dev/zero >/data/file; stat -c %s /data/file")
    b.process["rlimits"] = [limit("RLIMIT_FSIZE", 4096, 4096)]
    assert runtime.run(b, check=False).stdout == "4096\n"


def test_infinity(runtime, bundle):
    if resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY:
        pytest.skip("the hard limit here is no longer infinite")
    b = bundle("cat", "/proc/self/limits")
    b.process["rlimits"] = [limit("RLIMIT_CPU", 2**64 - 1, 2**64 - 1)]
    assert limits(runtime.output(b))["Max cpu time"] == ["unlimited", "unlimited"]


@pytest.mark.pyrunc_only("needs more itself")
def test_too_little_for_an_interpreter(runtime, bundle):
    b = bundle("ulimit -v; ulimit -n")
    b.process["rlimits"] = [limit("RLIMIT_AS", 8 << 20, 8 << 20), limit("RLIMIT_NOFILE", 4, 4)]
    assert runtime.output(b).split() == [str(8 << 10), "4"]


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        ([limit("RLIMIT_NONSENSE", 1, 1)], "/process/rlimits/0/type"),
        ([limit("RLIMIT_CORE", 2, 1)], "/process/rlimits/0"),
        ([limit("RLIMIT_CORE", 0, 0), limit("RLIMIT_CORE", 0, 0)], "/process/rlimits/1"),
        ([limit("RLIMIT_CORE", -1, 0)], "/process/rlimits/0/soft"),
        ([{"type": "RLIMIT_CORE", "soft": 0}], "/process/rlimits/0"),
    ],
)
def test_nonsense_is_refused(runtime, bundle, rows, pointer):
    if runtime.name == "runc" and (len(rows) == 2 or "hard" not in rows[0]):
        pytest.skip("runc 1.1 takes the last, and 0 for what is missing")
    b = bundle("true")
    b.process["rlimits"] = rows
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert pointer in err
