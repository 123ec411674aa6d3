"""The lifecycle and the operations (runtime.md): what is there when, and what must not happen."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.harness.failures import fails
from integration.looking import cgroup_of, mountinfo, namespace, unified, volume


def test_all_but_the_program_is_there_before_the_start(runtime, bundle):
    b = bundle("sh", "-c", "touch /data/ran; sleep 1000")
    b.config["hostname"] = "before-start"
    b.mount("/data", "bind", str(volume(b)), "bind")
    b.linux["resources"] = {"pids": {"limit": 77}}
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    b.linux["devices"] = [{"path": "/dev/made", "type": "c", "major": 1, "minor": 3}]
    name = runtime.create(b)
    pid = runtime.pid(name)
    limit = cgroup_of(pid, "pids") / "pids.max"
    assert limit.read_text() == "77\n"
    assert str(pid) in (limit.parent / "cgroup.procs").read_text().split()
    for kind in ("pid", "network", "mount", "ipc", "uts"):
        assert namespace(pid, kind) != namespace("self", kind)
    mounts = mountinfo(Path(f"/proc/{pid}/mountinfo").read_text())
    assert {"/proc", "/dev", "/data"} <= mounts.keys()
    inside = ["nsenter", f"--target={pid}", "--uts", "--net", f"--mount=/proc/{pid}/ns/mnt", f"--root=/proc/{pid}/root"]
    seen = subprocess.run(
        [*inside, "/bin/sh", "-c", "hostname; cat /proc/sys/net/ipv4/ip_forward; ls /dev/made /data"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == ["before-start", "1", "/dev/made", "/data:"]  # and no /data/ran
    runtime("start", name)
    assert runtime.pid(name) == pid


def test_a_change_of_the_configuration_has_no_effect(runtime, bundle, tmp_path):
    """Not on the program, not on hooks that are still to run, not on exec."""
    b = bundle("sh", "-c", "echo $WHO >/data/who; sleep 1000")
    path = volume(b)
    b.mount("/data", "bind", str(path), "bind")
    b.process["env"] = ["PATH=/bin", "WHO=first"]
    hook = {"path": "/bin/sh", "env": ["PATH=/bin:/usr/bin"]}
    b.config["hooks"] = {
        kind: [{**hook, "args": ["sh", "-c", f"touch {tmp_path}/{kind}"]}] for kind in ("poststart", "poststop")
    }
    name = runtime.create(b)
    b.process["env"] = ["PATH=/bin", "WHO=second"]
    b.config["hooks"] = {}
    b.config["hostname"] = "second"
    b.save()
    runtime("start", name)
    words = "until test -s /data/who; do sleep 0.02; done; cat /data/who; echo $WHO"
    seen = runtime.exec(name, "sh", "-c", words).stdout.split()
    assert seen == ["first", "second" if runtime.name == "runc" else "first"]  # runc reads the bundle again
    (b.path / "config.json").unlink()
    assert runtime.status(name) == "running"
    runtime.end(name)
    runtime("delete", name)
    assert (tmp_path / "poststart").exists()
    assert (tmp_path / "poststop").exists()


@pytest.mark.parametrize("command", ["state", "create", "start", "kill", "delete", "run", "exec"])
def test_an_operation_without_a_container(runtime, bundle, command):
    done = runtime(command, check=False, cwd=bundle().path)
    assert done.returncode != 0
    assert not [entry for entry in os.listdir(runtime.root) if not entry.startswith(".")]


@pytest.mark.parametrize("words", [("start",), ("kill",), ("delete",), ("pause",), ("exec", "true")])
def test_an_operation_on_a_container_that_does_not_exist(runtime, words):
    command, *rest = words
    done = runtime(command, runtime.new_id(), *rest, check=False)
    assert done.returncode not in (0, 2)
    assert "does not exist" in done.stderr


def test_a_paused_container_is_not_started(runtime, bundle):
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    runtime("pause", name)
    runtime.refuses("start", name)
    assert (runtime.status(name), runtime.pid(name)) == ("paused", pid)
    runtime("resume", name)
    assert runtime.status(name) == "running"


def test_a_bundle_that_is_not_there(runtime, tmp_path):
    name = runtime.new_id()
    runtime.refuses("create", "--bundle", str(tmp_path / "none"), name)
    assert not (runtime.root / name).exists()


@pytest.mark.parametrize("way", ["absent", "null"])
def test_without_a_process_there_is_nothing_to_start(runtime, bundle, way):
    """`start` would be an error; here, as with runc, it is said by `create` already."""
    b = bundle()
    if way == "absent":
        del b.config["process"]
    else:
        b.config["process"] = None
    assert "process" in fails(runtime, b)


def test_an_id_may_be_used_again(runtime, bundle):
    b = bundle("true")
    name = runtime.start(b)
    runtime.wait(name, "stopped")
    runtime("delete", name)
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.process["args"] = ["echo", "again"]
    b.save()
    assert runtime("run", "--bundle", str(b.path), name).stdout == "again\n"


def test_delete_leaves_what_is_not_its_own(runtime, bundle, tmp_path):
    """The bundle, volumes, a namespace and a cgroup that were there before."""
    b = bundle("sh", "-c", "touch /data/kept /kept")
    path = volume(b)
    b.mount("/data", "bind", str(path), "bind")
    pin = tmp_path / "uts"
    pin.touch()
    subprocess.run(["unshare", f"--uts={pin}", "hostname", "pinned"], check=True)
    name = runtime.new_id()
    top = Path("/sys/fs/cgroup") if unified() else Path("/sys/fs/cgroup/pids")
    parent = top / f"{name}-parent"
    parent.mkdir()
    try:
        b.namespace("uts", path=str(pin))
        del b.config["hostname"]
        b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
        b.save()
        config = (b.path / "config.json").read_bytes()
        runtime("run", "--bundle", str(b.path), name)
        assert parent.exists()
        assert not (parent / name).exists()
        assert (path / "kept").exists()
        assert (b.rootfs / "kept").exists()
        assert (b.path / "config.json").read_bytes() == config
        found = subprocess.run(["nsenter", f"--uts={pin}", "hostname"], capture_output=True, text=True, check=True)
        assert found.stdout == "pinned\n"
    finally:
        subprocess.run(["umount", str(pin)], check=True)
        parent.rmdir()


@pytest.mark.parametrize("field", ["cgroup", "mount", "device", "program", "user", "sysctl"])
def test_a_create_that_fails_leaves_nothing(runtime, bundle, field):
    """An error in each part of the way; the harness looks for processes, mounts, cgroups and directories."""
    b = bundle()
    if field == "cgroup":
        b.linux["resources"] = {"cpu": {"cpus": "999"}}
    elif field == "mount":
        b.mount("/data", "tmpfs", "tmpfs", "size=nonsense")
    elif field == "device":
        b.linux["devices"] = [{"path": "/etc/passwd/device", "type": "c", "major": 1, "minor": 3}]
    elif field == "program":
        b.process["args"] = ["/no/such/program"]
    elif field == "user":
        b.namespace("user")
        b.linux["uidMappings"] = b.linux["gidMappings"] = [{"containerID": 5, "hostID": 100000, "size": 1}]
    else:
        b.linux["sysctl"] = {"net.ipv4.ip_forward": "nonsense"}
    before = json.dumps(sorted(os.listdir(b.path)))
    fails(runtime, b)
    assert json.dumps(sorted(os.listdir(b.path))) == before
