"""Each type of namespace: new, absent, and joined by path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}


def own(kind):
    return os.readlink(f"/proc/self/ns/{FILES[kind]}")


def of(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup"])
def test_new(runtime, bundle, kind):
    b = bundle()
    b.namespace(kind)
    name = runtime.start(b)
    assert of(runtime.pid(name), kind) != own(kind)


@pytest.mark.pyrunc_only("Debian 12's has no time namespaces")
def test_new_time_namespace_with_offsets(runtime, bundle):
    b = bundle("cut -d. -f1 /proc/uptime ; sleep 1000")
    b.namespace("time")
    b.linux["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0}}
    b.process["args"] = ["cut", "-d.", "-f1", "/proc/uptime"]
    assert int(runtime.output(b)) > 1000000


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup"])
def test_absent_is_the_hosts(runtime, bundle, kind):
    b = bundle()
    b.namespace(kind, drop=True)
    if kind == "uts":
        del b.config["hostname"]
    if kind == "network":  # sysfs belongs to the network namespace's owner
        b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] not in ("sysfs", "cgroup")]
    name = runtime.start(b)
    assert of(runtime.pid(name), kind) == own(kind)


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup"])
def test_joined_by_path(runtime, bundle, kind):
    b = bundle()
    b.namespace(kind)
    first = runtime.start(b)
    pid = runtime.pid(first)
    other = bundle()
    other.namespace(kind, path=f"/proc/{pid}/ns/{FILES[kind]}")
    if kind == "uts":
        del other.config["hostname"]
    second = runtime.start(other)
    assert of(runtime.pid(second), kind) == of(pid, kind)
    assert of(runtime.pid(second), kind) != own(kind)
    runtime("delete", "--force", second)


def test_init_is_pid_1(runtime, bundle):
    assert runtime.output(bundle("sh", "-c", "echo $$")) == "1\n"


def test_loopback_is_up(runtime, bundle):
    assert "127.0.0.1" in runtime.output(bundle("ip", "addr", "show", "lo"))


def test_hostname(runtime, bundle):
    b = bundle("hostname")
    b.config["hostname"] = "a-name"
    assert runtime.output(b) == "a-name\n"


@pytest.mark.pyrunc_only("Debian 12's knows no domainname")
def test_domainname(runtime, bundle):
    b = bundle("cat", "/proc/sys/kernel/domainname")
    b.config["domainname"] = "example.org"
    assert runtime.output(b) == "example.org\n"


def test_own_hostname_stays(runtime, bundle):
    before = os.uname().nodename
    runtime.output(bundle("true"))
    assert os.uname().nodename == before


def user_bundle(bundle, *args):
    b = bundle(*args)
    b.namespace("user")
    b.linux["uidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 1000},
        {"containerID": 1000, "hostID": 200000, "size": 10},
    ]
    b.linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    for path in (b.path, *b.path.parents):
        if str(path).startswith("/tmp/"):
            os.chmod(path, 0o755)
    os.chown(b.rootfs, 100000, 100000)
    for path in b.rootfs.rglob("*"):
        os.chown(path, 100000, 100000, follow_symlinks=False)
    return b


def test_user_namespace(runtime, bundle):
    name = runtime.start(user_bundle(bundle))
    pid = runtime.pid(name)
    lines = [line.split() for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines()]
    assert lines == [["0", "100000", "1000"], ["1000", "200000", "10"]]
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t100000\t100000\t100000\t100000" in status
    assert runtime.exec(name, "id", "-u").stdout == "0\n"
    assert runtime.exec(name, "cat", "/proc/self/uid_map").stdout.split()[:3] == ["0", "100000", "1000"]


def test_devices_in_a_user_namespace(runtime, bundle):
    out = runtime.output(user_bundle(bundle, "echo x >/dev/null && head -c 4 /dev/zero | wc -c"))
    assert out == "4\n"


def test_unprivileged_user_in_a_user_namespace(runtime, bundle):
    b = user_bundle(bundle, "id")
    b.process["user"] = {"uid": 1000, "gid": 1000}
    assert runtime.output(b).startswith("uid=1000(user) gid=1000(user)")


def test_user_namespace_joined_by_path(runtime, bundle):
    first = runtime.start(user_bundle(bundle))
    pid = runtime.pid(first)
    other = user_bundle(bundle)
    other.namespace("user", path=f"/proc/{pid}/ns/user")
    other.namespace("network", path=f"/proc/{pid}/ns/net")
    second = runtime.start(other)
    assert os.readlink(f"/proc/{runtime.pid(second)}/ns/user") == os.readlink(f"/proc/{pid}/ns/user")
    assert runtime.exec(second, "id", "-u").stdout == "0\n"
    runtime("delete", "--force", second)
