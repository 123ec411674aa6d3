"""Phrases of runc's errors that scripts and engines grep for: what they stand for has the same words here."""

from __future__ import annotations

import os

import pytest

from integration.looking import unified


def said(runtime, b, *, status: int = 1) -> str:
    """Run B, which must fail with STATUS; return what was said."""
    done = runtime.run(b, check=False)
    assert done.returncode == status, done
    assert not done.stdout
    if runtime.name == "pyrunc":
        assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def points(runtime, text: str, pointer: str) -> None:
    """Check that an error of pyrunc's, TEXT, has the place in the configuration behind the words."""
    assert runtime.name != "pyrunc" or f"(at {pointer}" in text, text


@pytest.mark.parametrize(("name", "place"), [("proc", "/mounts/0/destination"), ("sys", "/mounts/5/destination")])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_proc_and_sys_are_real_directories(runtime, bundle, name, place, kind):
    b = bundle("true")
    (b.rootfs / name).rmdir()
    if kind == "link":
        (b.rootfs / "other").mkdir()
        (b.rootfs / name).symlink_to("/other")
    else:
        (b.rootfs / name).touch()
    text = said(runtime, b)
    assert "must be mounted on ordinary directory" in text
    points(runtime, text, place)


@pytest.mark.v1
def test_unified_on_version_1(runtime, bundle):
    b = bundle("true")
    b.linux["resources"]["unified"] = {"memory.high": "1000000000"}
    text = said(runtime, b)
    assert "invalid configuration: cannot use unified on cgroup v1" in text
    points(runtime, text, "/linux/resources/unified/memory.high")


@pytest.mark.parametrize(
    ("policy", "words", "place"),
    [
        ({}, "invalid memory policy mode", "mode"),
        ({"mode": "INTERLEAVE", "nodes": "0"}, "invalid memory policy mode", "mode"),
        ({"nodes": "0-7"}, "invalid memory policy mode", "mode"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "bad"]}, "invalid memory policy flag", "flags/1"),
        ({"mode": "MPOL_BIND", "nodes": "0-9876543210"}, "invalid memory policy nodes", "nodes"),
        ({"mode": "MPOL_BIND", "nodes": "first"}, "invalid memory policy nodes", "nodes"),
        ({"mode": "MPOL_DEFAULT", "nodes": "0-7"}, "mode requires 0 nodes but got 8", "nodes"),
        ({"mode": "MPOL_LOCAL", "nodes": "0,2"}, "mode requires 0 nodes but got 2", "nodes"),
        ({"mode": "MPOL_BIND"}, "mode requires at least one node but got 0", "nodes"),
    ],
)
def test_memory_policies(runtime, bundle, policy, words, place):
    b = bundle("true")
    b.linux["memoryPolicy"] = policy
    text = said(runtime, b)
    assert words in text
    points(runtime, text, f"/linux/memoryPolicy/{place}")


@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor is all of them")
def test_a_deadline_and_some_of_the_processors(runtime, bundle):
    """With a nice value, which means nothing there, as in a configuration of many."""
    b = bundle("true")
    b.linux["resources"]["cpu"] = {"cpus": "0"}
    b.process["scheduler"] = {"policy": "SCHED_DEADLINE", "nice": 19, "runtime": 42000, "deadline": 1000000, "period": 1000000}
    done = runtime.run(b, check=False)
    assert done.returncode == 1
    assert "process scheduler can't be used together with AllowedCPUs" in done.stderr
    points(runtime, done.stderr, "/process/scheduler")


def test_a_seccomp_agent_that_is_not_there(runtime, bundle, tmp_path):
    b = bundle("true")
    calls = [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(tmp_path / "none"), "syscalls": calls}
    text = said(runtime, b)
    assert "failed to connect with seccomp agent" in text
    assert str(tmp_path / "none") in text
    points(runtime, text, "/linux/seccomp/listenerPath")


@pytest.mark.parametrize(
    ("content", "words"),
    [("#!/mmnnttbb foo bar\nsh\n", "exec /run.sh: no such file or directory"), ("neither", "exec /run.sh: exec format error")],
)
def test_a_program_that_is_found_and_cannot_be_executed(runtime, bundle, content, words):
    """Status 255, of run and of exec; 1 is for a program that is not found, or that may not be executed."""
    b = bundle("/run.sh")
    (b.rootfs / "run.sh").write_text(content)
    (b.rootfs / "run.sh").chmod(0o755)
    assert words in said(runtime, b, status=255)
    b.process["args"] = ["sleep", "1000"]
    done = runtime.exec(runtime.start(b), "/run.sh", check=False)
    assert done.returncode == 255
    assert words in done.stderr
    (b.rootfs / "run.sh").chmod(0o644)
    b.process["args"] = ["/run.sh"]
    assert "permission denied" in said(runtime, b, status=1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("..", "bad sub cgroup path: .."),
        ("../x", "bad sub cgroup path: ../x"),
        ("pids:../x", "bad sub cgroup path: ../x"),
        ("whaaat:/", "unknown controller whaaat"),
        ("nonexistent", "no such file or directory"),
        ("pids:nonexistent", "no such file or directory"),
    ],
)
def test_exec_in_cgroups_that_cannot_be(runtime, bundle, asked, words):
    if unified() and ":" in asked:
        pytest.skip("version 2 has one tree")
    name = runtime.start(bundle())
    done = runtime("exec", "--cgroup", asked, name, "true", check=False)
    assert done.returncode == 255
    assert words in done.stderr
    if "nonexistent" in asked:
        assert " adding pid " in done.stderr
        assert " to cgroups: " in done.stderr
        points(runtime, done.stderr, "--cgroup")


@pytest.mark.v2
def test_exec_in_a_cgroup_that_hands_its_controllers_down(runtime, bundle):
    b = bundle()
    b.namespace("cgroup")
    cgroup = next(mount for mount in b.config["mounts"] if mount["destination"] == "/sys/fs/cgroup")
    cgroup["options"].remove("ro")
    name = runtime.start(b)
    script = "mkdir /sys/fs/cgroup/down && echo 1 >/sys/fs/cgroup/down/cgroup.procs && echo $$ >/sys/fs/cgroup/down/cgroup.procs"
    runtime.exec(name, "sh", "-ec", f"{script} && echo +memory >/sys/fs/cgroup/cgroup.subtree_control")
    assert "0::/down" in runtime.exec(name, "cat", "/proc/self/cgroup").stdout
    done = runtime("exec", "--cgroup", "/", name, "true", check=False)
    assert done.returncode == 255
    assert " adding pid " in done.stderr
    assert " to cgroups" in done.stderr
    assert "device or resource busy" in done.stderr


@pytest.mark.parametrize(
    ("memory", "words"),
    [({"limit": 1024}, "rejecting memory limit"), ({"limit": 1024, "swap": 2048}, "rejecting memory+swap limit")],
)
def test_limits_below_what_is_used(runtime, bundle, memory, words):
    b = bundle()
    b.linux["resources"]["memory"] = {"limit": 1 << 26, "swap": 1 << 27}
    name = runtime.start(b)
    document = '{"memory": {%s, "checkBeforeUpdate": true}}' % ", ".join(f'"{key}": {value}' for key, value in memory.items())
    done = runtime("update", "--resources", "-", name, input=document, check=False)
    assert done.returncode == 1
    assert (words if unified() else "unable to set memory limit to 1024 (current usage: ") in done.stderr
    assert runtime.status(name) == "running"


@pytest.mark.parametrize("words", [("foo",), ("foo", "-h"), ("help", "foo"), ("foo", "--help")])
def test_a_command_that_there_is_not(runtime, words):
    done = runtime(*words, check=False)
    assert done.returncode == 3
    assert "No help topic for 'foo'" in done.stderr


def test_a_hostname_twice(runtime, bundle):
    b = bundle("true")
    b.config["hostname"] = "one"
    b.linux["sysctl"] = {"kernel.hostname": "two"}
    text = said(runtime, b)
    assert 'conflicts with the OCI "hostname" field' in text.replace("\\", "")
    points(runtime, text, "/linux/sysctl/kernel.hostname")
