"""Pods and their containers through the container runtime interface, as Kubernetes makes them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from integration.engines import documented
from integration.engines.conftest import need
from integration.engines.containerd import NEEDED, SYSTEMD
from integration.harness import keeper
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, fields, mountinfo, namespace, status_outside, unified

pytest.importorskip("grpc", reason="not installed: grpcio")
need(*NEEDED)

import grpc  # noqa: E402 - only where it is

from integration.engines import cri as interface  # noqa: E402
from integration.engines.cri import refused  # noqa: E402

# What the virtual machine runs without being asked.
QUICK = ("test_limits_are_updated", "test_cgroups_are_scopes")
DEFAULT_CAPS = 0xA80425FB


def knob(pid, controller, old, new):
    """Return what a limit of process PID is: file OLD of version 1, or NEW."""
    return (cgroup_of(pid, controller) / (new if unified() else old)).read_text().strip()


# Pods


def test_a_container_starts_runs_and_is_removed(pods, pod, cri):
    container = pods.create(pod)
    assert pods.status(container).state == interface.CREATED
    cri("StartContainer", container_id=container)
    assert pods.status(container).state == interface.RUNNING
    pid = pods.pid(container)
    cmdline = Path(f"/proc/{pid}/cmdline")
    wait_for(lambda: cmdline.read_bytes() == b"sleep\x001000\0", cmdline.read_bytes, what="sleep to run")
    cri("StopContainer", container_id=container, timeout=0)
    assert pods.ended(container).exit_code == 128 + signal.SIGKILL
    assert not keeper.running(pid)
    cri("RemoveContainer", container_id=container)
    assert "not found" in refused(pods.status, container)


def test_exec_sync_returns_output_and_status(pods, pod):
    done = pods.exec(pods.start(pod), "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 7)


def test_version_and_status(cri):
    version = cri("Version")
    assert (version.runtime_name, version.runtime_api_version) == ("containerd", "v1")
    assert {c.type for c in cri("Status").status.conditions if c.status} == {"RuntimeReady", "NetworkReady"}


def test_a_pod_with_an_address_name_and_labels(pods, cri):
    pod = pods.pod(labels={"app": "web"}, annotations={"note": "mine"}, hostname="web-0")
    status = cri("PodSandboxStatus", pod_sandbox_id=pod).status
    assert (status.state, status.runtime_handler) == (interface.READY, interface.HANDLER)
    assert (dict(status.labels), dict(status.annotations)) == ({"app": "web"}, {"note": "mine"})
    container = pods.start(pod)
    assert pods.says(container, "hostname") == "web-0\n"
    assert f"inet {status.network.ip}/" in pods.says(container, "ip addr show eth0")


def test_a_stopped_pod_has_ended_its_containers(pods, pod, cri):
    container = pods.start(pod)
    pids = [pods.pid(container), pods.pause(pod)]
    cri("StopPodSandbox", pod_sandbox_id=pod)
    assert cri("PodSandboxStatus", pod_sandbox_id=pod).status.state == interface.NOT_READY
    assert pods.status(container).state == interface.EXITED
    assert not any(keeper.running(pid) for pid in pids)


def test_a_running_container_is_removed_by_force(pods, pod, cri):
    container = pods.start(pod, "trap '' TERM; while :; do sleep 1; done")
    pid = pods.pid(container)
    cri("RemoveContainer", container_id=container)
    assert not keeper.running(pid)


def test_lists_and_filters(pods, cri):
    first, second = pods.pod(labels={"tier": "a"}), pods.pod(labels={"tier": "b"})
    running, created = pods.start(first), pods.create(second, labels={"kind": "new"})

    def found(method, **chosen):
        answer = cri(method, filter=chosen)
        return {each.id for each in getattr(answer, "items" if method == "ListPodSandbox" else "containers")}

    assert found("ListPodSandbox") == {first, second}
    assert found("ListPodSandbox", label_selector={"tier": "b"}) == {second}
    assert found("ListContainers") == {running, created}
    assert found("ListContainers", pod_sandbox_id=first) == {running}
    assert found("ListContainers", state={"state": interface.CREATED}) == {created}
    assert found("ListContainers", label_selector={"kind": "new"}) == {created}


def test_an_unknown_handler_is_refused(pods, cri):
    assert "no runtime for" in refused(cri, "RunPodSandbox", config={"metadata": {"name": "a", "uid": "b", "namespace": "c"}}, runtime_handler="other")


def test_two_containers_share_the_pod(pods, pod):
    first, second = pods.start(pod), pods.start(pod)
    one, other = pods.pid(first), pods.pid(second)
    same = {kind for kind in ("pid", "ipc", "uts", "mount", "network") if namespace(one, kind) == namespace(other, kind)}
    assert same == {"pid", "ipc", "uts", "network"}
    assert namespace(pods.pause(pod), "network") == namespace(one, "network")
    assert pods.says(first, "ps -o args | grep -c '^sleep 1000$'") == "2\n"
    assert pods.says(second, "kill -0 1 && echo seen") == "seen\n"


# Namespaces


def test_a_container_with_pids_of_its_own(pods, pod):
    own = {"namespace_options": {"pid": interface.CONTAINER}}
    container = pods.start(pod, security=own)
    assert namespace(pods.pid(container), "pid") != namespace(pods.pause(pod), "pid")
    assert pods.says(container, "cat /proc/1/comm") == "sleep\n"


def test_a_pod_in_the_nodes_namespaces(pods, containerd):
    node = {"namespace_options": dict.fromkeys(("network", "pid", "ipc"), interface.NODE)}
    pod = pods.pod(security=node, hostname="")
    container = pods.start(pod, security=node)
    host, pid = containerd.place.holder.pid, pods.pid(container)
    same = {kind for kind in ("pid", "ipc", "uts", "mount", "network") if namespace(host, kind) == namespace(pid, kind)}
    assert same == {"pid", "ipc", "uts", "network"}


def test_a_container_that_looks_into_another(pods, pod):
    own = {"namespace_options": {"pid": interface.CONTAINER}}
    first = pods.start(pod, security=own)
    target = {"namespace_options": {"pid": interface.TARGET, "target_id": first}}
    second = pods.start(pod, security=target)
    assert namespace(pods.pid(first), "pid") == namespace(pods.pid(second), "pid")


def test_sysctls_of_the_pod(pods):
    pod = pods.pod(linux={"sysctls": {"net.ipv4.ip_unprivileged_port_start": "81", "kernel.shm_rmid_forced": "1"}})
    line = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert pods.ran(pod, line) == "81\n1\n"


def test_name_servers(pods):
    pod = pods.pod(dns_config={"servers": ["192.0.2.1"], "searches": ["example.org"], "options": ["ndots:5"]})
    assert pods.ran(pod, "cat /etc/resolv.conf") == "search example.org\nnameserver 192.0.2.1\noptions ndots:5\n"


# What a container runs


def test_command_environment_and_directory(pods, pod):
    seen = pods.ran(pod, ["env"], envs=[{"key": "FROM_IMAGE", "value": "no"}, {"key": "A", "value": "b c"}]).splitlines()
    assert {"FROM_IMAGE=no", "A=b c", "PATH=/usr/local/bin:/bin", "HOME=/root"} <= set(seen)
    assert pods.ran(pod, ["pwd"], working_dir="/data") == "/data\n"
    assert pods.ran(pod, ["echo"], args=["one", "two  three"]) == "one two  three\n"


def test_log_names_the_streams(pods, pod):
    container = pods.start(pod, "echo out; echo err >&2; printf unfinished")
    pods.ended(container)
    assert sorted(pods.log(container)) == [("stderr", "err"), ("stdout", "out"), ("stdout", "unfinished")]


def test_log_is_opened_anew_after_a_rotation(pods, pod, cri):
    container = pods.start(pod, "while :; do echo tick; sleep 0.1; done")
    path = Path(pods.status(container).log_path)
    wait_for(path.exists, "the log")
    path.rename(path.with_suffix(".old"))
    cri("ReopenContainerLog", container_id=container)
    wait_for(lambda: path.exists() and "tick" in path.read_text(), "lines in the new log")


def test_a_terminal(pods, pod):
    container = pods.start(pod, "tty; test -c /dev/console && echo console", tty=True)
    pods.ended(container)
    assert [text.strip() for _, text in pods.log(container)] == ["/dev/pts/0", "console"]


def test_exit_codes(pods, pod):
    good, bad = pods.start(pod, "sleep 0.2"), pods.start(pod, "sleep 0.2; exit 42")
    status = pods.ended(good)
    assert (status.exit_code, status.reason) == (0, "Completed")
    status = pods.ended(bad)
    assert (status.exit_code, status.reason) == (42, "Error")
    assert status.created_at <= status.started_at <= status.finished_at


def test_a_stop_gives_time(pods, pod, cri):
    container = pods.start(pod, "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    wait_for(lambda: pods.log(container) == [("stdout", "ready")], "the trap")
    cri("StopContainer", container_id=container, timeout=20)
    assert pods.status(container).exit_code == 3
    assert pods.log(container)[-1] == ("stdout", "bye")


def test_a_stop_ends_when_its_time_is_up(pods, pod, cri):
    container = pods.start(pod, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    wait_for(lambda: pods.log(container) == [("stdout", "ready")], "the trap")
    begin = time.monotonic()
    cri("StopContainer", container_id=container, timeout=1)
    assert time.monotonic() - begin >= 1
    assert pods.status(container).exit_code == 128 + signal.SIGKILL


def test_exec_sync_ends_when_its_time_is_up(pods, pod):
    container = pods.start(pod)
    assert "timeout 1s exceeded" in refused(pods.exec, container, "exec sleep 1008", timeout=1)
    assert pods.says(container, "ps -o args | grep -c 'sleep 100[8]' || true") == "0\n"


def test_exec_sync_of_a_missing_program(pods, pod):
    container = pods.start(pod)
    said = refused(pods.exec, container, ["missing"])
    assert 'exec: "missing": executable file not found in $PATH' in said
    assert pods.says(container, ["echo", "alive"]) == "alive\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("missing", "executable file not found in $PATH"),
        ("/bin/missing", "no such file or directory"),
        ("/bin/not-executable", "permission denied"),
    ],
)
def test_a_program_that_cannot_be_run(pods, pod, cri, command, words):
    container = pods.create(pod, [command])
    assert words in refused(cri, "StartContainer", container_id=container)
    status = pods.status(container)
    assert (status.state, status.reason, status.exit_code) == (interface.EXITED, "StartError", 128)
    assert words in status.message


# Limits


def test_limits(pods, pod):
    limits = {"cpu_period": 50000, "cpu_quota": 20000, "cpu_shares": 512, "memory_limit_in_bytes": 64 << 20, "cpuset_cpus": "0"}
    pid = pods.pid(pods.start(pod, resources=limits))
    assert knob(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert knob(pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    assert fields(Path(f"/proc/{pid}/status").read_text())["Cpus_allowed_list"] == "0"
    if unified():
        assert (knob(pid, "cpu", "", "cpu.max"), knob(pid, "cpu", "", "cpu.weight")) == ("20000 50000", "59")
    else:
        assert [knob(pid, "cpu", name, "") for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares")] == ["20000", "50000", "512"]
    assert pods.cgroup.strip("/") in str(cgroup_of(pid, "memory"))


def test_limits_are_updated(pods, pod, cri, containerd):
    container = pods.start(pod, resources={"memory_limit_in_bytes": 64 << 20, "cpu_quota": 50000, "cpu_period": 100000})
    pid = pods.pid(container)
    new = {"memory_limit_in_bytes": 32 << 20, "cpu_quota": 20000, "cpu_period": 100000, "cpu_shares": 256}
    cri("UpdateContainerResources", container_id=container, linux=new)
    assert knob(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    if unified():
        assert (knob(pid, "cpu", "", "cpu.max"), knob(pid, "cpu", "", "cpu.weight")) == ("20000 100000", "35")
    else:
        assert [knob(pid, "cpu", name, "") for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares")] == ["20000", "100000", "256"]
    # The rule of the document that denies all devices changes nothing.
    assert pods.says(container, "head -c 3 /dev/zero | wc -c; echo >/dev/null") == "3\n"
    (line,) = [argv for argv in containerd.recorder.argvs() if "update" in argv and argv[-1] == container]
    assert line[line.index("update"):] == ["update", "--resources", "-", container]


def test_limits_are_updated_before_the_start(pods, pod, cri):
    container = pods.create(pod)
    cri("UpdateContainerResources", container_id=container, linux={"memory_limit_in_bytes": 48 << 20})
    cri("StartContainer", container_id=container)
    assert knob(pods.pid(container), "memory", "memory.limit_in_bytes", "memory.max") == str(48 << 20)


def test_statistics(pods, pod, cri):
    container = pods.start(pod, "while :; do :; done", resources={"memory_limit_in_bytes": 64 << 20})

    def stats():
        return cri("ContainerStats", container_id=container).stats

    wait_for(lambda: stats().cpu.usage_core_nano_seconds.value > 50_000_000, stats, what="time to be used")
    assert 0 < stats().memory.working_set_bytes.value < 64 << 20


def test_out_of_memory_is_the_reason(pods, pod):
    eats = "sleep 0.3; x=aaaaaaaa; while :; do x=$x$x; done"
    status = pods.ended(pods.start(pod, eats, resources={"memory_limit_in_bytes": 16 << 20}))
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


def test_oom_score(pods, pod):
    container = pods.start(pod, resources={"oom_score_adj": 555})
    assert Path(f"/proc/{pods.pid(container)}/oom_score_adj").read_text() == "555\n"


# Who it is, and what it may


def me(pods, pod, **options):
    """Return the fields of a container's own /proc/self/status."""
    return fields(pods.ran(pod, ["cat", "/proc/self/status"], **options))


@pytest.mark.parametrize(
    ("security", "seen"),
    [
        ({"run_as_user": {"value": 1000}}, "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
        ({"run_as_username": "app"}, "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
        ({"run_as_user": {"value": 4711}, "run_as_group": {"value": 815}}, "uid=4711 gid=815 groups=815"),
        (
            {"run_as_user": {"value": 4711}, "run_as_group": {"value": 815}, "supplemental_groups": [3000, 3001]},
            "uid=4711 gid=815 groups=815,3000,3001",
        ),
    ],
    ids=["number", "name", "group", "groups"],
)
def test_users(pods, pod, security, seen):
    container = pods.start(pod, security=security)
    status = status_outside(pods.pid(container))
    said = pods.says(container, ["id"]).strip()
    assert said == seen
    assert status["Uid"].split()[0] == seen.partition("uid=")[2].split()[0].partition("(")[0]


def test_capabilities(pods, pod):
    change = {"add_capabilities": ["SYS_ADMIN"], "drop_capabilities": ["CHOWN", "KILL"]}
    expected = (DEFAULT_CAPS | 1 << 21) & ~(1 | 1 << 5)
    status = me(pods, pod, security={"capabilities": change})
    assert {int(status[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")} == {expected}
    dropped = me(pods, pod, security={"capabilities": {"drop_capabilities": ["ALL"]}})
    assert {int(dropped[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")} == {0}


def test_privileged(pods):
    pod = pods.pod(security={"privileged": True})
    container = pods.start(pod, security={"privileged": True})
    assert status_outside(pods.pid(container))["CapEff"] == status_outside(os.getpid())["CapEff"]
    seen = mountinfo(pods.says(container, ["cat", "/proc/self/mountinfo"]))
    assert "rw" in seen["/sys"].options
    assert pods.says(container, "test -e /dev/fuse && mkdir /m && mount -t tmpfs m /m && echo mounted") == "mounted\n"


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(pods, pod, wanted):
    assert me(pods, pod, security={"no_new_privs": wanted})["NoNewPrivs"] == str(int(wanted))


def test_seccomp_profiles(pods, pod, tmp_path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    kinds = {
        interface.RUNTIME_DEFAULT: ("2", "Operation not permitted"),
        interface.UNCONFINED: ("0", "made"),
        interface.LOCALHOST: ("2", "No space left on device"),
    }
    for kind, (mode, said) in kinds.items():
        reference = f"localhost/{tmp_path}/profile.json" if kind == interface.LOCALHOST else ""
        container = pods.start(pod, security={"seccomp": {"profile_type": kind, "localhost_ref": reference.removeprefix("localhost/")}})
        assert status_outside(pods.pid(container))["Seccomp"] == mode
        line = "unshare -U true 2>&1" if kind == interface.RUNTIME_DEFAULT else "mkdir /tmp/new 2>&1 && echo made"
        assert said in pods.exec(container, line).stdout.decode()


def test_read_only_root(pods, pod):
    done = pods.exec(pods.start(pod, security={"readonly_rootfs": True}), "echo more >/file")
    assert done.exit_code == 1
    assert b"Read-only file system" in done.stderr


def test_masked_and_read_only_paths(pods, pod):
    paths = {"masked_paths": ["/data/file", "/sys/firmware"], "readonly_paths": ["/home", "/proc/sys"]}
    container = pods.start(pod, security=paths)
    assert pods.says(container, "cat /data/file | wc -c; ls /sys/firmware | wc -l") == "0\n0\n"
    for path in ("/home/file", "/proc/sys/vm/swappiness"):
        assert b"Read-only file system" in pods.exec(container, f"echo 1 >{path}").stderr


def test_a_device(pods, pod):
    device = {"container_path": "/dev/given", "host_path": "/dev/fuse", "permissions": "r"}
    container = pods.start(pod, devices=[device])
    assert pods.says(container, "stat -c '%t:%T' /dev/given; exec 3</dev/given && echo opened") == "a:e5\nopened\n"
    assert b"Operation not permitted" in pods.exec(container, "exec 3>/dev/given").stderr
    assert b"Operation not permitted" in pods.exec(container, "mknod /tmp/kmsg c 1 11; exec 3</tmp/kmsg").stderr


# Volumes


def test_volumes(pods, pod, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n")
    mounts = [
        {"container_path": "/a", "host_path": str(tmp_path / "a"), "readonly": True},
        {"container_path": "/deep/b", "host_path": str(tmp_path / "b")},
    ]
    container = pods.start(pod, mounts=mounts)
    assert pods.says(container, "cat /a/file /deep/b/file; echo more >>/deep/b/file") == "a\nb\n"
    assert (tmp_path / "b/file").read_text() == "b\nmore\n"
    assert b"Read-only file system" in pods.exec(container, "echo more >>/a/file").stderr


@pytest.mark.parametrize(
    ("propagation", "in_", "out"),
    [(interface.PRIVATE, False, False), (interface.HOST_TO_CONTAINER, True, False), (interface.BIDIRECTIONAL, True, True)],
    ids=["private", "host-to-container", "bidirectional"],
)
def test_propagation(pods, tmp_path, containerd, propagation, in_, out):
    place = containerd.place
    top = tmp_path / "top"
    top.mkdir()
    place.run("mount", "-t", "tmpfs", "tmpfs", top)
    place.run("mount", "--make-shared", top)
    try:
        pod = pods.pod(security={"privileged": True})
        mounts = [{"container_path": "/top", "host_path": str(top), "propagation": propagation}]
        container = pods.start(pod, security={"privileged": True}, mounts=mounts)
        place.run("sh", "-ec", f"mkdir {top}/late; mount -t tmpfs late {top}/late")
        assert ("/top/late" in mountinfo(pods.says(container, ["cat", "/proc/self/mountinfo"]))) is in_
        pods.says(container, "mkdir /top/mine && mount -t tmpfs mine /top/mine")
        assert (str(top / "mine") in mountinfo(Path(f"/proc/{place.holder.pid}/mountinfo").read_text())) is out
        pods.remove()
    finally:
        place.run("umount", "-R", top)


def test_a_volume_that_is_not_there(pods, pod, cri):
    """containerd makes a missing directory; a volume below a file cannot be."""
    said = refused(pods.start, pod, mounts=[{"container_path": "/a", "host_path": "/etc/passwd/none"}])
    assert "not a directory" in said


@pytest.mark.systemd
def test_cgroups_are_scopes(pods, pod):
    container = pods.start(pod)
    assert cgroup_of(pods.pid(container), "memory").name == f"cri-containerd-{container}.scope"
    assert SYSTEMD


# What is said about it


def test_the_documentation(pods, cri, containerd, tmp_path):
    """The table there is what this containerd is configured with, the commands work, and the handler is the one that is used."""
    _, commands, runtime_class, listing = documented.blocks(interface.SECTION)
    assert f"handler: {interface.HANDLER}\n" in runtime_class
    pod = pods.pod()
    assert cri("PodSandboxStatus", pod_sandbox_id=pod).status.runtime_handler == interface.HANDLER
    restart, dump = commands.splitlines()
    assert restart == "systemctl restart containerd"
    containerd.restart()

    def known():
        with contextlib.suppress(grpc.RpcError):  # it answers before it has looked what there is
            return cri("PodSandboxStatus", pod_sandbox_id=pod).status.state == interface.READY

    wait_for(known, "containerd to know the pod")
    dump = dump.replace("containerd config", f"containerd --config {containerd.file} config")
    assert "runtime_type" in containerd.place.run("sh", "-ec", dump).stdout
    listing = listing.replace("pyrunc", str(containerd.binary), 1).replace("/run/containerd/runc", str(containerd.runtime_root))
    assert pod in containerd.place.run("sh", "-ec", listing).stdout


# All of it


def test_every_command_line_is_one_that_pyrunc_takes(containerd):
    assert containerd.used() >= {"create", "start", "exec", "kill", "delete", "update"}


def test_nothing_is_left_behind(containerd, cri):
    wait_for(lambda: not containerd.left(), containerd.left, what="nothing to be left")
    assert not cri("ListPodSandbox").items
    assert not cri("ListContainers").containers
