"""Containers of an ordinary user, and runc's rules about cgroups for one (--rootless)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.harness.ordinary import UID, public_directory
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, fields, unified

SUBUIDS = 200000  # the first of those that /etc/subuid gives the user in these tests
MIB = 1 << 20
PASSWD = "root:x:0:0:root:/root:/bin/sh\nordinary:x:1000:1000::/:/bin/sh\n"


@pytest.fixture
def tmp_path():
    with public_directory() as path:
        yield path


# Who it is


def test_what_spec_writes_runs(ordinary, bundle):
    b = ordinary.bundle(bundle("id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups; hostname; touch /data/there"))
    uid, gid, mapping, groups, host = ordinary.run(b).stdout.splitlines()
    assert (uid, gid, mapping.split(), groups) == ("0", "0", ["0", str(UID), "1"], "deny")
    assert host == ordinary.runtime.name
    assert (b.rootfs / "data/there").stat().st_uid == UID


def test_clocks_of_its_own(ordinary, bundle):
    b = ordinary.bundle(bundle("cat", "/proc/self/timens_offsets"))
    b.namespace("time")
    b.linux["timeOffsets"] = {"boottime": {"secs": 1337, "nanosecs": 3}}
    assert ordinary.run(b).stdout.split() == ["monotonic", "0", "0", "boottime", "1337", "3"]


def test_its_life(ordinary, bundle, runtime):
    """create, exec while it waits, start, exec, kill, delete; it is the user's in the list."""
    b = ordinary.bundle(bundle("trap 'exit 7' TERM; touch /data/up; while :; do sleep 0.1; done"))
    name = ordinary.save(b)
    runtime("create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    assert runtime.status(name) == "created"
    assert runtime.exec(name, "echo", "early").stdout == "early\n"
    runtime("start", name)
    wait_for((b.rootfs / "data/up").exists, "the program to begin")
    inside = fields(runtime.exec(name, "cat", "/proc/self/status").stdout)
    assert inside["Uid"].split()[0] == "0"
    assert fields(Path(f"/proc/{runtime.pid(name)}/status").read_text())["Uid"].split()[0] == str(UID)
    assert runtime.exec(name, "sh", "-c", "exit 9", check=False).returncode == 9
    (row,) = json.loads(runtime("list", "--format", "json").stdout)
    assert (row["id"], row["status"]) == (name, "running")
    runtime("kill", name, "TERM")
    runtime.wait(name, "stopped")
    runtime("delete", name)


def test_exec_sees_only_the_container(ordinary, bundle, runtime):
    """It is in every namespace of the container: its processes are the two."""
    name = ordinary.start(ordinary.bundle(bundle("sleep", "1000")))
    found = runtime.exec(name, "sh", "-c", "cd /proc; echo [0-9]*").stdout.split()
    assert len(found) == 2
    for kind in ("pid", "mnt", "ipc", "uts", "user", "cgroup"):
        theirs = runtime.exec(name, "readlink", f"/proc/self/ns/{kind}").stdout.strip()
        assert theirs == os.readlink(f"/proc/{runtime.pid(name)}/ns/{kind}")
        assert kind == "cgroup" or theirs != os.readlink(f"/proc/self/ns/{kind}")  # which runc's spec has not in version 1


def test_a_terminal(ordinary, bundle, runtime):
    name = ordinary.start(ordinary.bundle(bundle("sleep", "1000")))
    command = ["script", "-qec", " ".join(runtime.argv("exec", "-t", name, "tty")), "/dev/null"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert "/dev/pts/" in done.stdout, done


def test_more_easily_killed(ordinary, bundle):
    b = ordinary.bundle(bundle("cat /proc/self/oom_score_adj; cat /dev/null && echo a >/dev/null"))
    b.process["oomScoreAdj"] = 500
    assert ordinary.run(b).stdout == "500\n"


def test_groups_cannot_be_added(ordinary, bundle):
    b = ordinary.bundle(bundle("true"))
    b.process["user"]["additionalGids"] = [0]
    said = ordinary.without_cgroups(b)
    assert "setgroups" in said or "additional groups" in said


def test_a_user_namespace_is_needed(ordinary, bundle):
    b = ordinary.bundle(bundle("true"))
    b.namespace("user", drop=True)
    for kind in ("uidMappings", "gidMappings"):
        del b.linux[kind]
    assert "rootless container requires user namespaces" in ordinary.without_cgroups(b)


def test_its_files_are_bound_and_others_are_not(ordinary, bundle, tmp_path):
    """What it may not read as itself it may not bind either."""
    own, closed = tmp_path / "own", tmp_path / "closed"
    for path in (own, closed):
        path.mkdir()
        (path / "file").write_text("inside")
    ordinary.own(own)
    b = ordinary.bundle(bundle("cat /data/own/file"))
    b.mount("/data/own", "bind", str(own), "bind", "ro")
    assert ordinary.run(b).stdout == "inside"
    (closed / "below").mkdir()
    closed.chmod(0o700)
    b.mount("/data/closed", "bind", str(closed / "below"), "bind")
    assert "permission denied" in ordinary.without_cgroups(b)


def test_state_is_below_the_runtime_directory(ordinary, bundle, runtime):
    b = ordinary.bundle(bundle("sleep", "1000"))
    name = ordinary.save(b)
    command = [*runtime.prefix, runtime.binary]
    subprocess.run([*command, "create", "--bundle", str(b.path), name], check=True, stdin=-3, stdout=-3, stderr=-3, timeout=60)
    try:
        where = ordinary.run_directory / runtime.name
        assert (where / name / "state").exists()
        assert where.stat().st_mode & 0o7777 == 0o1700
    finally:
        subprocess.run([*command, "delete", "--force", name], check=True, timeout=60)
    assert not (where / name).exists()


# Other ids


def with_subids(ordinary, tmp_path, line: str) -> None:
    """Run as a user whom /etc/subuid and /etc/subgid give the ids in LINE, in a mount namespace of its own."""
    for file, text in (("passwd", PASSWD), ("subuid", line), ("subgid", line)):
        (tmp_path / file).write_text(text)
    binds = " && ".join(f"mount --bind {tmp_path}/{file} /etc/{file}" for file in ("passwd", "subuid", "subgid"))
    if not Path("/etc/subuid").exists():
        pytest.skip("there is no /etc/subuid")
    ordinary.become("unshare", "-m", "--propagation", "private", "sh", "-c", f'{binds} && exec "$0" "$@"')


def mapped_widely(b) -> None:
    for kind in ("uidMappings", "gidMappings"):
        b.linux[kind] = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": SUBUIDS, "size": 1000}]


def test_ids_by_newuidmap(ordinary, bundle, runtime, tmp_path):
    b = ordinary.bundle(bundle("cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; touch /data/zero; exec setpriv --help 2>&1 | head -1"))
    b.process["args"] = ["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; chown 5:6 /data/file"]
    (b.rootfs / "data/file").touch()
    ordinary.own(b.rootfs / "data")
    mapped_widely(b)
    b.process["capabilities"] = {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")}
    with_subids(ordinary, tmp_path, f"ordinary:{SUBUIDS}:1000\n")
    *rows, groups = ordinary.run(b).stdout.splitlines()
    assert [row.split() for row in rows] == 2 * [["0", str(UID), "1"], ["1", str(SUBUIDS), "1000"]]
    assert groups == "allow"
    found = (b.rootfs / "data/file").stat()
    assert (found.st_uid, found.st_gid) == (SUBUIDS + 4, SUBUIDS + 5)
    ordinary.own(b.path)


def test_ids_that_are_not_given(ordinary, bundle, tmp_path):
    b = ordinary.bundle(bundle("true"))
    mapped_widely(b)
    with_subids(ordinary, tmp_path, "somebody:1:1\n")
    assert "newuidmap" in ordinary.without_cgroups(b)


# Cgroups


def test_no_limit_no_path_no_permission(ordinary, bundle, runtime):
    """It stays in the caller's cgroups."""
    name = ordinary.start(ordinary.bundle(bundle("sleep", "1000")))
    assert cgroup_of(runtime.pid(name), "pids") == cgroup_of("self", "pids")
    for words in (("pause", name), ("ps", name), ("kill", "--all", name, "TERM"), ("update", "--pids-limit", "5", name)):
        done = runtime(*words, check=False)
        assert done.returncode == 1, done
        if runtime.name == "pyrunc":
            assert "cgroups not configured for container" in done.stderr
    assert runtime.status(name) == "running"


def test_a_limit_without_permission(ordinary, bundle, runtime):
    b = ordinary.bundle(bundle("true"))
    b.linux["resources"] = {"pids": {"limit": 20}}
    said = ordinary.without_cgroups(b)
    if unified():
        assert "rootless needs no limits + no cgrouppath when no permission is granted for cgroups" in said
    else:
        assert "cannot set pids limit: container could not join or create cgroup" in said


def test_a_path_without_permission(ordinary, bundle):
    b = ordinary.bundle(bundle("true"))
    b.linux["cgroupsPath"] = "/pyrunc-test-nobody-may"
    assert "permission denied" in ordinary.without_cgroups(b)


def test_it_is_not_tolerated_if_that_is_said(ordinary, bundle):
    assert "permission denied" in ordinary.without_cgroups(ordinary.bundle(bundle("true")), "--rootless", "false")


def test_root_may_say_it_too(bundle, runtime):
    """Root may write all cgroups: they are made, and the limit is set."""
    b = bundle("sleep", "1000")
    b.linux["resources"] = {"pids": {"limit": 21}}
    name = runtime.new_id()
    b.save()
    runtime("--rootless", "true", "create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    assert (cgroup_of(runtime.pid(name), "pids") / "pids.max").read_text() == "21\n"


@pytest.fixture
def given(ordinary, runtime):
    """Return a cgroup path that the user may write, in every hierarchy."""
    path = f"pyrunc-test-{os.getpid()}-given"
    tops = [Path("/sys/fs/cgroup")] if unified() else [p for p in Path("/sys/fs/cgroup").iterdir() if p.is_dir() and not p.is_symlink()]
    made = [top / path for top in tops]
    for directory in made:
        directory.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not unified() and (directory / file).exists():
                (directory / file).write_text((directory.parent / file).read_text())
        ordinary.own(directory)
    if unified():  # only from inside may it move a process there
        (made[0] / "here").mkdir()
        ordinary.own(made[0] / "here")
        (made[0] / "cgroup.subtree_control").write_text("+pids +memory")
        ordinary.become("sh", "-c", f'echo 0 >{made[0]}/here/cgroup.procs && exec "$0" "$@"')
    yield path
    runtime.close()
    for directory in made:
        if unified():
            (directory / "here").rmdir()
        directory.rmdir()


def test_a_limit_with_permission(ordinary, bundle, runtime, given):
    b = ordinary.bundle(bundle("sleep", "1000"))
    b.linux["resources"] = {"pids": {"limit": 20}, "memory": {"limit": 64 * MIB}}
    b.linux["cgroupsPath"] = f"/{given}/box"
    name = ordinary.start(b)
    directory = cgroup_of(runtime.pid(name), "pids")
    assert str(directory).endswith(f"/{given}/box")
    assert (directory / "pids.max").read_text() == "20\n"
    memory = cgroup_of(runtime.pid(name), "memory") / ("memory.max" if unified() else "memory.limit_in_bytes")
    assert memory.read_text() == f"{64 * MIB}\n"
    runtime("update", "--pids-limit", "10", name)
    assert (directory / "pids.max").read_text() == "10\n"
    assert runtime.exec(name, "echo", "fine").stdout == "fine\n"
    if unified() or os.access(directory, os.W_OK):
        runtime("pause", name)
        assert runtime.status(name) == "paused"
        runtime("resume", name)
    runtime("delete", "--force", name)
    assert not directory.exists()


# Root of a user namespace


NESTED = ("unshare", "-Urm", "--propagation", "private")


def test_root_of_a_user_namespace(ordinary, bundle, runtime):
    """With a user namespace below it, as with `unshare -r` or in another rootless container."""
    b = ordinary.bundle(bundle("cat /proc/self/uid_map; echo a >/dev/null && ls -l /dev/null"))
    for kind in ("uidMappings", "gidMappings"):
        b.linux[kind] = [{"containerID": 0, "hostID": 0, "size": 1}]
    runtime.prefix = (*runtime.prefix, *NESTED)
    mapping, device = ordinary.run(b).stdout.splitlines()
    assert mapping.split() == ["0", "0", "1"]
    assert "1,   3" in device


def test_root_of_a_user_namespace_without_another(ordinary, bundle, runtime):
    b = ordinary.bundle(bundle("id -u; ls -l /dev/null; cat /proc/self/uid_map"))
    b.namespace("user", drop=True)
    for kind in ("uidMappings", "gidMappings"):
        del b.linux[kind]
    runtime.prefix = (*runtime.prefix, *NESTED)
    uid, device, mapping = ordinary.run(b).stdout.splitlines()
    assert uid == "0"
    assert "1,   3" in device
    assert mapping.split() == ["0", str(UID), "1"]


# Mounts of a running container


@pytest.mark.pyrunc_only("runc has no such command")
def test_mounts_that_are_added_to_a_running_container(ordinary, bundle, runtime):
    b = ordinary.bundle(bundle())
    (b.path / "source").mkdir()
    (b.path / "source/file").write_text("content\n")
    entries = [
        {"destination": "/live", "type": "bind", "source": str(b.path / "source"), "options": ["bind", "ro"]},
        {"destination": "/wet", "type": "tmpfs", "source": "tmpfs"},
    ]
    (b.path / "mounts.json").write_text(json.dumps(entries))
    ordinary.own(b.path)
    name = ordinary.save(b)
    runtime("create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    for _ in ("created", "running"):
        runtime("mounts", "add", name, str(b.path / "mounts.json"))
        assert runtime.exec(name, "cat", "/live/file").stdout == "content\n"
        assert runtime.exec(name, "touch", "/live/new", check=False).returncode
        runtime.exec(name, "touch", "/wet/new")
        runtime("mounts", "remove", name, str(b.path / "mounts.json"))
        assert runtime.exec(name, "sh", "-c", "ls /live /wet").stdout.split() == ["/live:", "/wet:"]
        if _ == "created":
            runtime("start", name)
    (b.path / "mounts.json").write_text(json.dumps([{**entries[0], "options": ["bind", "idmap=uids=0-0-1;gids=0-0-1"]}]))
    assert "an ordinary user cannot idmap a mount (at /0/options/1;" in runtime.refuses(
        "mounts", "add", name, str(b.path / "mounts.json")
    )
