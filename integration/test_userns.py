"""User namespaces: mappings, what root means inside, and the mounts that are made there (config-linux.md)."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from integration.looking import (
    FIRST,
    become,
    fields,
    give,
    mapped,
    mountinfo,
    mounts_inside,
    namespace,
    refused,
    status_outside,
    unified,
    volume,
)


def rows(path):
    return [line.split() for line in Path(path).read_text().splitlines()]


def test_mappings_of_several_lines(runtime, bundle):
    b = mapped(bundle())
    b.linux["uidMappings"] = [
        {"containerID": 0, "hostID": FIRST, "size": 1000},
        {"containerID": 1000, "hostID": 200000, "size": 10},
        {"containerID": 5000, "hostID": 300000, "size": 1},
    ]
    b.linux["gidMappings"] = [{"containerID": 0, "hostID": FIRST, "size": 65536}]
    name = runtime.start(b)
    pid = runtime.pid(name)
    assert rows(f"/proc/{pid}/uid_map") == [
        ["0", "100000", "1000"],
        ["1000", "200000", "10"],
        ["5000", "300000", "1"],
    ]
    assert rows(f"/proc/{pid}/gid_map") == [["0", "100000", "65536"]]
    status = status_outside(pid)
    assert status["Uid"].split() == status["Gid"].split() == ["100000"] * 4
    assert namespace(pid, "user") != namespace("self", "user")


def test_root_inside_is_nobody_outside(runtime, bundle):
    b = mapped(bundle("id -u; cat /secret; touch /data/made; stat -c %u /bin/busybox"))
    (b.rootfs / "secret").write_text("of the host's root")
    (b.rootfs / "secret").chmod(0o600)
    done = runtime.run(b, check=False)
    assert done.stdout.split() == ["0", "0"]
    assert "Permission denied" in done.stderr
    assert (b.rootfs / "data/made").stat().st_uid == FIRST


def test_capabilities_are_those_of_the_namespace(runtime, bundle):
    name = runtime.start(mapped(bundle()))
    status = status_outside(runtime.pid(name))
    inside = fields(runtime.exec(name, "cat", "/proc/self/status").stdout)
    assert status["CapBnd"] == inside["CapBnd"]
    assert status["CapEff"] != "0" * 16


def test_another_user(runtime, bundle):
    b = become(mapped(bundle("id; touch /tmp/mine")), 1000, additionalGids=[50])
    assert runtime.output(b).startswith("uid=1000(user) gid=1000(user) groups=")
    assert (b.rootfs / "tmp/mine").stat().st_uid == FIRST + 1000


def test_a_user_that_is_not_mapped_is_refused(runtime, bundle):
    err = refused(runtime, become(mapped(bundle("true"), size=1000), 4242, 0))
    if runtime.name == "pyrunc":
        assert "/process/user/uid" in err


def test_a_group_that_is_not_mapped_is_refused(runtime, bundle):
    err = refused(runtime, become(mapped(bundle("true"), size=1000), 0, 4242))
    if runtime.name == "pyrunc":
        assert "/process/user/gid" in err


def test_without_mappings_it_is_refused(runtime, bundle):
    b = bundle("true")
    b.namespace("user")
    refused(runtime, b)


def test_mappings_that_overlap_are_refused(runtime, bundle):
    b = mapped(bundle("true"))
    b.linux["uidMappings"].append({"containerID": 10, "hostID": 900000, "size": 10})
    refused(runtime, b)


def test_exec_is_root_of_the_namespace(runtime, bundle):
    name = runtime.start(mapped(bundle()))
    assert runtime.exec(name, "id", "-u").stdout == "0\n"
    assert runtime.exec(name, "cat", "/proc/self/uid_map").stdout.split() == ["0", "100000", "65536"]
    assert runtime("exec", "--user", "1000:50", name, "id").stdout.startswith("uid=1000(user) gid=50(staff)")


def test_joined_by_path_with_the_namespaces_that_it_owns(runtime, bundle):
    pid = runtime.pid(runtime.start(mapped(bundle())))
    b = mapped(bundle())
    for kind, file in (("user", "user"), ("network", "net"), ("ipc", "ipc")):
        b.namespace(kind, path=f"/proc/{pid}/ns/{file}")
    if runtime.name == "pyrunc":  # runc 1.1 asks for mappings, and does not use them
        del b.linux["uidMappings"], b.linux["gidMappings"]
    second = runtime.start(b)
    for kind in ("user", "network", "ipc"):
        assert namespace(runtime.pid(second), kind) == namespace(pid, kind)
    assert namespace(runtime.pid(second), "mount") != namespace(pid, "mount")
    assert runtime.exec(second, "id", "-u").stdout == "0\n"
    runtime("delete", "--force", second)


def test_a_host_network_and_a_user_namespace(runtime, bundle):
    b = mapped(bundle())
    b.namespace("network", drop=True)
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] != "sysfs"]
    name = runtime.start(b)
    assert namespace(runtime.pid(name), "network") == namespace("self", "network")
    runtime.exec(name, "ip", "link", "set", "lo", "down", check=False)
    assert "UP" in os.popen("ip link show lo").read()


# Mounts, made by a root that is none of the host's


def test_the_usual_mounts(runtime, bundle):
    b = mapped(bundle())
    found = mounts_inside(runtime, b)
    kinds = {point: row.type for point, row in found.items()}
    assert {"/proc": "proc", "/sys": "sysfs", "/dev": "tmpfs", "/dev/pts": "devpts"}.items() <= kinds.items()
    assert kinds["/dev/mqueue"] == "mqueue"
    assert "ro" in found["/sys"].options


def test_default_devices_are_the_hosts(runtime, bundle):
    words = "for f in null zero full random urandom tty; do stat -c '%n %F %t:%T' /dev/$f; done"
    b = mapped(bundle(f"{words}; echo x >/dev/null && head -c 4 /dev/zero | wc -c"))
    lines = runtime.output(b).splitlines()
    assert lines[0] == "/dev/null character special file 1:3"
    assert len([line for line in lines if "character special file" in line]) == 6
    assert lines[-1] == "4"


def test_a_new_file_system_belongs_to_the_namespaces_root(runtime, bundle):
    b = mapped(bundle("stat -c %u:%g /data; touch /data/x && stat -c %u /data/x"))
    b.mount("/data", "tmpfs", "tmpfs", "mode=755")
    assert runtime.output(b).split() == ["0:0", "0"]


def test_binds_with_flags(runtime, bundle):
    b = mapped(bundle())
    volume(b)
    b.mount("/data", "bind", "volume", "bind", "ro", "nosuid", "nodev", "noexec")
    row = mounts_inside(runtime, b)["/data"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= row.options


def test_a_source_that_only_the_hosts_root_can_reach(runtime, bundle):
    b = mapped(bundle("cat", "/data/file"))
    secret = volume(b, "closed/inner")
    (secret / "file").write_text("content\n")
    secret.parent.chmod(0o700)
    b.mount("/data", "bind", str(secret), "rbind")
    assert runtime.output(b) == "content\n"


def test_masks_and_readonly_paths(runtime, bundle):
    b = mapped(bundle("wc -c </etc/hidden; ls -A /data; touch /tmp/x 2>/dev/null || echo refused"))
    (b.rootfs / "data/file").touch()
    (b.rootfs / "etc/hidden").write_text("secret")
    b.linux["maskedPaths"] = ["/etc/hidden", "/data", "/proc/kcore"]
    b.linux["readonlyPaths"] = ["/tmp"]
    assert runtime.output(b).split() == ["0", "refused"]


def test_readonly_root(runtime, bundle):
    b = mapped(bundle("touch", "/file", writable=False))
    assert "Read-only" in runtime.run(b, check=False).stderr


@pytest.fixture
def forbidding(bundle):
    """Make a bundle whose /data is a mount of the host with flags that forbid."""
    b = mapped(bundle())
    source = volume(b)
    source.chmod(0o777)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "none", str(source)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro,nosuid,noexec,noatime", str(source)], check=True)
    yield b, source
    subprocess.run(["umount", str(source)], check=True)


@pytest.mark.parametrize("options", [[], ["nodev"], ["ro"], ["noatime", "nosuid"]])
def test_what_the_hosts_mount_forbids_stays_forbidden(runtime, forbidding, options):
    b, source = forbidding
    b.mount("/data", "bind", str(source), "bind", *options)
    row = mounts_inside(runtime, b)["/data"]
    assert {"ro", "nosuid", "noexec", "noatime"} | set(options) <= row.options


@pytest.mark.parametrize("kind", ["bind", "rbind"])
def test_root_inside_cannot_undo_what_the_hosts_mount_forbids(runtime, forbidding, kind):
    """Flags of a mount that comes from outside the user namespace are locked (mount_namespaces(7))."""
    b, source = forbidding
    give(b, "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE")
    b.mount("/data", "bind", str(source), kind)
    b.process["args"] = ["sh", "-c", "mount -o remount,rw,bind /data; touch /data/written"]
    runtime.run(b, check=False)
    assert not list(source.iterdir())


def test_devices_of_the_config_are_bound(runtime, bundle):
    b = mapped(bundle("stat", "-c", "%F %t:%T", "/dev/full", "/dev/kmsg"))
    b.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600}]
    lines = runtime.output(b).splitlines()
    assert lines == ["character special file 1:7", "character special file 1:b"]


def test_missing_mount_points_belong_to_root_inside(runtime, bundle):
    b = mapped(bundle("stat", "-c", "%u", "/new/place"))
    b.mount("/new/place/below", "tmpfs", "tmpfs")
    assert runtime.output(b) == "0\n"
    assert (b.rootfs / "new").stat().st_uid == FIRST


def test_a_sysctl_of_the_new_network(runtime, bundle):
    b = mapped(bundle("cat", "/proc/sys/net/ipv4/ip_forward"))
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert runtime.output(b) == "1\n"


def test_streams_belong_to_the_mapped_user(runtime, bundle):
    b = become(mapped(bundle("true")), 1000)
    read, write = os.pipe()
    runtime.run(b, stdout=write, stderr=-1)
    assert os.fstat(write).st_uid in (FIRST + 1000, os.geteuid())
    assert os.stat("/dev/null").st_uid == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.close(read)
    os.close(write)


def test_limits_and_oom_score(runtime, bundle):
    b = mapped(bundle())
    b.process["oomScoreAdj"] = 500
    b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}]
    name = runtime.start(b)
    pid = runtime.pid(name)
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
    assert "Max open files            64                   128" in Path(f"/proc/{pid}/limits").read_text()


@pytest.mark.parametrize("new_privileges", [True, False])
def test_seccomp(runtime, bundle, new_privileges):
    b = mapped(bundle("mkdir", "/data/x"))
    b.process["noNewPrivileges"] = not new_privileges
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert "No space left on device" in runtime.run(b, check=False).stderr


def test_hooks_run_as_the_hosts_root(runtime, bundle, tmp_path):
    b = mapped(bundle("true"))
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\nid -u >{tmp_path}/who\ncat /proc/self/uid_map >>{tmp_path}/who\n")
    script.chmod(0o755)
    b.config["hooks"] = {"createRuntime": [{"path": str(script)}]}
    runtime.run(b)
    assert (tmp_path / "who").read_text().split()[:3] == ["0", "0", "0"]


def test_the_cgroup_mount(runtime, bundle):
    b = mapped(bundle("cat", "/proc/self/mountinfo"))
    b.namespace("cgroup")
    mounts = [m for m in b.config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    b.config["mounts"] = mounts
    b.mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
    found = mountinfo(runtime.output(b))
    below = [row for point, row in found.items() if point.startswith("/sys/fs/cgroup")]
    assert [row for row in below if row.type in ("cgroup", "cgroup2")]
    assert not [row for row in below if "rw" in row.options and row.type.startswith("cgroup")]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("way", ["ro", "rw"])
def test_what_the_cgroup_mount_shows_and_allows(runtime, bundle, own, way):
    """The container's own subtree, with a cgroup namespace and without; nothing in it is root's inside to change."""
    b = mapped(bundle())
    b.namespace("cgroup", drop=not own)
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    b.mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", way)
    name = runtime.start(b)
    here = "/sys/fs/cgroup" if unified() else "/sys/fs/cgroup/pids"
    assert runtime.exec(name, "cat", f"{here}/cgroup.procs").stdout.split()[0] == "1"
    row = mountinfo(runtime.exec(name, "cat", "/proc/self/mountinfo").stdout)[here]
    assert {way, "nosuid", "nodev", "noexec"} <= row.options
    assert runtime.exec(name, "mkdir", f"{here}/new", check=False).returncode
    assert runtime.exec(name, "sh", "-c", f"echo 5 >{here}/pids.max", check=False).returncode


def test_a_shared_bind_in_a_user_namespace(runtime, bundle):
    """What is a peer of the host's mount is not for a namespace with less privileges: it is a slave there (mount_namespaces(7))."""
    b = mapped(bundle())
    b.mount("/data", "bind", str(volume(b)), "rbind", "rshared")
    optional = mounts_inside(runtime, b)["/data"].optional
    assert "shared:" in optional
