"""/linux/sysctl: only what belongs to a namespace of the container's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration.looking import refused


def of_a_pid_namespace(*since):
    """Mark what a pid namespace has its own of SINCE a kernel, and what runc takes for the machine's."""
    kernel = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    old = pytest.mark.skipif(kernel < since, reason=f"a pid namespace has its own since Linux {since[0]}.{since[1]}")
    return [old, pytest.mark.pyrunc_only("takes it for the machine's")]


def value(name):
    return Path("/proc/sys", name).read_text()


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward", "1"),
        ("net.core.somaxconn", "net/core/somaxconn", "77"),
        ("net.ipv4.ip_local_port_range", "net/ipv4/ip_local_port_range", "40000\t50000"),
        ("net.ipv4.conf.lo.forwarding", "net/ipv4/conf/lo/forwarding", "1"),
        ("kernel.msgmax", "kernel/msgmax", "12345"),
        ("kernel.shmmni", "kernel/shmmni", "1234"),
        ("kernel.sem", "kernel/sem", "250\t32000\t100\t200"),
        ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced", "1"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max", "20"),
        pytest.param("kernel.pid_max", "kernel/pid_max", "400", marks=of_a_pid_namespace(6, 14)),
        pytest.param("kernel/pid_max", "kernel/pid_max", "401", marks=of_a_pid_namespace(6, 14)),
        pytest.param("vm.memfd_noexec", "vm/memfd_noexec", "1", marks=of_a_pid_namespace(6, 3)),
    ],
)
def test_set_inside_and_not_outside(runtime, bundle, name, path, text):
    if not Path("/proc/sys", path).exists():
        pytest.skip(f"this kernel has no {name}")
    b = bundle("cat", f"/proc/sys/{path}")
    b.linux["sysctl"] = {name: text}
    before = value(path)
    if before.strip() == text:
        pytest.skip(f"{name} is {text} already")
    assert runtime.output(b).strip() == text
    assert value(path) == before


def test_several(runtime, bundle):
    b = bundle("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax")
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "12345"}
    assert runtime.output(b).split() == ["1", "12345"]


def test_proc_sys_may_be_readonly(runtime, bundle):
    b = bundle("cat", "/proc/sys/net/ipv4/ip_forward")
    assert "/proc/sys" in b.linux["readonlyPaths"]
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert runtime.output(b) == "1\n"


def test_proc_need_not_be_mounted(runtime, bundle):
    if runtime.name == "runc":
        pytest.skip("runc writes through the container's own /proc")
    b = bundle("echo", "ran")
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] != "/proc"]
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert runtime.output(b) == "ran\n"


@pytest.mark.parametrize(
    "name",
    ["vm.swappiness", "kernel.threads-max", "kernel.core_pattern", "fs.file-max", "kernel.hostname.x", "net", ""],
)
def test_a_setting_of_the_host_is_refused(runtime, bundle, name):
    path = Path("/proc/sys", name.replace(".", "/"))
    before = path.read_text() if path.is_file() else ""
    b = bundle("true")
    b.linux["sysctl"] = {name: before.strip() or "1"}
    refused(runtime, b, "is not in a separate kernel namespace")


@pytest.mark.parametrize(("name", "kind"), [("net.ipv4.ip_forward", "network"), ("kernel.msgmax", "ipc"), ("kernel.pid_max", "pid"), ("kernel.hostname", "uts")])
def test_without_a_namespace_it_is_the_hosts(runtime, bundle, name, kind):
    b = bundle("true")
    b.namespace(kind, drop=True)
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] not in ("sysfs", "cgroup", "mqueue")]
    before = value(name.replace(".", "/"))
    if kind == "uts":
        b.config.pop("hostname")
    b.linux["sysctl"] = {name: "1" if name.startswith("net") else "12345"}
    err = refused(runtime, b)
    assert value(name.replace(".", "/")) == before
    if runtime.name == "pyrunc":
        assert f"/linux/sysctl/{name}" in err


def test_a_namespace_joined_by_the_hosts_path_is_the_hosts(runtime, bundle):
    """Not having one, and joining one's own, are the same thing."""
    b = bundle("true")
    b.namespace("network", path="/proc/self/ns/net")
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] not in ("sysfs", "cgroup")]
    before = value("net/ipv4/ip_forward")
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1" if before.strip() == "0" else "0"}
    runtime.run(b, check=False)
    after = value("net/ipv4/ip_forward")
    Path("/proc/sys/net/ipv4/ip_forward").write_text(before)
    assert after == before


@pytest.mark.parametrize("name", ["net/../vm/swappiness", "net/ipv4/../../vm/swappiness", "net..", "net//"])
def test_a_name_that_leads_elsewhere(runtime, bundle, name):
    before = value("vm/swappiness")
    b = bundle("true")
    b.linux["sysctl"] = {name: "1"}
    refused(runtime, b)
    assert value("vm/swappiness") == before


def test_a_value_that_the_kernel_refuses(runtime, bundle):
    b = bundle("true")
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "nonsense"}
    err = refused(runtime, b, "invalid argument")
    if runtime.name == "pyrunc":
        assert "/linux/sysctl/net.ipv4.ip_forward" in err


def test_a_setting_that_this_kernel_does_not_have(runtime, bundle):
    b = bundle("true")
    b.linux["sysctl"] = {"net.ipv4.no_such_setting": "1"}
    refused(runtime, b, "no such file or directory")


def test_hostname_as_a_sysctl(runtime, bundle):
    b = bundle("hostname")
    b.config.pop("hostname")
    b.linux["sysctl"] = {"kernel.domainname": "example.org"}
    b.process["args"] = ["cat", "/proc/sys/kernel/domainname"]
    assert runtime.output(b) == "example.org\n"


@pytest.mark.parametrize("name", ["kernel.hostname", "kernel/hostname"])
def test_hostname_in_two_places(runtime, bundle, name):
    b = bundle("true")
    b.config["hostname"] = "one"
    b.linux["sysctl"] = {name: "two"}
    assert "separate kernel namespace" not in refused(runtime, b, "conflicts with the OCI")


@pytest.mark.pyrunc_only("refuses it, whether there is a hostname or not")
def test_hostname_in_this_place_alone(runtime, bundle):
    b = bundle("hostname")
    b.config.pop("hostname")
    b.linux["sysctl"] = {"kernel.hostname": "two"}
    assert runtime.output(b) == "two\n"


@pytest.mark.pyrunc_only("lets the kernel cut it off")
@pytest.mark.parametrize("name", ["kernel.domainname", "kernel/hostname"])
def test_a_name_that_the_kernel_would_cut_off(runtime, bundle, name):
    b = bundle("cat", f"/proc/sys/{name.replace('.', '/')}")
    b.config.pop("hostname")
    b.linux["sysctl"] = {name: "a" * 64}
    assert runtime.output(b) == "a" * 64 + "\n"
    b.linux["sysctl"] = {name: "a" * 65}
    assert "longer than 64 bytes" in runtime.refuses("run", "--bundle", str(b.path), runtime.prepare(b))


@pytest.mark.pyrunc_only("takes it for the machine's")
def test_the_hosts_pid_namespace_is_not_changed(runtime, bundle):
    b = bundle("true")
    b.namespace("pid", path="/proc/self/ns/pid")
    b.linux["sysctl"] = {"kernel.pid_max": value("kernel/pid_max").strip()}
    refused(runtime, b)
