"""The six kinds of hooks: order, namespaces, standard input, environment, time limit, failure."""

from __future__ import annotations

import json
import os
import time

import pytest

from integration.harness.keeper import running
from integration.harness.leaks import cgroup_directories

HOST_KINDS = ("prestart", "createRuntime", "poststart", "poststop")
ALL = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def shell(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **more}


def test_order_state_and_status(runtime, bundle, tmp_path):
    b = bundle()
    shared = tmp_path / "shared"
    shared.mkdir()
    b.mount("/shared", "bind", str(shared), "bind")
    b.config["hooks"] = {
        kind: [shell(f"cat >{'/shared' if kind == 'startContainer' else shared}/{kind}; date +%s%N")] for kind in ALL
    }
    name = runtime.start(b)
    pid = runtime.pid(name)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    runtime("delete", name)
    states = {kind: json.loads((shared / kind).read_text()) for kind in ALL}
    for kind in ALL:
        assert states[kind]["id"] == name
        assert states[kind]["bundle"] == str(b.path)
    times = [(shared / kind).stat().st_mtime_ns for kind in ALL]
    if runtime.name == "pyrunc":
        assert times == sorted(times)
        statuses = [states[kind]["status"] for kind in ALL]
        assert statuses == ["creating", "creating", "creating", "created", "running", "stopped"]
    assert states["createRuntime"]["pid"] == states["prestart"]["pid"] == pid


def test_namespaces(runtime, bundle, tmp_path):
    b = bundle()
    out = tmp_path / "out"
    out.mkdir()
    b.mount("/out", "bind", str(out), "bind")
    b.config["hooks"] = {
        "createRuntime": [shell(f"readlink /proc/self/ns/uts /proc/self/ns/mnt >{out}/createRuntime")],
        "createContainer": [shell(f"readlink /proc/self/ns/uts >{out}/createContainer")],
        "startContainer": [shell("readlink /proc/self/ns/uts >/out/startContainer")],
    }
    name = runtime.start(b)
    inside = os.readlink(f"/proc/{runtime.pid(name)}/ns/uts")
    assert (out / "createRuntime").read_text().split()[0] == os.readlink("/proc/self/ns/uts")
    assert (out / "createContainer").read_text().strip() == inside
    assert (out / "startContainer").read_text().strip() == inside


def test_environment_and_arguments(runtime, bundle, tmp_path):
    b = bundle("true")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"env >{tmp_path}/env"], "env": ["ONLY=this"]}
    b.config["hooks"] = {"createRuntime": [hook]}
    runtime.run(b)
    lines = set((tmp_path / "env").read_text().split())
    assert {line for line in lines if not line.startswith(("PWD=", "_=", "SHLVL="))} == {"ONLY=this"}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_failing_hook_ends_the_create(runtime, bundle, kind):
    b = bundle("true")
    b.config["hooks"] = {kind: [shell("echo what went wrong >&2; exit 5")]}
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    log = b.path / "log"
    done = runtime("--log", str(log), "create", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "exit status 5" in log.read_text()
    assert "what went wrong" in log.read_text()
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)


def test_a_failing_startcontainer_hook(runtime, bundle):
    b = bundle()
    b.config["hooks"] = {"startContainer": [shell("echo bad start >&2; exit 5")]}
    name = runtime.create(b)
    done = runtime("start", name, check=False)
    if runtime.name == "pyrunc":
        assert done.returncode == 1
        assert "bad start" in done.stderr
        assert "exit status 5" in done.stderr
        assert runtime("state", name, check=False).returncode == 1
    else:  # which leaves it to be deleted
        runtime.wait(name, "stopped")


@pytest.mark.pyrunc_only("runs poststart before the program")
def test_poststart_runs_after_the_program_has_started(runtime, bundle, tmp_path):
    b = bundle()
    script = f"""pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/'); tr '\\0' ' ' </proc/$pid/cmdline >{tmp_path}/line"""
    b.config["hooks"] = {"poststart": [shell(script)]}
    runtime.start(b)
    assert (tmp_path / "line").read_text() == "sleep 1000 "


@pytest.mark.pyrunc_only("1.3.0 made it an error of start")
def test_a_failing_poststart_hook_is_an_error_of_start(runtime, bundle):
    b = bundle()
    b.config["hooks"] = {"poststart": [shell("exit 6")]}
    name = runtime.create(b)
    pid = runtime.pid(name)
    done = runtime("start", name, check=False)
    assert done.returncode == 1
    assert "poststart" in done.stderr
    assert not running(pid)
    assert runtime("state", name, check=False).returncode == 1


@pytest.mark.pyrunc_only("it leaves it to be deleted")
@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_a_hook_that_fails_at_start_destroys_the_container(runtime, bundle, tmp_path, kind):
    """Steps 7 and 9 of the lifecycle continue with 12 and 13: everything is taken down, and poststop hooks run."""
    b = bundle()
    b.config["hooks"] = {kind: [shell("exit 6")], "poststop": [shell(f"touch {tmp_path}/after")]}
    name = runtime.create(b)
    assert runtime("start", name, check=False).returncode == 1
    assert (tmp_path / "after").exists()
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)
    runtime("delete", "--force", name)


@pytest.mark.pyrunc_only("1.1 of Debian 12 stops at the first that fails")
def test_every_poststop_hook_runs(runtime, bundle, tmp_path):
    b = bundle("true")
    b.config["hooks"] = {"poststop": [shell("exit 1"), shell(f"touch {tmp_path}/second")]}
    name = runtime.start(b)
    runtime.wait(name, "stopped")
    runtime("delete", name, check=False)
    assert (tmp_path / "second").exists()
    assert not (runtime.root / name).exists()


def test_timeout(runtime, bundle):
    b = bundle("true")
    b.config["hooks"] = {"createRuntime": [shell("exec sleep 60", timeout=1)]}
    begun = time.monotonic()
    done = runtime.run(b, check=False)
    assert done.returncode == 1
    assert time.monotonic() - begun < 20
    if runtime.name == "pyrunc":
        assert "hook ran past specified timeout of 1.0s" in done.stderr


def test_a_hook_that_does_not_read(runtime, bundle):
    b = bundle("echo", "ran")
    b.config["annotations"] = {"long": "x" * 200000}
    b.config["hooks"] = {kind: [{"path": "/bin/true", "args": ["true"]}] for kind in HOST_KINDS}
    assert runtime.output(b) == "ran\n"


def test_a_missing_hook(runtime, bundle):
    b = bundle("true")
    b.config["hooks"] = {"createRuntime": [{"path": "/no/such/hook"}]}
    done = runtime.run(b, check=False)
    assert done.returncode == 1
    assert "no such file or directory" in done.stderr


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
def test_a_hook_that_does_not_read_the_state(runtime, bundle, kind):
    """It is longer than a pipe holds, so whoever writes it finds the other end closed: that ends nobody.

    Not even an init that is no process 1, whom signals would end.
    """
    b = bundle("echo", "ran")
    b.namespace("pid", drop=True)
    b.config["annotations"] = {"long": "x" * 200_000}
    b.config["hooks"] = {kind: [{"path": "/bin/true"}] * 2}
    assert runtime.output(b) == "ran\n"


@pytest.mark.pyrunc_only("`start` returns 0")
def test_an_init_that_is_no_process_1_says_what_is_wrong(runtime, bundle):
    """Whoever created it has left: that is no reason to be ended by a signal, instead of telling `start`."""
    b = bundle("echo", "ran")
    b.namespace("pid", drop=True)
    b.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    assert "startContainer hook" in runtime.refuses("start", runtime.create(b))
