"""The states of runtime.md, and what each allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def test_run_prints_and_ends(runtime, bundle):
    assert runtime.output(bundle("echo hello world")) == "hello world\n"


@pytest.mark.parametrize(("script", "status"), [("exit 0 ", 0), ("exit 7 ", 7), ("kill -9 $$", 137)])
def test_run_returns_the_status(runtime, bundle, script, status):
    b = bundle(f"sh -c '{script}' ; exit $?")
    assert runtime.run(b, check=False).returncode == status


def test_run_returns_the_signal_that_ended_init(runtime, bundle):
    b = bundle("kill -TERM $$ ; sleep 5")
    b.namespace("pid", drop=True)  # as pid 1 of a namespace it would ignore the signal
    assert runtime.run(b, check=False).returncode == 143


def test_a_whole_life(runtime, bundle):
    b = bundle("sleep", "1000")
    b.config["annotations"] = {"org.example.key": "value"}
    name = runtime.create(b)
    state = runtime.state(name)
    assert state["status"] == "created"
    assert state["id"] == name
    assert state["bundle"] == str(b.path)
    assert state["rootfs"] == str(b.rootfs)
    assert state["annotations"]["org.example.key"] == "value"
    assert state["ociVersion"].startswith("1.")
    assert "created" in state
    assert "owner" in state
    pid = state["pid"]
    before = Path(f"/proc/{pid}/cmdline").read_text()
    assert "sleep\x001000" not in before  # the user's program does not run yet
    runtime("start", name)
    assert runtime.status(name) == "running"
    assert runtime.pid(name) == pid
    assert Path(f"/proc/{pid}/cmdline").read_text() == "sleep\x001000\x00"
    runtime("pause", name)
    assert runtime.status(name) == "paused"
    runtime("resume", name)
    assert runtime.status(name) == "running"
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    assert runtime.state(name)["pid"] == 0
    runtime("delete", name)
    gone = runtime("state", name, check=False)
    assert gone.returncode == 1
    assert "container does not exist" in gone.stderr


def refused(runtime, *words, status=1):
    done = runtime(*words, check=False)
    assert done.returncode == status, done
    return done.stderr


def test_start_twice(runtime, bundle):
    name = runtime.start(bundle())
    assert "cannot start an already running container" in refused(runtime, "start", name)
    assert runtime.status(name) == "running"


def test_start_a_stopped_container(runtime, bundle):
    name = runtime.start(bundle("true"))
    runtime.wait(name, "stopped")
    assert "cannot start a container that has stopped" in refused(runtime, "start", name)


def test_plain_delete_of_a_created_container(runtime, bundle):
    """It is ended and removed, with its poststop hooks, as by runc, crun and youki."""
    b = bundle()
    b.config["hooks"] = {"poststop": [{"path": "/bin/touch", "args": ["touch", str(b.path / "stopped")]}]}
    name = runtime.create(b)
    pid = runtime.pid(name)
    runtime("delete", name)
    assert not (runtime.root / name).exists()
    assert not Path(f"/proc/{pid}").exists()
    assert (b.path / "stopped").exists()


def test_plain_delete_of_a_paused_container(runtime, bundle):
    for name in (runtime.create(bundle()), runtime.start(bundle())):
        runtime("pause", name)
        assert "is not stopped: paused" in refused(runtime, "delete", name)
        assert runtime.status(name) == "paused"


def test_delete_a_running_container(runtime, bundle):
    name = runtime.start(bundle())
    assert "is not stopped: running" in refused(runtime, "delete", name)
    assert runtime.status(name) == "running"


def test_exec_in_a_stopped_container(runtime, bundle):
    name = runtime.start(bundle("true"))
    runtime.wait(name, "stopped")
    assert "stopped container" in refused(runtime, "exec", name, "true", status=255)


def test_exec_in_a_paused_container(runtime, bundle):
    name = runtime.start(bundle())
    runtime("pause", name)
    assert "cannot exec in a paused container" in refused(runtime, "exec", name, "true", status=255)
    runtime("resume", name)


def test_kill_a_stopped_container(runtime, bundle):
    name = runtime.start(bundle("true"))
    runtime.wait(name, "stopped")
    assert "container not running" in refused(runtime, "kill", name)
    runtime("kill", "--all", name, "KILL")


def test_resume_what_is_not_paused(runtime, bundle):
    name = runtime.start(bundle())
    assert "not paused" in refused(runtime, "resume", name)
    assert runtime.status(name) == "running"


def test_pause_a_stopped_container(runtime, bundle):
    name = runtime.start(bundle("true"))
    runtime.wait(name, "stopped")
    assert "container not running" in refused(runtime, "pause", name)


def test_a_second_create_leaves_the_first_alone(runtime, bundle):
    b = bundle()
    name = runtime.start(b)
    pid = runtime.pid(name)
    other = bundle("sleep", "2000")
    other.linux["cgroupsPath"] = "/pyrunc-test-other/c"
    other.save()
    message = refused(runtime, "create", "--bundle", str(other.path), name)
    assert "container with given ID already exists" in message
    assert runtime.pid(name) == pid
    assert runtime.status(name) == "running"
    assert not Path("/sys/fs/cgroup/pids/pyrunc-test-other").exists()


def test_a_paused_process_does_not_run(runtime, bundle):
    b = bundle("i=0; while true; do i=$((i+1)); echo $i >/data/count; done")
    name = runtime.start(b)
    count = b.rootfs / "data/count"
    runtime("pause", name)
    first = count.read_text()
    os.sched_yield()
    for _ in range(20):
        assert count.read_text() == first
    runtime("resume", name)
    from integration.harness.runtime import wait_for

    wait_for(lambda: count.read_text() not in ("", first), "the counter to go on")


def test_detached_run(runtime, bundle):
    name = runtime._prepare(bundle())
    runtime("run", "--detach", "--bundle", str(runtime.directory / "bundle1"), name, stdout=-3, stderr=-3)
    assert runtime.status(name) == "running"


def test_run_keep(runtime, bundle):
    b = bundle("true")
    name = runtime._prepare(b)
    done = runtime("run", "--keep", "--bundle", str(b.path), name, check=False)
    if runtime.name == "runc" and done.returncode:
        pytest.skip("this runc has no --keep")
    assert runtime.status(name) == "stopped"
    runtime("delete", name)


def test_a_later_process_of_the_same_pid_is_not_the_container(runtime, bundle):
    """The state of a container whose init has ended is stopped, whoever has its pid now."""
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    assert not Path(f"/proc/{pid}").exists() or runtime.status(name) == "stopped"
    assert "container not running" in refused(runtime, "kill", name)


def test_delete_force_of_an_unknown_id(runtime):
    runtime("delete", "--force", runtime.new_id())


def test_delete_force_of_a_running_container(runtime, bundle):
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    runtime("delete", "--force", name)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_delete_force_of_a_paused_container(runtime, bundle):
    name = runtime.start(bundle())
    runtime("pause", name)
    runtime("delete", "--force", name)
