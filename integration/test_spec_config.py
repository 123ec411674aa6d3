"""What holds for config.json as a whole: versions, unknown properties, annotations, values; and the console's size."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from integration.harness.failures import fails
from integration.harness.receiver import Receiver
from integration.looking import fields, give, mapped, refused
from integration.test_tty import read_all


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.1.0+dev", "1.2.1", "1.3.0"])
def test_every_version_since_1_0_0(runtime, bundle, version):
    b = bundle("echo", "ran")
    b.config["ociVersion"] = version
    assert runtime.output(b) == "ran\n"


@pytest.mark.parametrize("version", ["", "1", "1.0", "one.two.three", "v1.0.0", "2.0.0", "0.9.0", "1.99.0", None, 1])
@pytest.mark.pyrunc_only("1.1 takes some of them")
def test_no_version(runtime, bundle, version):
    b = bundle("true")
    b.config["ociVersion"] = version
    refused(runtime, b, "/ociVersion")


# What busybox needs to run and to complain.
ALLOWED = """
    execve execveat brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink
    readlinkat getrandom write exit_group getuid setuid setgid getgid ioctl fstat newfstatat prctl uname read close
    futex rt_sigaction rt_sigprocmask openat umask fcntl capset lseek writev
""".split()
UNKNOWN = {"com.example/unknown": {"deep": [1, "two", None]}}


@pytest.mark.parametrize("at", ["", "process", "process/user", "root", "linux", "linux/resources", "mounts/0", "hooks", "linux/namespaces/0"])
def test_unknown_properties_are_ignored(runtime, bundle, at):
    b = bundle("echo", "ran")
    b.config["hooks"] = {}
    place = b.config
    for step in at.split("/") if at else ():
        place = place[int(step) if isinstance(place, list) else step]
    place.update(UNKNOWN)
    assert runtime.output(b) == "ran\n"


def test_unknown_annotations_are_kept_and_mean_nothing(runtime, bundle):
    b = bundle()
    notes = {"com.example.gpu-cores": "2", "org.opencontainers.image.os": "linux", "no-dots": ""}
    b.config["annotations"] = notes
    assert runtime.state(runtime.start(b))["annotations"].items() >= notes.items()


@pytest.mark.pyrunc_only("1.1 checks less, and says it in Go's words")
@pytest.mark.parametrize(
    ("annotations", "pointer"),
    [
        ({"": "value"}, "/annotations/"),
        ({"key": 1}, "/annotations/key"),
        ({"a/b": {}}, "/annotations/a~1b"),
        (["key"], "/annotations"),
    ],
)
def test_no_annotations(runtime, bundle, annotations, pointer):
    b = bundle("true")
    b.config["annotations"] = annotations
    assert f"(at {pointer}" in refused(runtime, b)


# Each needs a pair, a name or another field.
NONSENSE = [
    ("/linux/resources/blockIO/weightDevice/0", "resources", {"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}),
    ("/linux/resources/rdma/mlx5_1", "resources", {"rdma": {"mlx5_1": {}}}),
    ("/linux/namespaces/0/path", "namespaces", [{"type": "ipc", "path": "proc/self/ns/ipc"}, {"type": "mount"}]),
    ("/linux/devices/0/major", "devices", [{"path": "/dev/x", "type": "c", "minor": 1}]),
    ("/linux/devices/0/minor", "devices", [{"path": "/dev/x", "type": "b", "major": 1}]),
    ("/linux/devices/0/path", "devices", [{"path": "dev/x", "type": "c", "major": 1, "minor": 3}]),
    ("/linux/timeOffsets/realtime", "timeOffsets", {"realtime": {"secs": 1}}),
    ("/linux/uidMappings/0/size", "uidMappings", [{"containerID": 0, "hostID": 1, "size": 0}]),
    ("/linux/uidMappings/0/hostID", "uidMappings", [{"containerID": 0, "size": 1}]),
]


@pytest.mark.pyrunc_only("1.1 checks little of it")
@pytest.mark.parametrize(("pointer", "field", "value"), NONSENSE)
def test_values_that_make_no_sense(runtime, bundle, pointer, field, value):
    b = bundle("true")
    b.linux[field] = value
    if field == "timeOffsets":
        b.namespace("time")
    if field == "namespaces":
        del b.config["hostname"]
    assert f"(at {pointer}" in fails(runtime, b)


@pytest.mark.pyrunc_only("1.1 does not know it")
@pytest.mark.parametrize(("more", "seen"), [({}, "not permitted"), ({"defaultErrnoRet": 28}, "No space left")])
def test_the_errno_of_the_default_action(runtime, bundle, more, seen):
    """Everything that the profile names is allowed but what it leaves out: making a directory."""
    b = bundle()
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", **more, "syscalls": [{"names": ALLOWED, "action": "SCMP_ACT_ALLOW"}]}
    done = runtime.run(with_args(b, "mkdir", "/data/new"), check=False)
    assert seen in done.stderr
    assert not (b.rootfs / "data/new").exists()


def with_args(b, *words):
    b.process["args"] = list(words)
    return b


# Capabilities that the runtime itself lacks


LACKING = ("setpriv", "--bounding-set", "-net_raw", "--")


@pytest.mark.pyrunc_only("1.1 fails, and newer ones do it alike")
@pytest.mark.parametrize("kind", ["run", "exec"])
def test_a_capability_that_the_runtime_lacks_is_a_warning(runtime, bundle, kind, tmp_path):
    b = give(bundle("cat", "/proc/self/status"), "CAP_KILL", "CAP_NET_RAW", sets=("bounding", "effective", "permitted", "inheritable", "ambient"))
    log = tmp_path / "log"
    if kind == "run":
        words = ("run", "--bundle", str(b.path), runtime.prepare(b))
    else:
        name = runtime.start(bundle())
        (tmp_path / "process.json").write_text(json.dumps(b.process))
        words = ("exec", "--process", str(tmp_path / "process.json"), name)
    command = [*LACKING, runtime.binary, "--root", str(runtime.root), "--log", str(log), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = fields(done.stdout)
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
        assert int(found[name], 16) == 1 << 5, name
    assert "level=warning" in log.read_text()
    assert "CAP_NET_RAW" in log.read_text()
    assert "CAP_KILL" not in log.read_text()


@pytest.mark.pyrunc_only("1.1 fails")
def test_in_a_user_namespace_it_has_them_all(runtime, bundle, tmp_path):
    b = mapped(give(bundle("cat", "/proc/self/status"), "CAP_SYS_CHROOT"))
    log = tmp_path / "log"
    command = ["setpriv", "--bounding-set", "-sys_chroot", "--", runtime.binary, "--root", str(runtime.root), "--log", str(log)]
    words = ("run", "--bundle", str(b.path), runtime.prepare(b))
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(fields(done.stdout)["CapEff"], 16) == 1 << 18
    assert not log.exists() or "warning" not in log.read_text()


# The size of the console


@pytest.mark.parametrize("process", [True, False])
def test_the_size_of_the_console(runtime, bundle, tmp_path, process):
    """Of a container's terminal, and of one that a process document asks for."""
    b = bundle("stty", "size") if not process else bundle()
    size = {"terminal": True, "consoleSize": {"height": 31, "width": 97}}
    console = Receiver(tmp_path / "s")
    if process:
        name = runtime.start(b)
        (tmp_path / "process.json").write_text(json.dumps({**b.process, **size, "args": ["stty", "size"]}))
        words = ("--process", str(tmp_path / "process.json"), "--tty", "--detach", "--console-socket", console.path)
        runtime("exec", *words, name, stdout=-3, stderr=-3)
    else:
        b.process.update(size)
        name = runtime.create(b, "--console-socket", console.path)
    _, master = console.receive()
    if not process:
        runtime("start", name)
    assert read_all(master) == "31 97\r\n"
    os.close(master)


def test_the_size_of_no_console_is_ignored(runtime, bundle):
    b = bundle("sh", "-c", "stty size || echo none")
    b.process["consoleSize"] = {"height": 31, "width": 97}
    assert "none" in runtime.run(b, check=False).stdout
