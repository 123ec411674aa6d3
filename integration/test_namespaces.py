"""Each type of namespace: new, absent, and joined by path (config-linux.md, "Namespaces")."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from integration.looking import NAMESPACES, namespace, refused

# Those that every kernel and runtime here can make, share and join alike; mount, user and time are below.
PLAIN = ("pid", "network", "ipc", "uts", "cgroup")
no_domainname = pytest.mark.pyrunc_only("1.1 knows no domainname")
no_time = pytest.mark.pyrunc_only("1.1 knows no time namespaces")


def shared(b, kind):
    """Take the namespace of KIND from B, and with it what would change the host's."""
    b.namespace(kind, drop=True)
    if kind == "uts":
        b.config.pop("hostname")
    if kind == "network":  # a new sysfs shows the network of its mounter, who must own that
        b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] not in ("sysfs", "cgroup")]
    return b


def joining(b, kind, path):
    """Let B join the namespace of KIND at PATH, and leave what is set there alone."""
    b.namespace(kind, path=path)
    if kind == "uts":
        b.config.pop("hostname")
    return b


def bare(b, *args):
    """Take from B all that needs a mount namespace."""
    b.namespace("mount", drop=True)
    b.config["mounts"] = []
    b.linux.pop("maskedPaths")
    b.linux.pop("readonlyPaths")
    b.process["args"] = list(args)
    return b


@pytest.mark.parametrize("kind", [*PLAIN, "mount"])
def test_new(runtime, bundle, kind):
    b = bundle()
    b.namespace(kind)
    pid = runtime.pid(runtime.start(b))
    assert namespace(pid, kind) != namespace("self", kind)
    assert namespace(runtime.pid(runtime.start(b)), kind) != namespace(pid, kind)


@pytest.mark.parametrize("kind", PLAIN)
def test_absent_is_the_hosts(runtime, bundle, kind):
    b = shared(bundle(), kind)
    assert namespace(runtime.pid(runtime.start(b)), kind) == namespace("self", kind)


def test_user_and_time_are_the_hosts_unless_asked_for(runtime, bundle):
    pid = runtime.pid(runtime.start(bundle()))
    for kind in ("user", "time"):
        assert namespace(pid, kind) == namespace("self", kind)


@pytest.mark.pyrunc_only("1.1 needs a /proc in the rootfs then")
def test_without_a_mount_namespace_the_rootfs_is_the_root(runtime, bundle):
    b = bare(bundle(), "sleep", "1000")
    b.linux["namespaces"] = []
    b.config.pop("hostname")
    before = Path("/proc/self/mountinfo").read_text()
    name = runtime.start(b)
    assert namespace(runtime.pid(name), "mount") == namespace("self", "mount")
    assert os.readlink(f"/proc/{runtime.pid(name)}/root") == str(b.rootfs)
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.pyrunc_only("mounts into the host's namespace")
@pytest.mark.parametrize("field", ["mounts", "maskedPaths", "readonlyPaths", "readonly", "rootfsPropagation"])
def test_without_a_mount_namespace_the_hosts_mounts_are_not_touched(runtime, bundle, field):
    b = bare(bundle(), "true")
    if field == "mounts":
        b.mount("/data", "tmpfs", "tmpfs")
    elif field == "readonly":
        b.config["root"]["readonly"] = True
    else:
        b.linux[field] = "slave" if field == "rootfsPropagation" else ["/data"]
    assert field in refused(runtime, b, "needs a new mount namespace")


@pytest.mark.parametrize("kind", PLAIN)
def test_joined_by_path(runtime, bundle, kind):
    b = bundle()
    b.namespace(kind)
    pid = runtime.pid(runtime.start(b))
    second = runtime.start(joining(bundle(), kind, f"/proc/{pid}/ns/{NAMESPACES[kind]}"))
    assert namespace(runtime.pid(second), kind) == namespace(pid, kind)
    assert namespace(runtime.pid(second), kind) != namespace("self", kind)
    for other in PLAIN:  # and only that one
        if other not in (kind, "cgroup"):
            assert namespace(runtime.pid(second), other) != namespace(pid, other)
    runtime("delete", "--force", second)


def test_two_containers_share_as_in_a_pod(runtime, bundle):
    first = bundle("sh", "-c", "touch /dev/mqueue/letter; sleep 1000")
    first.config["hostname"] = "a-pod"
    pid = runtime.pid(runtime.start(first))
    b = bundle("hostname; ls /dev/mqueue; ip -o addr show lo; ps -o args")
    for kind in ("uts", "ipc", "network", "pid"):
        joining(b, kind, f"/proc/{pid}/ns/{NAMESPACES[kind]}")
    out = runtime.output(b)
    assert out.startswith("a-pod\nletter\n")
    assert "127.0.0.1" in out
    assert "sleep 1000" in out


def test_exec_enters_every_namespace(runtime, bundle):
    b = bundle()
    b.namespace("cgroup")
    name = runtime.start(b)
    out = runtime.exec(name, "sh", "-c", "for n in /proc/self/ns/*; do readlink $n; done").stdout.split()
    pid = runtime.pid(name)
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/ns").iterdir()]
    assert sorted(out) == sorted(links)


def test_children_are_born_into_the_containers_namespaces(runtime, bundle):
    pid = runtime.pid(runtime.start(bundle()))
    for kind in ("pid", "time"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}_for_children") == namespace(pid, kind)


def test_pinned_by_a_mount(runtime, bundle, tmp_path):
    pin = tmp_path / "netns"
    pin.touch()
    subprocess.run(["unshare", f"--net={pin}", "true"], check=True)
    try:
        name = runtime.start(joining(bundle(), "network", str(pin)))
        assert f"[{pin.stat().st_ino}]" in namespace(runtime.pid(name), "network")
        runtime("delete", "--force", name)
        assert subprocess.run(["nsenter", f"--net={pin}", "true"]).returncode == 0  # whoever made it keeps it
    finally:
        subprocess.run(["umount", str(pin)], check=True)


@pytest.mark.parametrize("kind", ["network", "ipc", "pid"])
@pytest.mark.parametrize("path", ["/proc/self/ns/uts", "/no/such/namespace", "/etc/passwd"])
def test_a_path_to_something_else_is_refused(runtime, bundle, kind, path):
    b = bundle("true")
    b.namespace(kind, path=path)
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert kind in err
        assert re.search(r"/linux/namespaces/\d+/path", err)


def test_one_type_twice_is_refused(runtime, bundle):
    b = bundle("true")
    b.linux["namespaces"] += [{"type": "ipc"}]
    refused(runtime, b)


# pid


def test_init_is_pid_1_and_sees_only_its_own(runtime, bundle):
    assert runtime.output(bundle("echo $$; ls /proc | grep -c '^[0-9]'")).split() in (["1", "3"], ["1", "2"])


def test_in_a_shared_pid_namespace_init_is_no_pid_1(runtime, bundle):
    b = bundle("sh", "-c", "echo $$ $(cat /proc/1/comm)")
    b.namespace("pid", drop=True)
    number, comm = runtime.output(b).split()
    assert int(number) > 1
    assert comm == Path("/proc/1/comm").read_text().strip()


def test_a_joined_pid_namespace_ends_with_its_init(runtime, bundle):
    first = runtime.start(bundle())
    second = runtime.start(joining(bundle(), "pid", f"/proc/{runtime.pid(first)}/ns/pid"))
    runtime("kill", first, "KILL")
    runtime.wait(second, "stopped")


# network


def test_a_new_network_has_loopback_up_and_nothing_else(runtime, bundle):
    out = runtime.output(bundle("ip -o link; ip -o addr; ip route"))
    up = [line for line in out.splitlines() if "LOOPBACK,UP" in line]
    assert len(up) == 1
    assert "127.0.0.1/8" in out
    # The kernel may put tunnels of its own into each namespace; none of them is up, and nothing has a route.
    assert {line.split()[1] for line in out.splitlines() if ",UP" in line} == {"lo:"}
    assert "default" not in out


def test_loopback_works(runtime, bundle):
    b = bundle("nc -l -p 7 -e echo heard & until nc 127.0.0.1 7 </dev/null; do sleep 0.05; done 2>/dev/null")
    assert runtime.output(b) == "heard\n"


# uts


def test_hostname(runtime, bundle):
    b = bundle("hostname")
    b.config["hostname"] = "a-name"
    before = os.uname()
    assert runtime.output(b) == "a-name\n"
    assert os.uname().nodename == before.nodename


@no_domainname
def test_domainname(runtime, bundle):
    b = bundle("cat", "/proc/sys/kernel/domainname")
    b.config["domainname"] = "example.org"
    before = Path("/proc/sys/kernel/domainname").read_text()
    assert runtime.output(b) == "example.org\n"
    assert Path("/proc/sys/kernel/domainname").read_text() == before


@pytest.mark.parametrize("field", ["hostname", pytest.param("domainname", marks=no_domainname)])
def test_the_hosts_names_are_not_set(runtime, bundle, field):
    b = bundle("true")
    b.namespace("uts", drop=True)
    b.config.pop("hostname")
    b.config[field] = "intruder"
    refused(runtime, b)
    assert "intruder" not in Path(f"/proc/sys/kernel/{field}").read_text()


# ipc


def test_a_new_ipc_namespace_has_no_queues_of_others(runtime, bundle):
    b = bundle("touch /dev/mqueue/mine; sleep 1000")
    name = runtime.start(b)
    assert runtime.exec(name, "ls", "/dev/mqueue").stdout == "mine\n"
    assert runtime.output(bundle("ls", "/dev/mqueue")) == ""


# cgroup


def test_a_cgroup_namespace_hides_where_the_container_is(runtime, bundle):
    b = bundle("cat", "/proc/self/cgroup")
    b.namespace("cgroup")
    paths = {line.split(":", 2)[2] for line in runtime.output(b).splitlines()}
    hybrid = any("name=systemd" in line for line in Path("/proc/self/cgroup").read_text().splitlines())
    assert paths == {"/"} or (hybrid and runtime.name == "runc" and "/" in paths)


def test_without_a_cgroup_namespace_the_path_is_the_hosts(runtime, bundle):
    b = bundle("cat", "/proc/self/cgroup")
    b.namespace("cgroup", drop=True)
    lines = runtime.output(b).splitlines()
    assert [line for line in lines if line.endswith(f"-parent/{runtime.ids[-1]}")]


# time


@no_time
def test_clocks_of_a_time_namespace(runtime, bundle):
    b = bundle("sleep", "1000")
    b.namespace("time")
    b.linux["timeOffsets"] = {
        "boottime": {"secs": 1000000, "nanosecs": 0},
        "monotonic": {"secs": 2000000, "nanosecs": 5},
    }
    name = runtime.start(b)
    pid = runtime.pid(name)
    assert namespace(pid, "time") != namespace("self", "time")
    offsets = Path(f"/proc/{pid}/timens_offsets").read_text().split()
    assert offsets == ["monotonic", "2000000", "5", "boottime", "1000000", "0"]
    assert float(runtime.exec(name, "cat", "/proc/uptime").stdout.split()[0]) > 1000000


@no_time
def test_a_time_namespace_joined_by_path(runtime, bundle):
    b = bundle()
    b.namespace("time")
    b.linux["timeOffsets"] = {"boottime": {"secs": 1000000}}
    pid = runtime.pid(runtime.start(b))
    other = bundle("cat", "/proc/uptime")
    other.namespace("time", path=f"/proc/{pid}/ns/time")
    assert float(runtime.output(other).split()[0]) > 1000000


@no_time
def test_offsets_without_a_time_namespace_are_refused(runtime, bundle):
    b = bundle("true")
    b.linux["timeOffsets"] = {"boottime": {"secs": 1000}}
    assert "time" in refused(runtime, b, "/linux/timeOffsets")


# mount


@pytest.mark.pyrunc_only("1.1 needs a /proc in the rootfs then")
def test_a_mount_namespace_joined_by_path(runtime, bundle):
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        b = bare(bundle(), "sleep", "1000")
        b.namespace("mount", path=f"/proc/{holder.pid}/ns/mnt")
        pid = runtime.pid(runtime.start(b))
        assert namespace(pid, "mount") == namespace(holder.pid, "mount") != namespace("self", "mount")
        assert os.readlink(f"/proc/{pid}/root") == str(b.rootfs)
    finally:
        holder.kill()
        holder.wait()
