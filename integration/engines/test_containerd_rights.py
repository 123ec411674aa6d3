"""containerd, used by ctr: capabilities, seccomp, devices, namespaces, and a configuration of one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.containerd import DEFAULT_CAPS, NEEDED, SYSTEMD
from integration.looking import FIRST, NAMESPACES, fields, namespace, status_outside

need(*NEEDED)

QUICK = ()


def status_of(box, *flags, **options):
    """Return the fields of /proc/self/status in a container with FLAGS."""
    return fields(box.says(*flags, do=("cat", "/proc/self/status"), **options))


def caps(status):
    return {name: int(status[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")}


# Who it is, and what it may


def test_default_capabilities(box):
    status = status_of(box)
    assert caps(status) == dict.fromkeys(("CapBnd", "CapEff", "CapPrm"), DEFAULT_CAPS)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--cap-add", "CAP_SYS_ADMIN"), DEFAULT_CAPS | 1 << 21),
        (("--cap-drop", "CAP_CHOWN", "--cap-drop", "CAP_KILL"), DEFAULT_CAPS & ~(1 | 1 << 5)),
    ],
    ids=["add", "drop"],
)
def test_capabilities(box, flags, expected):
    assert caps(status_of(box, *flags)) == dict.fromkeys(("CapBnd", "CapEff", "CapPrm"), expected)


def test_a_dropped_capability_is_missed(box):
    done = box.run("--cap-drop", "CAP_CHOWN", do=("chown", "1", "/data/file"), check=False)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr


def test_privileged(box):
    status = status_of(box, "--privileged")
    assert caps(status)["CapEff"] == caps(status_outside(os.getpid()))["CapEff"]
    script = "mkdir /m && mount -t tmpfs m /m && echo mounted; ls /sys/firmware >/dev/null && hostname inside && hostname"
    assert box.says("--privileged", do=script) == "mounted\ninside\n"
    assert os.uname().nodename != "inside"


@pytest.mark.parametrize(("flags", "seen"), [((), "1"), (("--allow-new-privs",), "0")])
def test_no_new_privileges(box, flags, seen):
    assert status_of(box, *flags)["NoNewPrivs"] == seen


def test_no_seccomp_unless_asked(box):
    assert status_of(box)["Seccomp"] == "0"


def test_default_seccomp_profile(box):
    done = box.run("--seccomp", do="grep Seccomp: /proc/self/status; unshare -U true", check=False)
    assert done.stdout == "Seccomp:\t2\n"
    assert "Operation not permitted" in done.stderr


def test_custom_seccomp_profile(box, tmp_path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
    (tmp_path / "profile").write_text(json.dumps(profile))
    done = box.run("--seccomp", "--seccomp-profile", tmp_path / "profile", do="touch /tmp/a && echo touched; mkdir /tmp/b", check=False)
    assert done.stdout == "touched\n"
    assert "No space left on device" in done.stderr


def test_open_files_are_limited(box):
    assert box.says(do="ulimit -Sn; ulimit -Hn") == "1024\n1024\n"


def test_a_device(box):
    found = Path("/dev/fuse").stat().st_rdev
    seen = box.says("--device", "/dev/fuse", do="stat -c '%t %T' /dev/fuse; exec 3</dev/fuse && echo opened")
    assert seen == f"{os.major(found):x} {os.minor(found):x}\nopened\n"


def test_a_device_that_was_not_given(box):
    done = box.run(do="mknod /tmp/kmsg c 1 11 && echo made; exec 3</tmp/kmsg", check=False)
    assert done.stdout == "made\n"
    assert "Operation not permitted" in done.stderr
    assert box.says(do="head -c 3 /dev/zero | wc -c") == "3\n"


def test_environment(box, tmp_path):
    (tmp_path / "env").write_text("FILED=from file\n")
    seen = box.says("--env", "FROM_IMAGE=no", "--env", "EMPTY=", "--env-file", tmp_path / "env", do=("env",)).splitlines()
    assert {"FROM_IMAGE=no", "EMPTY=", "FILED=from file", "PATH=/usr/local/bin:/bin", "HOME=/root"} <= set(seen)


def test_working_directory(box):
    assert box.says("--cwd", "/not/yet/there", do=("pwd",)) == "/not/yet/there\n"


# Namespaces


def test_namespaces_are_its_own(box):
    pid = box.pid(box.start())
    own = {kind for kind in ("pid", "ipc", "uts", "mount", "network", "user") if namespace(pid, kind) != namespace(os.getpid(), kind)}
    assert own == {"pid", "ipc", "uts", "mount", "network"}
    assert box.says(do="ls /sys/class/net; ls /proc | grep -c '^[0-9]*$'").split()[0] == "lo"


def test_network_of_the_host(box):
    name = box.start("--net-host")
    assert namespace(box.pid(name), "network") == namespace(box.containerd.place.holder.pid, "network")
    assert box.exec(name, do=("cat", "/etc/hosts")).stdout == Path("/etc/hosts").read_text()


@pytest.mark.parametrize("kind", ["pid", "ipc", "network", "uts"])
def test_sharing_a_namespace(box, kind):
    first = box.pid(box.start())
    second = box.pid(box.start("--with-ns", f"{kind}:/proc/{first}/ns/{NAMESPACES[kind]}"))
    assert namespace(second, kind) == namespace(first, kind)
    assert namespace(second, "mount") != namespace(first, "mount")


def test_shared_pids_see_each_other(box):
    first = box.pid(box.start(do=("sleep", "1007")))
    assert "sleep 1007" in box.says("--with-ns", f"pid:/proc/{first}/ns/pid", do=("ps", "-o", "args"))


MAPS = ("--uidmap", f"0:{FIRST}:65536", "--gidmap", f"0:{FIRST}:65536")


def test_user_namespace(box):
    name = box.start(*MAPS)
    pid = box.pid(name)
    assert status_outside(pid)["Uid"].split() == [str(FIRST)] * 4
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", str(FIRST), "65536"]
    assert box.exec(name, do="id -u; stat -c %u /data/file; touch /data/new && echo touched").stdout == "0\n0\ntouched\n"


def test_joining_a_user_namespace(box):
    first = box.pid(box.start(*MAPS))
    flags = (*MAPS, "--with-ns", f"user:/proc/{first}/ns/user", "--with-ns", f"network:/proc/{first}/ns/net")
    second = box.pid(box.start(*flags))
    assert namespace(second, "user") == namespace(first, "user")
    assert namespace(second, "network") == namespace(first, "network")
    assert status_outside(second)["Uid"].split() == [str(FIRST)] * 4


# A configuration of one's own


@pytest.fixture
def configured(box, bundle):
    """Run a container whose config.json a function changes; return what it wrote."""

    def run(change, line):
        b = bundle("sh", "-c", line)
        b.config["root"]["path"] = str(b.rootfs)
        if SYSTEMD:
            b.linux["cgroupsPath"] = f"system.slice:pyrunctest:{box.new_id()}"
        change(b)
        b.save()
        return box.says("--config", b.path / "config.json", of="", do=())

    return run


def test_hostname_by_configuration(configured):
    def change(b):
        b.config["hostname"] = "called-so"

    assert configured(change, "hostname") == "called-so\n"


def test_rlimits_by_configuration(configured):
    def change(b):
        b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]

    assert configured(change, "ulimit -Sn; ulimit -Hn; ulimit -Hc") == "100\n200\n0\n"


def test_sysctl_by_configuration(configured):
    def change(b):
        b.linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.msgmax": "10000"}

    line = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax"
    assert configured(change, line) == "80\n10000\n"


def test_number_of_processes_by_configuration(configured):
    def change(b):
        b.linux["resources"] = {"pids": {"limit": 3}}

    assert "can't fork" in configured(change, "(sleep 1 & sleep 1 & sleep 1 & wait) 2>&1 || true")
