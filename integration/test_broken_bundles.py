"""Sixty broken bundles: of each the line says everything that a person needs, and nothing stays behind.

Six points each: the status, one line, the place, the cause, what to do, and nothing left.  All have to have all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.leaks import cgroup_directories

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.harness.bundle import Bundle

    Change = Callable[[Bundle], None]

DATA = "/data"


def put(at: str, value: Any) -> Change:
    """Return what puts VALUE where AT points."""

    def change(b: Bundle) -> None:
        *around, last = at.split("/")[1:]
        node: Any = b.config
        for step in around:
            node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
        node[int(last) if isinstance(node, list) else last] = value

    return change


def mount(destination: str = DATA, **rest: Any) -> Change:
    """Return what puts one mount before all others."""
    return lambda b: b.config["mounts"].insert(0, {"destination": destination, "source": "x", **rest})


def program(text: bytes | None, mode: int = 0o755) -> Change:
    """Return what makes a file of TEXT, or a directory, the program."""

    def change(b: Bundle) -> None:
        made = b.rootfs / "bin/x"
        if text is None:
            made.mkdir()
        else:
            made.write_bytes(text)
            made.chmod(mode)
        b.process["args"] = ["/bin/x"]

    return change


def foreign(b: Bundle) -> None:
    """A program of another machine."""
    data = bytearray((b.rootfs / "bin/busybox").read_bytes())
    data[18:20] = b"\x08\x00"  # EM_MIPS
    program(bytes(data))(b)


def rule(**rest: Any) -> Change:
    """Return what sets a filter with one rule."""
    rules = [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **rest}]
    return put("/linux/seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})


def hook(kind: str, **rest: Any) -> Change:
    """Return what adds one hook of KIND."""
    return put(f"/hooks/{kind}", [rest])


def users(*rows: tuple[int, int, int]) -> Change:
    """Return what asks for a user namespace with the mappings ROWS."""

    def change(b: Bundle) -> None:
        b.namespace("user")
        b.linux["uidMappings"] = [dict(zip(("containerID", "hostID", "size"), row, strict=True)) for row in rows]
        b.linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]

    return change


def joining(kind: str, path: str) -> Change:
    """Return what lets a namespace of KIND, at PATH, be joined, before all others."""

    def change(b: Bundle) -> None:
        b.namespace(kind, drop=True)
        b.linux["namespaces"].insert(0, {"type": kind, "path": path})

    return change


def both(*changes: Change) -> Change:
    """Return what makes all CHANGES."""
    return lambda b: [each(b) for each in changes] and None


NETWORK = "/linux/namespaces/0/path"
ARGS, LIMITS, M = "/process/args/0", "/linux/resources", "/mounts/0"
# What is broken: how, the place, words of the cause, words of what to do.
BROKEN: dict[str, tuple[Change, str, str, str]] = {
    "no rootfs": (put("/root/path", "nosuch"), "/root/path", "no such file", "unpack the image"),
    "a rootfs that is a file": (put("/root/path", "config.json"), "/root/path", "not a directory", "name a directory"),
    "no version": (lambda b: b.config.pop("ociVersion") and None, "/ociVersion", "is missing", "requires it"),
    "another version": (put("/ociVersion", "2.0.0"), "/ociVersion", "2.0.0", "1.3.0"),
    "arguments in one string": (put("/process/args", "sh"), "/process/args", "expected an array", "in brackets"),
    "no arguments": (put("/process/args", []), "/process/args", "is missing", "name the program"),
    "a relative directory": (put("/process/cwd", "tmp"), "/process/cwd", "absolute", '"/tmp"'),
    "a user as text": (put("/process/user/uid", "1000"), "/process/user/uid", "an integer", "without quotes"),
    "an environment without values": (put("/process/env", ["A"]), "/process/env/0", 'no "="', "NAME=value"),
    "a limit of nothing": (
        put("/process/rlimits", [{"type": "RLIMIT_NOFIL", "hard": 1, "soft": 1}]),
        "/process/rlimits/0/type",
        "RLIMIT_NOFIL",
        "did you mean RLIMIT_NOFILE?",
    ),
    "a soft limit above": (
        put("/process/rlimits", [{"type": "RLIMIT_CORE", "hard": 1, "soft": 2}]),
        "/process/rlimits/0/soft",
        "above hard",
        "lower it",
    ),
    "more files than there can be": (
        put("/process/rlimits", [{"type": "RLIMIT_NOFILE", "hard": 1 << 40, "soft": 1}]),
        "/process/rlimits/0/hard",
        "not permitted",
        "CAP_SYS_RESOURCE",
    ),
    "no program": (put("/process/args", ["nosuch"]), ARGS, "not found in $PATH", "put the program into the image"),
    "no program at its path": (put("/process/args", ["/nosuch"]), ARGS, "no such file", "correct the path"),
    "a program that is a directory": (program(None), ARGS, "is a directory", "name a program"),
    "a program that nobody may execute": (program(b"#!/bin/sh\n", 0o644), ARGS, "permission denied", "chmod +x"),
    "a script without its interpreter": (program(b"#!/nosuch\n"), ARGS, 'interpreter "/nosuch"', "into the image"),
    "a script with the line ends of Windows": (program(b"#!/bin/sh\r\n"), ARGS, "CR LF", "Unix line ends"),
    "a script without a first line": (program(b"true\n"), ARGS, "format error", "begins with #!"),
    "a program without its loader": (program(Path("/bin/cat").read_bytes()), ARGS, "ld-linux", "into the image"),
    "a program of another machine": (foreign, ARGS, "made for mips", "a program for this machine"),
    "an empty program": (program(b""), ARGS, "empty", "a program for this machine"),
    "a directory that is a file": (put("/process/cwd", "/bin/busybox"), "/process/cwd", "not a directory", "name a directory"),
    "too long an argument": (put("/process/args", ["echo", "x" * 140000]), ARGS, "argument list too long", "shorten"),
    "inheritable, and not bounding": (
        put("/process/capabilities", {"bounding": [], "inheritable": ["CAP_CHOWN"]}),
        "/process/capabilities",
        "inheritable, but not bounding: CAP_CHOWN",
        "in the bounding set too",
    ),
    "effective, and not permitted": (
        put("/process/capabilities", {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}),
        "/process/capabilities/effective",
        "not permitted",
        "permitted set must hold them",
    ),
    "a score that is none": (put("/process/oomScoreAdj", 1001), "/process/oomScoreAdj", "from -1000 to 1000", "correct it"),
    "a policy that is none": (
        put("/process/scheduler", {"policy": "SCHED_FIF0"}),
        "/process/scheduler/policy",
        "SCHED_FIF0",
        "did you mean SCHED_FIFO?",
    ),
    "no type of a file system": (mount(type="tmpf"), f"{M}/type", "no such device", "did you mean tmpfs?"),
    "a bind mount that does not say so": (mount(type="none", source="/etc"), f"{M}/type", "no such device", "is the option bind missing?"),
    "a misspelt option": (mount(type="tmpfs", options=["nosiud"]), f"{M}/options/0", "nosiud", "did you mean nosuid?"),
    "a value of an option": (mount(type="tmpfs", options=["size=1q"]), f"{M}/options/0", "size", "correct the value of size"),
    "no source": (mount(type="bind", source="/no/such", options=["bind"]), f"{M}/source", "no such file", "does not exist on the host"),
    "a source below a file": (
        mount(type="bind", source="/etc/passwd/x", options=["bind"]),
        f"{M}/source",
        "not a directory",
        "correct the path",
    ),
    "a mount point below a file": (mount("/bin/busybox/x", type="tmpfs"), f"{M}/destination", "not a directory", "correct the path"),
    "a mount point that is a file": (mount("/bin/busybox", type="tmpfs"), f"{M}/destination", "is a file in the image", "mount elsewhere"),
    "a file over a directory": (
        mount(type="bind", source="/etc/passwd", options=["bind"]),
        f"{M}/destination",
        "is a directory in the image",
        "mount elsewhere",
    ),
    "a mount in procfs": (
        lambda b: b.config["mounts"].append({"destination": "/proc/x", "type": "tmpfs", "source": "x"}),
        "/mounts/7/destination",
        "inside /proc",
        "only files such as /proc/meminfo",
    ),
    "a disk that is none": (mount(type="ext4", source="/etc/passwd"), M, "block device required", "name a block device"),
    "an overlay of nothing": (mount(type="overlay"), M, "invalid argument", "overlayfs.rst"),
    "an overlay in itself": (
        mount(type="overlay", options=["lowerdir=/etc", "upperdir=/etc", "workdir=/etc"]),
        M,
        "invalid argument",
        "overlayfs.rst",
    ),
    "no namespace": (joining("network", "/no/such"), NETWORK, "no such file", "is gone"),
    "another namespace": (joining("network", "/proc/self/ns/uts"), NETWORK, "invalid argument", "another type"),
    "a namespace that is none": (
        put("/linux/namespaces/0/type", "netwrok"),
        "/linux/namespaces/0/type",
        "netwrok",
        "did you mean network?",
    ),
    "a namespace twice": (
        lambda b: b.linux["namespaces"].append({"type": "pid"}),
        "/linux/namespaces/5/type",
        "listed twice",
        "remove one",
    ),
    "a host name without a namespace": (
        lambda b: b.namespace("uts", drop=True),
        "/hostname",
        "needs a uts namespace",
        'add {"type": "uts"}',
    ),
    "mappings that overlap": (users((0, 100000, 10), (5, 200000, 10)), "/linux/uidMappings/1/containerID", "overlaps", "begin behind"),
    "a mapping beyond all ids": (users((0, 4294967290, 100)), "/linux/uidMappings/0/size", "too far", "make size smaller"),
    "a mapping without root": (users((1000, 100000, 1)), "/linux/uidMappings", "id 0 is not mapped", "containerID 0"),
    "negative memory": (put(f"{LIMITS}/memory", {"limit": -5}), f"{LIMITS}/memory/limit", "-5", "-1 for no limit"),
    "swap below memory": (
        put(f"{LIMITS}/memory", {"limit": 1 << 26, "swap": 1 << 25}),
        f"{LIMITS}/memory/swap",
        "below the memory limit",
        "raise it",
    ),
    "little memory": (put(f"{LIMITS}/memory", {"limit": 65536}), f"{LIMITS}/memory/limit", "too low to start", "raise it"),
    "few shares": (put(f"{LIMITS}/cpu", {"shares": 1}), f"{LIMITS}/cpu/shares", "minimum", "raise it"),
    "a processor that is not there": (put(f"{LIMITS}/cpu", {"cpus": "99"}), f"{LIMITS}/cpu/cpus", "99", "this machine has processors"),
    "a short period": (put(f"{LIMITS}/cpu", {"period": 10, "quota": 1000}), f"{LIMITS}/cpu/period", "invalid", "from 1000 to 1000000"),
    "more processes than there can be": (put(f"{LIMITS}/pids", {"limit": 1 << 40}), f"{LIMITS}/pids/limit", "invalid", "at most 4194304"),
    "a disk without a number": (
        put(f"{LIMITS}/blockIO/throttleReadBpsDevice", [{"major": 4000, "minor": 7, "rate": 9}]),
        f"{LIMITS}/blockIO/throttleReadBpsDevice/0",
        "no such device",
        "no disk has the number 4000:7",
    ),
    "a setting of the machine's": (put("/linux/sysctl", {"vm.swappiness": "1"}), "/linux/sysctl/vm.swappiness", "separate", "namespace"),
    "a setting that there is not": (
        put("/linux/sysctl", {"net.ipv4.nosuch": "1"}),
        "/linux/sysctl/net.ipv4.nosuch",
        "no such file",
        "no such setting",
    ),
    "a setting's value": (put("/linux/sysctl", {"kernel.shmmax": "x"}), "/linux/sysctl/kernel.shmmax", "invalid", "correct it"),
    "a device without numbers": (
        put("/linux/devices", [{"path": "/dev/x", "type": "c"}]),
        "/linux/devices/0/major",
        "is missing",
        "only a fifo",
    ),
    "a device where a file is": (
        put("/linux/devices", [{"path": "/etc/passwd", "type": "p"}]),
        "/linux/devices/0",
        "file exists",
        "remove it from the image",
    ),
    "an action that is none": (rule(action="SCMP_ACT_EROR"), "/linux/seccomp/syscalls/0/action", "SCMP_ACT_EROR", "did you mean"),
    "an errno that is none": (rule(errnoRet=5000), "/linux/seccomp/syscalls/0/errnoRet", "at most 4094", "use an errno"),
    "a filter that lets nothing run": (
        rule(names=["execve", "execveat"]),
        "/linux/seccomp/syscalls/0",
        "lets no program be executed",
        "allow execve",
    ),
    "no hook": (hook("createRuntime", path="/no/such"), "/hooks/createRuntime/0/path", "no such file", "name a program"),
    "a hook that fails": (hook("createRuntime", path="/bin/false"), "/hooks/createRuntime/0", "exit status 1", "by hand"),
    "a slow hook": (
        hook("createRuntime", path="/bin/sleep", args=["sleep", "60"], timeout=1),
        "/hooks/createRuntime/0/timeout",
        "past specified timeout",
        "raise timeout",
    ),
    "no hook in the image": (hook("startContainer", path="/no/such"), "/hooks/startContainer/0/path", "no such file", "correct the path"),
    "no network device": (put("/linux/netDevices", {"nosuch0": {}}), "/linux/netDevices/nosuch0", "no network device", "ip link"),
}


@pytest.mark.pyrunc_only("words of our own")
@pytest.mark.parametrize("what", BROKEN)
def test_six_points(runtime, bundle, what):
    change, place, cause, remedy = BROKEN[what]
    b = bundle("true")
    b.config["root"]["readonly"] = False
    change(b)
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    before = Path("/proc/self/mountinfo").read_text()
    done = runtime("run", "--bundle", str(b.path), name, check=False)
    line = done.stderr.strip()
    points = {
        "status": 0 < done.returncode < 256 and done.returncode != 2,
        "one line": len(done.stderr.splitlines()) == 1 and not done.stdout,
        "place": f"(at {place};" in line,
        "cause": cause in line.partition("(at ")[0] or cause in line.rpartition(f"(at {place}")[0],
        "remedy": remedy in line.partition(f"(at {place};")[2],
        "nothing left": not (runtime.root / name).exists()
        and not cgroup_directories(name)
        and Path("/proc/self/mountinfo").read_text() == before,
    }
    assert all(points.values()), f"{[each for each, got in points.items() if not got]}: {line}"


def test_there_are_sixty():
    assert len(BROKEN) >= 60


@pytest.mark.pyrunc_only("has no check")
@pytest.mark.parametrize("what", [each for each in BROKEN if each not in ("a hook that fails", "a slow hook")])
def test_check_says_so_before(runtime, bundle, what):
    """At the same place.  What a hook will do nobody knows."""
    change, place, _, _ = BROKEN[what]
    b = bundle("true")
    b.config["root"]["readonly"] = False
    change(b)
    b.save()
    report = runtime("check", "--json", str(b.path), check=False)
    found = json.loads(report.stdout)
    assert place in [each["pointer"] for each in (*found["violations"], *found["lacking"])], report.stdout
    assert all(each["hint"] for each in (*found["violations"], *found["lacking"]))
