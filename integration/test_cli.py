"""The command line: kill, list, ps, spec, features, version, help, pid files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for
from integration.looking import unified

COMMANDS = "create start run state kill delete list exec ps pause resume spec features".split()


@pytest.mark.parametrize("word", ["TERM", "SIGTERM", "15", "term"])
def test_kill_by_name_and_number(runtime, bundle, word):
    b = bundle("trap 'exit 0' TERM; touch /data/ready; while true; do sleep 0.05; done")
    name = runtime.start(b)
    wait_for((b.rootfs / "data/ready").exists, "the trap to be set")
    runtime("kill", name, word)
    runtime.wait(name, "stopped")


def test_kill_defaults_to_term(runtime, bundle):
    b = bundle("trap 'exit 0' TERM; touch /data/ready; while true; do sleep 0.05; done")
    name = runtime.start(b)
    wait_for((b.rootfs / "data/ready").exists, "the trap to be set")
    runtime("kill", name)
    runtime.wait(name, "stopped")


def test_an_empty_signal_is_none(runtime, bundle):
    b = bundle("trap 'exit 0' TERM; touch /data/ready; while true; do sleep 0.05; done")
    name = runtime.start(b)
    wait_for((b.rootfs / "data/ready").exists, "the trap to be set")
    runtime("kill", name, "")
    runtime.wait(name, "stopped")


@pytest.mark.pyrunc_only("always sends TERM")
@pytest.mark.parametrize("word", ["SIGUSR1", "10", "usr1"])
def test_kill_defaults_to_the_stop_signal_of_the_image(runtime, bundle, word):
    b = bundle("trap 'echo usr1 > /data/got; exit 0' USR1; touch /data/ready; while true; do sleep 0.05; done")
    b.config["annotations"] = {"org.opencontainers.image.stopSignal": word}
    name = runtime.start(b)
    wait_for((b.rootfs / "data/ready").exists, "the trap to be set")
    runtime("kill", name)
    runtime.wait(name, "stopped")
    assert (b.rootfs / "data/got").read_text() == "usr1\n"


@pytest.mark.pyrunc_only("always sends TERM")
def test_a_stop_signal_that_is_none(runtime, bundle):
    b = bundle()
    b.config["annotations"] = {"org.opencontainers.image.stopSignal": "SIGNONSENSE"}
    name = runtime.start(b)
    said = runtime.refuses("kill", name)
    assert said.endswith('annotation org.opencontainers.image.stopSignal: unknown signal "SIGNONSENSE" (name the signal to send)')
    runtime("kill", name, "KILL")


@pytest.mark.parametrize("word", ["NONSENSE", "-1", "1000"])
def test_an_unknown_signal(runtime, bundle, word):
    name = runtime.start(bundle())
    assert runtime("kill", name, word, check=False).returncode == 1
    assert runtime.status(name) == "running"


def test_kill_all_without_a_pid_namespace(runtime, bundle):
    b = bundle("sleep 777 & sleep 888")
    b.namespace("pid", drop=True)
    name = runtime.start(b)
    wait_for(lambda: len(json.loads(runtime("ps", "--format", "json", name).stdout)) == 2, "both to run")
    pids = json.loads(runtime("ps", "--format", "json", name).stdout)
    runtime("kill", "--all", name, "KILL")
    runtime.wait(name, "stopped")
    wait_for(lambda: not any(running(pid) for pid in pids), "all of them to end")
    runtime("delete", name)


@pytest.mark.parametrize("pid_namespace", ["none", "joined"])
@pytest.mark.parametrize("flags", [(), ("--all",)])
def test_kill_of_what_init_has_left_behind(runtime, bundle, pid_namespace, flags):
    b = bundle("sleep 777 & sleep 888 & wait")
    if pid_namespace == "none":
        b.namespace("pid", drop=True)
    else:
        b.namespace("pid", path=f"/proc/{runtime.pid(runtime.start(bundle()))}/ns/pid")
    name = runtime.start(b)
    wait_for(lambda: len(json.loads(runtime("ps", "--format", "json", name).stdout)) == 3, "all to run")
    pids = json.loads(runtime("ps", "--format", "json", name).stdout)
    os.kill(runtime.pid(name), signal.SIGKILL)
    runtime.wait(name, "stopped")
    assert sum(running(pid) for pid in pids) == 2
    assert "container not running" in runtime.refuses("kill", name, "TERM")
    assert sum(running(pid) for pid in pids) == 2
    runtime("kill", *flags, name, "KILL")
    wait_for(lambda: not any(running(pid) for pid in pids), "all of them to end")
    runtime("kill", "--all", name, "KILL")  # nothing to signal is no error then
    runtime("delete", name)


def test_kill_of_a_stopped_container_with_a_pid_namespace(runtime, bundle):
    name = runtime.start(bundle())
    runtime.end(name)
    for word in ("KILL", "TERM", "0"):
        assert "container not running" in runtime.refuses("kill", name, word)
        runtime("kill", "--all", name, word)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kill_without_a_pid_namespace_reaches_all(runtime, bundle):
    b = bundle("sleep 777 & sleep 888")
    b.namespace("pid", drop=True)
    name = runtime.start(b)
    wait_for(lambda: len(json.loads(runtime("ps", "-f", "json", name).stdout)) == 2, "both to run")
    pids = json.loads(runtime("ps", "-f", "json", name).stdout)
    runtime("delete", "--force", name)
    wait_for(lambda: not any(running(pid) for pid in pids), "all of them to end")


def test_list(runtime, bundle):
    names = [runtime.start(bundle()), runtime.create(bundle())]
    rows = json.loads(runtime("list", "--format", "json").stdout)
    assert [row["id"] for row in rows] == sorted(names)
    found = {row["id"]: row for row in rows}[names[0]]
    assert found["status"] == "running"
    assert found["owner"] == "root"
    assert found["pid"] == runtime.pid(names[0])
    assert runtime("list", "--quiet").stdout.split() == sorted(names)
    header, *lines = runtime("list").stdout.splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert [line.split()[0] for line in lines] == sorted(names)
    for title in ("PID", "STATUS", "BUNDLE"):
        assert all(line[header.index(title) - 1] == " " for line in lines)


def test_list_of_nothing(runtime):
    assert json.loads(runtime("list", "-f", "json").stdout) is None
    assert runtime("list", "-q").stdout == ""


def test_spec_has_a_cgroup_namespace_on_version_2(runtime, tmp_path):
    runtime("spec", "--bundle", str(tmp_path))
    kinds = [each["type"] for each in json.loads((tmp_path / "config.json").read_text())["linux"]["namespaces"]]
    assert kinds == ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if unified() else [])]


def test_an_id_that_begins_with_a_dot(runtime, bundle):
    """It is listed as any other, beside what the runtime keeps itself."""
    b = bundle()
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    plain = runtime.prepare(b)
    name = f".{plain}"
    runtime("run", "--detach", "--bundle", str(b.path), name, capture_output=False, stdout=-3, stderr=-3)
    try:
        assert runtime.status(name) == "running"
        assert runtime("list", "--quiet").stdout.split() == [name]
        assert runtime.exec(name, "echo", "there").stdout == "there\n"
    finally:
        runtime("delete", "--force", name)


@pytest.mark.pyrunc_only("1.1 of Debian 12 lists nothing")
def test_list_with_a_missing_root(runtime, tmp_path):
    missing = tmp_path / "none"
    done = runtime("--root", str(missing), "list", check=False)
    assert done.returncode == 1
    assert not missing.exists()


def test_ps(runtime, bundle):
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    assert json.loads(runtime("ps", "--format", "json", name).stdout) == [pid]
    header, line = runtime("ps", name).stdout.splitlines()
    assert header.split()[:3] == ["UID", "PID", "PPID"]
    assert line.split()[1] == str(pid)
    assert line.endswith("sleep 1000")
    header, line = runtime("ps", name, "-o", "pid,args").stdout.splitlines()
    assert line.split() == [str(pid), "sleep", "1000"]


def test_spec(runtime, tmp_path):
    runtime("spec", "--bundle", str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["process"]["args"] == ["sh"]
    assert not config["process"]["capabilities"].get("inheritable")
    again = runtime("spec", "--bundle", str(tmp_path), check=False)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_what_spec_writes_runs(runtime, bundle):
    b = bundle()
    (b.path / "config.json").unlink()
    runtime("spec", "--bundle", str(b.path))
    b.config = json.loads((b.path / "config.json").read_text())
    b.process["terminal"] = False
    b.process["args"] = ["echo", "ran"]
    assert runtime.output(b) == "ran\n"


@pytest.mark.pyrunc_only("the words differ")
def test_spec_is_what_runc_writes(runtime, tmp_path):
    runtime("spec", "--rootless", "--bundle", str(tmp_path))
    mine = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    subprocess.run(["runc", "spec", "--rootless"], cwd=tmp_path, check=True)
    theirs = json.loads((tmp_path / "config.json").read_text())
    for path in ("mounts", "process.env", "process.args", "linux.uidMappings", "root"):
        ours, other = mine, theirs
        for step in path.split("."):
            ours, other = ours[step], other[step]
        assert ours == other, path


@pytest.mark.pyrunc_only("1.1 of Debian 12 has other fields")
def test_features(runtime):
    found = json.loads(runtime("features").stdout)
    assert found["ociVersionMin"] == "1.0.0"
    assert found["ociVersionMax"] == "1.3.0"
    assert {"rbind", "ridmap", "rro", "tmpcopyup"} <= set(found["mountOptions"])
    assert found["linux"]["mountExtensions"]["idmap"]["enabled"]
    assert "CAP_KILL" in found["linux"]["capabilities"]
    assert found["linux"]["cgroup"]["v1"]
    assert "SCMP_ACT_NOTIFY" in found["linux"]["seccomp"]["actions"]
    assert found["linux"]["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert found["linux"]["netDevices"] == found["linux"]["selinux"] == {"enabled": True}
    assert {"MPOL_BIND", "MPOL_WEIGHTED_INTERLEAVE"} < set(found["linux"]["memoryPolicy"]["modes"])
    assert "MPOL_F_STATIC_NODES" in found["linux"]["memoryPolicy"]["flags"]


def test_version(runtime):
    first, *rest = runtime("--version").stdout.splitlines()
    assert first.startswith(f"{runtime.name} version ")
    assert any(line.startswith("spec: ") for line in rest)
    assert any(line.startswith("commit: ") for line in rest)
    assert any(line.startswith("libseccomp: ") for line in rest)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(runtime, command):
    out = runtime(command, "--help").stdout
    assert command in out
    assert "USAGE" in out or "usage" in out


@pytest.mark.parametrize("words", [("state",), ("start",), ("delete",), ("no-such-command",), ("state", "--no-such-flag", "x"), ("state", "a", "b")])
def test_usage_errors(runtime, words):
    done = runtime(*words, check=False)
    assert done.returncode == (3 if words == ("no-such-command",) else 1)
    assert done.stderr


def test_pid_file_is_relative_to_the_current_directory(runtime, bundle, tmp_path):
    name = runtime.create(bundle(), "--pid-file", "the.pid", cwd=tmp_path)
    assert (tmp_path / "the.pid").read_text() == str(runtime.pid(name))


def test_bundle_defaults_to_the_current_directory(runtime, bundle):
    b = bundle("echo", "here")
    name = runtime._prepare(b)
    assert runtime("run", name, cwd=b.path).stdout == "here\n"


def test_flags_after_the_id(runtime, bundle):
    name = runtime.start(bundle())
    if runtime.name == "pyrunc":
        runtime("delete", name, "--force")
        assert runtime("state", name, check=False).returncode == 1
