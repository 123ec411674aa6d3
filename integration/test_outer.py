"""A runtime whose root is that of a user namespace only, in the pid namespace of the machine: as in rootless Podman."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for
from integration.looking import namespace


@pytest.fixture
def outer(runtime, tmp_path):
    """Let the runtime run in a user namespace of its own, with the mounts of that."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "echo ready; exec sleep infinity"]
    holder = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "ready\n"
    runtime.prefix = ("nsenter", "-t", str(holder.pid), "--user", "--mount")
    yield holder.pid
    runtime.close()
    holder.kill()
    holder.communicate()


def fitting(b):
    """Take out of B what needs the machine's root."""
    b.linux.pop("resources", None)
    b.process["capabilities"].pop("ambient", None)
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    b.config["mounts"] = [mount for mount in b.config["mounts"] if mount["type"] not in ("cgroup", "sysfs")]
    for mount in b.config["mounts"]:
        if mount["type"] == "devpts":
            mount["options"].remove("gid=5")
    return b


def below(b):
    """Give B a user namespace of its own, below the outer one."""
    b.namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        b.linux[kind] = [{"containerID": 0, "hostID": 0, "size": 1}]
    return b


def without_pid_namespace(b):
    b.namespace("pid", drop=True)
    b.config["mounts"] = [mount for mount in b.config["mounts"] if mount["type"] != "proc"]
    b.mount("/proc", "bind", "/proc", "rbind")
    return b


@pytest.fixture(params=[lambda b: b, below, without_pid_namespace], ids=["plain", "below", "without-pid-namespace"])
def container(request, runtime, bundle, outer):
    b = request.param(fitting(bundle("sh", "-c", "while sleep 0.1; do :; done")))
    b.save()
    name = runtime.new_id()
    log = runtime.directory / "create.log"
    words = ("--log", str(log), "run", "--detach", "--bundle", str(b.path), name)
    done = runtime(*words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert done.returncode == 0, log.read_text()
    return name


def test_exec(runtime, container):
    done = runtime.exec(container, "sh", "-c", "cat /proc/self/comm /proc/$$/comm; exit 3", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "cat\nsh\n", "")


def test_exec_in_the_background(runtime, container, tmp_path):
    file = tmp_path / "pid"
    runtime("exec", "--detach", "--pid-file", str(file), container, "sleep", "1000", stdout=-3, stderr=-3)
    pid, init = int(file.read_text()), runtime.pid(container)
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    for kind in ("pid", "mount", "user", "network", "ipc", "uts"):
        assert namespace(pid, kind) == namespace(init, kind)


def test_exec_of_many(runtime, container):
    for status in (0, 1, 2):
        assert runtime.exec(container, "sh", "-c", f"exit {status}", check=False).returncode == status


def test_exec_that_is_killed(runtime, container, tmp_path):
    file = tmp_path / "pid"
    running = runtime.popen("exec", "--pid-file", str(file), container, "sleep", "1000")
    wait_for(lambda: file.exists() and file.read_text(), "the pid")
    wait_for(lambda: Path(f"/proc/{file.read_text()}/comm").read_text() == "sleep\n", "the program")
    running.terminate()
    assert running.wait(20) == 143
    running.communicate()


def test_a_program_that_is_not_there(runtime, container):
    assert "executable file not found" in runtime.refuses("exec", container, "no-such-program", status=255)
