"""What `check` asks the kernel, or reads of it: settings, scheduling, limits, hooks, devices, clocks, rights."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.images import Image

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask the kernel this")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def namespaces(image: Image, *kinds: str) -> None:
    image.document["linux"]["namespaces"] += [{"type": kind} for kind in kinds]


@ROOT
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("net.ipv4.ip_forward", "1", ""),
        ("net.ipv4.ip_forward", "yes", "invalid argument"),
        ("net.ipv4.ip_default_ttl", "256", "invalid argument"),
        ("net.ipv4.ip_default_ttl", "255", ""),
        ("net.ipv4.nosuch", "1", "no such file"),
        ("net.ipv4.conf.nosuch0.forwarding", "1", "no such file"),
        ("net.ipv4.ping_group_range", "0 2147483647", ""),
        ("kernel.shmmax", "x", "invalid argument"),
        ("kernel.shmmax", "1000000", ""),
        ("fs.mqueue.msg_max", "0", "invalid argument"),
        ("kernel.domainname", "a", ""),
        ("kernel.domainname", "a" * 64, ""),
    ],
)
def test_settings(image, name, value, says):
    """They are written in namespaces of their own: ours have nothing of it."""
    namespaces(image, "network", "ipc", "uts")
    image.document["linux"]["sysctl"] = {name: value}
    place = f"/linux/sysctl/{name}"
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    said = image.lacking()
    assert list(said) == ([place] if says else [])
    assert says in said.get(place, "")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


@pytest.mark.parametrize("name", ["kernel.domainname", "kernel/hostname"])
def test_a_name_that_the_kernel_would_cut_off(image, name):
    namespaces(image, "uts")
    image.document["linux"]["sysctl"] = {name: "\N{LATIN SMALL LETTER E WITH ACUTE}" * 33}
    (found,) = image.check().violations
    assert (found.pointer, found.message) == (f"/linux/sysctl/{name.replace('/', '~1')}", "longer than 64 bytes")


@ROOT
def test_settings_of_what_a_hook_may_bring(image):
    """Of a device they are there once it is; of all others nothing changes."""
    namespaces(image, "network")
    image.document["hooks"] = {"createRuntime": [{"path": "/bin/sh"}]}
    image.document["linux"]["sysctl"] = {"net.ipv4.conf.eth0.forwarding": "1"}
    assert image.warnings() == {"/linux/sysctl/net.ipv4.conf.eth0.forwarding": "nothing to do if one of the hooks brings it"}
    for name in ("net.ipv4.nosuch", "net.ipv4.neigh.default.gc_thresh1", "net.ipv4.conf.all.nosuch"):
        image.document["linux"]["sysctl"] = {name: "1"}
        assert list(image.lacking()) == [f"/linux/sysctl/{name}"]


@ROOT
def test_settings_in_a_user_namespace(image):
    """By its own mappings: not every group is there."""
    namespaces(image, "network", "user")
    rows = [{"containerID": 0, "hostID": 0, "size": 1000}]
    image.document["linux"] |= {"uidMappings": rows, "gidMappings": rows}
    image.document["linux"]["sysctl"] = {"net.ipv4.ping_group_range": "0 999"}
    assert image.lacking() == {}
    image.document["linux"]["sysctl"] = {"net.ipv4.ping_group_range": "0 2147483647"}
    assert list(image.lacking()) == ["/linux/sysctl/net.ipv4.ping_group_range"]


@ROOT
@pytest.mark.parametrize(
    ("scheduler", "fine"),
    [
        ({"policy": "SCHED_OTHER", "nice": 5}, True),
        ({"policy": "SCHED_BATCH"}, True),
        ({"policy": "SCHED_DEADLINE", "runtime": 3000000, "deadline": 2000000, "period": 2000000}, False),
    ],
)
def test_scheduling(image, scheduler, fine):
    image.document["process"]["scheduler"] = scheduler
    report = image.check()
    found = [each.pointer for each in (*report.violations, *report.lacking)]
    assert bool(found) is not fine
    assert all(each.startswith("/process/scheduler") for each in found)


@pytest.mark.parametrize("hard", [1, 1 << 63])
def test_a_limit_that_this_process_may_not_raise(image, hard):
    image.document["process"]["rlimits"] = [{"type": "RLIMIT_RTPRIO", "hard": hard, "soft": 0}]
    status = Path("/proc/self/status").read_text()
    may = int(status.partition("CapEff:")[2].split()[0], 16) >> 24 & 1  # CAP_SYS_RESOURCE
    found = list(image.lacking())
    assert found == ([] if may else ["/process/rlimits/0/hard"])


@pytest.mark.parametrize(
    ("kind", "path", "fine"),
    [
        ("createRuntime", "/bin/sh", True),
        ("createRuntime", "/no/such", False),
        ("createRuntime", "/etc", False),
        ("createRuntime", "/etc/passwd", False),
        ("prestart", "/bin/sh/x", False),
        ("createContainer", "/no/such", False),
        ("startContainer", "/bin/run", True),
        ("startContainer", "/no/such", False),
        ("startContainer", "/etc/text", False),
        ("startContainer", "/m/run", True),
        ("poststop", "/no/such", True),
        ("poststart", "/no/such", True),
    ],
)
def test_hooks(image, kind, path, fine):
    """Those whose failure is told; a program below a mount is not looked for."""
    image.file("etc/text", "text", 0o755)
    image.mount("/m", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    image.document["hooks"] = {kind: [{"path": path}]}
    assert list(image.lacking()) == ([] if fine else [f"/hooks/{kind}/0/path"])


def test_a_program_that_only_a_hook_could_bring(image):
    """A warning; but what is there and is none no hook will mend, and Docker's own hook brings nothing."""
    image.document["process"]["args"] = ["nosuch"]
    image.document["hooks"] = {"createRuntime": [{"path": "/bin/sh"}]}
    assert "hooks" in image.warnings()["/process/args/0"]
    image.document["hooks"]["startContainer"] = [{"path": "/no/such"}]
    assert "hooks" in image.warnings()["/hooks/startContainer/0/path"]
    image.document["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["libnetwork-setkey", "x"]}]}
    assert list(image.lacking()) == ["/process/args/0"]
    image.document["hooks"] = {"createRuntime": [{"path": "/bin/sh"}]}
    image.file("bin/nosuch", b"")
    assert list(image.lacking()) == ["/process/args/0"]


@pytest.mark.parametrize(
    ("path", "kind", "fine"),
    [
        ("/dev/x", "p", True),
        ("/etc/file", "p", False),
        ("/etc/file/x", "p", False),
        ("/proc/x", "p", False),
        ("/sys/x", "p", False),
        ("/m/x", "p", True),
        ("/", "p", False),
    ],
)
def test_device_nodes(image, path, kind, fine):
    image.file("etc/file", "")
    for name in ("proc", "sys", "m"):
        image.mount(f"/{name}", type={"proc": "proc", "sys": "sysfs"}.get(name, "tmpfs"), source="x")
    image.document["linux"]["devices"] = [{"path": path, "type": kind}]
    assert list(image.lacking()) == ([] if fine else ["/linux/devices/0"])


@pytest.mark.parametrize(("path", "fine"), [("/bin", True), ("/none", True), ("/loop", False), ("/up", False)])
def test_masks(image, path, fine):
    (image.root / "loop").symlink_to("loop")
    (image.root / "up").symlink_to("/")
    image.document["process"]["args"] = ["/m/run"]
    image.mount("/m", type="tmpfs", source="x", options=["tmpcopyup"])
    image.document["linux"]["maskedPaths"] = [path]
    assert list(image.lacking()) == ([] if fine else ["/linux/maskedPaths/0"])


@pytest.mark.parametrize(("name", "says"), [("nosuch0", "no network device"), ("lo", "already")])
def test_network_devices(image, name, says):
    namespaces(image, "network")
    image.document["linux"]["netDevices"] = {name: {}}
    assert says in image.lacking()[f"/linux/netDevices/{name}"]


@pytest.mark.parametrize(("secs", "fine"), [(0, True), (3600, True), (-(1 << 40), False), (1 << 62, False)])
def test_clocks(image, secs, fine):
    namespaces(image, "time")
    image.document["linux"]["timeOffsets"] = {"monotonic": {"secs": secs}}
    assert list(image.lacking()) == ([] if fine else ["/linux/timeOffsets"])
    image.document["linux"]["timeOffsets"] = {"boottime": {"secs": -int(time.clock_gettime(time.CLOCK_BOOTTIME)) + 60}}
    assert image.lacking() == {}


@pytest.mark.parametrize(("name", "warned"), [("mmap", True), ("exit_group", True), ("mkdir", False)])
def test_calls_that_every_program_needs(image, name, warned):
    pytest.importorskip("pyseccomp", reason="it knows calls")
    rules = [{"names": [name], "action": "SCMP_ACT_ERRNO"}]
    image.document["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    assert list(image.warnings()) == (["/linux/seccomp/syscalls/0"] if warned else [])


def test_a_filter_that_lets_no_program_be_executed(image):
    image.document["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}
    assert list(image.lacking()) == ["/linux/seccomp/defaultAction"]


@ROOT
def test_what_root_of_a_user_namespace_may_not_make(image):
    """In an image of other ids, where the directory is closed to it; what is there already is no matter."""
    for directory in (image.bundle, *image.bundle.parents):
        if not directory.stat().st_mode & 0o001:
            directory.chmod(0o755)
    namespaces(image, "user")
    rows = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    image.document["linux"] |= {"uidMappings": rows, "gidMappings": rows}
    (image.root / "dev").mkdir()
    image.mount("/dev", type="tmpfs", source="tmpfs")
    (image.root / "there").mkdir()
    image.mount("/there", type="tmpfs", source="tmpfs")
    assert image.lacking() == {}
    image.mount("/new/place", type="tmpfs", source="tmpfs")
    assert "root of the user namespace" in image.lacking()["/mounts/2/destination"]
    image.bundle.chmod(0o700)
    assert next(iter(image.lacking())) == "/root/path"


def test_every_finding_names_its_source(image):
    image.document["process"]["cwd"] = "/bin/run"
    image.document["linux"]["timeOffsets"] = {}
    image.document["unknown"] = 1
    report = image.check()
    assert [each.source for each in report.lacking] == ["execve(2)"]
    assert [each.source for each in report.warnings] == ["config.md, Extensibility"]
    image.document["process"]["cwd"] = 5
    assert [each.source for each in image.check().violations] == ["spec/schema/config.json"]
    image.document["process"] |= {"cwd": "/", "env": ["A"]}
    assert [each.source for each in image.check().violations] == ["config.md"]


@pytest.mark.parametrize(
    ("destination", "place"),
    [("/bin", "/mounts/0/options"), ("/none", "/mounts/0/destination"), ("/", None)],
)
def test_a_remount_of_what_is_not_mounted(image, destination, place):
    image.mount(destination, type="bind", source="x", options=["remount", "bind", "nosuid"])
    said = image.lacking()
    assert [each for each in said if each.startswith("/mounts")] == ([place] if place else [])
