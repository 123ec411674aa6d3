"""A container whose state cannot be read: others are told so, and `delete --force` ends and removes it all the same."""

from __future__ import annotations

import json

import pytest

from integration.harness.keeper import running
from integration.harness.leaks import cgroup_directories
from integration.harness.runtime import wait_for

pytestmark = pytest.mark.pyrunc_only("leaves its processes")


def damage(runtime, name, how):
    state = runtime.root / name / "state"
    if how == "directory":
        state.unlink()
        state.mkdir()
    elif how == "loop":
        state.unlink()
        state.symlink_to("state")
    else:
        state.write_bytes({"word": b"x", "empty": b"", "half": state.read_bytes()[:-20]}[how])


@pytest.mark.parametrize("how", ["word", "empty", "half", "directory", "loop"])
@pytest.mark.parametrize("waiting", [False, True])
def test_it_ends_and_goes(runtime, bundle, how, waiting):
    b = bundle("sleep 1234 & sleep 1235")
    name = runtime.create(b) if waiting else runtime.start(b)
    pid = runtime.pid(name)
    damage(runtime, name, how)
    for words in (["state", name], ["start", name], ["kill", name], ["delete", name]):
        said = runtime.refuses(*words)
        assert f"{name}/state " in said
        assert "delete --force" in said
    assert running(pid)
    done = runtime("delete", "--force", name)
    assert "state is damaged" in done.stderr
    wait_for(lambda: not running(pid), "init to end")
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)


def test_its_poststop_hooks_run(runtime, bundle, tmp_path):
    b = bundle()
    b.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{tmp_path}/told"]}]}
    name = runtime.start(b)
    damage(runtime, name, "word")
    runtime("delete", "--force", name)
    told = json.loads((tmp_path / "told").read_text())
    assert (told["id"], told["status"]) == (name, "stopped")


def test_without_a_pid_namespace_all_of_it_ends(runtime, bundle):
    b = bundle("sleep 1234 & sleep 1235")
    b.namespace("pid", drop=True)
    name = runtime.start(b)
    wait_for(lambda: len(json.loads(runtime("ps", "-f", "json", name).stdout)) == 2, "both to run")
    pids = json.loads(runtime("ps", "-f", "json", name).stdout)
    damage(runtime, name, "empty")
    runtime("delete", "--force", name)
    wait_for(lambda: not any(running(pid) for pid in pids), "all of them to end")


def test_one_that_has_ended_is_removed(runtime, bundle):
    name = runtime.start(bundle("true"))
    runtime.wait(name, "stopped")
    damage(runtime, name, "word")
    runtime("delete", "--force", name)
    assert not (runtime.root / name).exists()


def test_where_nothing_can_be_read_nothing_is_removed(runtime, bundle):
    """Nobody would look for its processes any more."""
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    whole = {file: (runtime.root / name / file).read_bytes() for file in ("state", "config.json")}
    for file in whole:
        (runtime.root / name / file).write_text("x")
    said = runtime.refuses("delete", "--force", name)
    assert "by hand" in said
    assert running(pid)
    for file, content in whole.items():
        (runtime.root / name / file).write_bytes(content)
