"""Each type of namespace: new, absent, and joined by path (config-linux.md, "Namespaces")."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import run
from integration.looking import FIRST, NAMESPACES, mapped, namespace, reachable, refused

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


def without_mount_namespace(b):
    """Take the mount namespace from B, and what no runtime does without one."""
    b.namespace("mount", drop=True)
    b.linux.pop("maskedPaths")
    b.linux.pop("readonlyPaths")
    return b


def run_apart(runtime, b, *lines):
    """Run B, then shell LINES, in one mount namespace of their own; return what both wrote, in two parts."""
    name = runtime.prepare(b)
    command = shlex.join(runtime.argv("run", "--bundle", str(b.path), name))
    script = "; ".join((f"{command} && echo =AFTER=", *lines))
    done = run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], script, check=True)
    inside, _, after = done.stdout.partition("=AFTER=\n")
    return inside, after


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


def test_without_a_mount_namespace_the_caller_keeps_the_mounts(runtime, bundle):
    b = without_mount_namespace(bundle("readlink /proc/self/ns/mnt; ls /; touch /data/x && test -c /dev/null && echo made"))
    b.mount("/data", "tmpfs", "data")
    inside, after = run_apart(runtime, b, "readlink /proc/self/ns/mnt", f"grep -c ' {b.rootfs}/data .* data' /proc/self/mountinfo")
    mount_namespace, *names, made = inside.split()
    assert (names, made) == (sorted(os.listdir(b.rootfs)), "made")
    assert after.split() == [mount_namespace, "1"]
    assert mount_namespace != namespace("self", "mount")


def test_without_a_mount_namespace_the_root_is_a_directory_of_the_callers(runtime, bundle):
    b = without_mount_namespace(bundle("sleep", "1000"))
    name = runtime.prepare(b)
    command = shlex.join(runtime.argv("run", "--detach", "--bundle", str(b.path), name))
    script = f"{command} >/dev/null 2>&1 </dev/null; echo; exec sleep 1000"
    caller = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE)
    try:
        caller.stdout.readline()
        pid = runtime.pid(name)
        assert namespace(pid, "mount") == namespace(caller.pid, "mount")
        assert os.readlink(f"/proc/{pid}/root") == str(b.rootfs)
        assert os.readlink(f"/proc/{caller.pid}/root") == "/"
    finally:
        caller.kill()
        caller.wait()


def test_without_a_mount_namespace_the_propagation_of_others_stays(runtime, bundle):
    """What the caller shares with others stays shared, and what the container mounts does not spread."""
    b = without_mount_namespace(bundle("true"))
    b.mount("/data", "tmpfs", "data")
    name = runtime.prepare(b)
    command = shlex.join(runtime.argv("run", "--bundle", str(b.path), name))
    look = "grep ' / / ' /proc/self/mountinfo; cat /proc/$other/mountinfo"
    there = 'until [ "$(readlink /proc/$other/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ]; do sleep 0.01; done'
    script = f"unshare -m --propagation unchanged sleep 100 & other=$!; {there}; {command}; {look}; kill $other; wait"
    # Private first: where the machine's own mounts are shared, the machine must not be one of the peers.
    apart = ["unshare", "-m", "--propagation", "private", "unshare", "-m", "--propagation", "shared"]
    done = run([*apart, "sh", "-c", script], script, check=True)
    own, *others = done.stdout.splitlines()
    assert runtime.name != "pyrunc" or " shared:" in own  # runc takes this from the caller
    assert not [line for line in others if f"{b.rootfs}/data" in line]


@pytest.mark.pyrunc_only("ignores it")
def test_without_a_mount_namespace_the_root_can_be_read_only(runtime, bundle):
    b = without_mount_namespace(bundle("touch /x 2>&1; touch /dev/x && echo writable", writable=False))
    assert run_apart(runtime, b)[0] == "touch: /x: Read-only file system\nwritable\n"
    assert not (b.rootfs / "x").exists()


@pytest.mark.pyrunc_only("leaves them")
def test_a_create_that_fails_without_a_mount_namespace_leaves_no_mount(runtime, bundle):
    b = without_mount_namespace(bundle("true"))
    b.mount("/data", "no-such-file-system", "data")
    before = Path("/proc/self/mountinfo").read_text()
    assert "/mounts/" in refused(runtime, b)
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.pyrunc_only("leaves them")
@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_a_run_that_fails_late_without_a_mount_namespace_leaves_no_mount(runtime, bundle, kind):
    """The container was there already, and was not started: nobody has asked for what is mounted."""
    b = without_mount_namespace(bundle("true"))
    b.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]}
    before = Path("/proc/self/mountinfo").read_text()
    assert kind in refused(runtime, b)
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.parametrize("field", ["maskedPaths", "readonlyPaths"])
def test_paths_are_hidden_in_a_mount_namespace_only(runtime, bundle, field):
    b = without_mount_namespace(bundle("true"))
    b.linux[field] = ["/data"]
    refused(runtime, b, "unable to restrict sys entries without a private MNT namespace")


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
def test_clocks_with_a_new_user_namespace(runtime, bundle):
    b = mapped(bundle("cat", "/proc/self/timens_offsets"))
    b.namespace("time")
    b.linux["timeOffsets"] = {"boottime": {"secs": 1337, "nanosecs": 3}, "monotonic": {"secs": 7881}}
    assert runtime.output(b).split() == ["monotonic", "7881", "0", "boottime", "1337", "3"]


@no_time
def test_clocks_with_a_user_namespace_joined_by_path(runtime, bundle):
    pid = runtime.pid(runtime.start(mapped(bundle())))
    b = bundle("cat", "/proc/self/timens_offsets")
    os.chown(b.rootfs / "dev", FIRST, FIRST)
    os.chown(b.rootfs / "proc", FIRST, FIRST)
    reachable(b.path)
    b.namespace("user", path=f"/proc/{pid}/ns/user")
    b.namespace("time")
    b.linux["timeOffsets"] = {"boottime": {"secs": -1, "nanosecs": 3}}
    assert runtime.output(b).split() == ["monotonic", "0", "0", "boottime", "-1", "3"]


@no_time
def test_offsets_without_a_time_namespace_are_refused(runtime, bundle):
    b = bundle("true")
    b.linux["timeOffsets"] = {"boottime": {"secs": 1000}}
    assert "time" in refused(runtime, b, "/linux/timeOffsets")


# mount


def test_a_mount_namespace_joined_by_path(runtime, bundle):
    """It becomes the container's: its mounts are made there, and its root is the rootfs for all that are in it."""
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        b = bundle("sleep", "1000")
        b.mount("/data", "tmpfs", "data")
        b.namespace("mount", path=f"/proc/{holder.pid}/ns/mnt")
        before = Path("/proc/self/mountinfo").read_text()
        name = runtime.start(b)
        pid = runtime.pid(name)
        assert namespace(pid, "mount") == namespace(holder.pid, "mount") != namespace("self", "mount")
        assert sorted(os.listdir(f"/proc/{holder.pid}/root")) == sorted(os.listdir(b.rootfs))
        assert " /data " in Path(f"/proc/{holder.pid}/mountinfo").read_text()
        assert runtime.exec(name, "ls", "/").stdout.split() == sorted(os.listdir(b.rootfs))
        assert runtime.exec(name, "cat", "/proc/keys").stdout == ""  # masked
        assert Path("/proc/self/mountinfo").read_text() == before
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.pyrunc_only("pivots the root of all that are in it away")
def test_the_callers_own_mount_namespace_by_path(runtime, bundle):
    """It is as if it were not named: the caller's root stays what it is."""
    b = bundle("sh", "-c", "ls /; cat /proc/keys; readlink /proc/self/ns/mnt")  # of which one is masked
    b.namespace("mount", path="/proc/self/ns/mnt")
    inside, after = run_apart(runtime, b, "readlink /proc/self/ns/mnt", f"ls {b.rootfs}/etc", f"grep -c ' {b.rootfs} ' /proc/self/mountinfo")
    *names, mount_namespace = inside.split()
    assert names == sorted(os.listdir(b.rootfs))
    assert after.split() == [mount_namespace, *sorted(os.listdir(b.rootfs / "etc")), "1"]


@pytest.mark.pyrunc_only("pivots the root of process 1 away")
def test_the_mount_namespace_of_process_1_is_not_joined(runtime, bundle):
    """Its root would become the container's.  The machine is one that is made for this, with a process 1 of its own."""
    b = bundle("true")
    b.namespace("mount", path="/proc/1/ns/mnt")
    name = runtime.prepare(b)
    command = shlex.join(runtime.argv("run", "--bundle", str(b.path), name))
    script = f"unshare -m --propagation private {command}; echo $?; ls /proc/1/root{b.rootfs}"
    done = run(["unshare", "-m", "-p", "--fork", "--mount-proc", "sh", "-c", script], script, check=True)
    assert done.stdout.split() == ["1", *sorted(os.listdir(b.rootfs))]
    assert "the host's own namespace" in done.stderr
