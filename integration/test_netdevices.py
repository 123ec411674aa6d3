"""linux.netDevices: devices of the runtime's network namespace that become the container's.

The runtime runs in a network namespace of the test's own, never in the host's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest

from integration.harness.failures import fails
from integration.looking import mapped

pytestmark = pytest.mark.pyrunc_only("1.1 does not know netDevices")
V4, V6 = "10.77.1.2/24", "fd77::2/64"


class Network:
    """A network namespace, kept by a process that sleeps in it."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.enter = ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--")
        self.path = f"/proc/{self.holder.pid}/ns/net"

    def ip(self, *words):
        return subprocess.run([*self.enter, "ip", *words], check=True, capture_output=True, text=True).stdout

    def devices(self):
        return {row["ifname"]: row for row in json.loads(self.ip("-j", "address"))}

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def network():
    """Return a namespace with a veth pair, left with addresses and up, right without and down."""
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    made = Network()
    try:
        made.ip("link", "add", "left", "type", "veth", "peer", "name", "right")
    except subprocess.CalledProcessError:
        made.close()
        pytest.skip("this kernel has no veth")
    made.ip("address", "add", V4, "dev", "left")
    made.ip("address", "add", V6, "dev", "left", "nodad")
    made.ip("link", "set", "left", "up")
    yield made
    made.close()


@pytest.fixture
def runtime(runtime, network):
    """Return the runtime, in that namespace."""
    runtime.prefix = network.enter
    yield runtime
    runtime.close()  # while the namespace is there
    runtime.prefix = ()


def global_addresses(row):
    return {f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"] if each["scope"] == "global"}


@pytest.mark.parametrize(("device", "name"), [({}, "left"), ({"name": "eth7"}, "eth7")])
@pytest.mark.parametrize("users", [False, True])
def test_a_device_moves(runtime, bundle, network, device, name, users):
    """With its addresses, under the new name, and it is up; the host has it no longer."""
    b = mapped(bundle()) if users else bundle()
    b.linux["netDevices"] = {"left": device, "right": {}}
    container = runtime.start(b)
    assert set(network.devices()) == {"lo"}
    inside = runtime.exec(container, "ip", "address").stdout
    assert set(re.findall(r"^\d+: ([a-z0-9]+)", inside, re.M)) == {"lo", name, "right"}
    block = inside.partition(f" {name}@")[2].partition(" right@")[0]
    assert f"inet {V4}" in block
    assert f"inet6 {V6}" in block
    assert ",UP" in block
    assert ",UP" in inside.partition(" right@")[2]
    runtime("delete", "--force", container)
    assert set(network.devices()) == {"lo"}  # the kernel ends virtual ones with their namespace


def test_into_a_namespace_that_is_joined(runtime, bundle, network):
    """It outlives the container, and keeps the device."""
    other = Network()
    try:
        b = bundle()
        b.namespace("network", path=other.path)
        b.linux["netDevices"] = {"left": {"name": "up0"}}
        container = runtime.start(b)
        assert set(network.devices()) == {"lo", "right"}
        assert global_addresses(other.devices()["up0"]) == {V4, V6}
        runtime("delete", "--force", container)
        assert set(other.devices()) == {"lo", "up0"}
    finally:
        other.close()


def test_a_failure_gives_the_devices_back(runtime, bundle, network):
    b = bundle()
    b.linux["netDevices"] = {"left": {"name": "a"}, "right": {"name": "b"}}
    b.mount("/data", "bind", "/not/there", "bind")
    fails(runtime, b)
    found = network.devices()
    assert set(found) == {"lo", "left", "right"}
    assert global_addresses(found["left"]) == {V4, V6}
    assert "UP" in found["left"]["flags"]


def test_the_second_that_cannot_move_gives_the_first_back(runtime, bundle, network):
    b = bundle()
    b.linux["netDevices"] = {"left": {"name": "a"}, "absent": {}}
    said = fails(runtime, b)
    assert "there is no network device absent" in said
    assert "(at /linux/netDevices/absent" in said
    assert global_addresses(network.devices()["left"]) == {V4, V6}


def test_a_hook_sees_it(runtime, bundle, network):
    b = bundle()
    b.linux["netDevices"] = {"left": {}}
    out = b.path / "seen"
    script = f"nsenter --net=/proc/$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')/ns/net ip -o address > {out}"
    b.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": [f"PATH={os.environ['PATH']}"]}]}
    runtime.start(b)
    assert V4 in out.read_text()


LONG = "a-name-that-is-longer-than-a-device-may-have"


@pytest.mark.parametrize("key", ["altleft", LONG])
@pytest.mark.parametrize(("device", "name"), [({}, "left"), ({"name": "eth7"}, "eth7")])
def test_a_device_by_its_alternative_name(runtime, bundle, network, key, device, name):
    """Where no other is given it keeps its own."""
    network.ip("link", "property", "add", "dev", "left", "altname", "altleft", "altname", LONG)
    b = bundle()
    b.linux["netDevices"] = {key: device}
    container = runtime.start(b)
    assert set(network.devices()) == {"lo", "right"}
    assert re.findall(r"^\d+: ([a-z0-9]+)", runtime.exec(container, "ip", "address").stdout, re.M) == ["lo", name]


def test_an_alternative_name_that_is_to_be_the_name(runtime, bundle, network):
    """The kernel takes no name twice, and would tell so when the device has gone."""
    network.ip("link", "property", "add", "dev", "left", "altname", "altleft")
    b = bundle()
    b.linux["netDevices"] = {"left": {"name": "altleft"}}
    assert "altleft is an alternative name of network device left" in fails(runtime, b)
    assert global_addresses(network.devices()["left"]) == {V4, V6}


def test_an_alternative_name_that_another_has_there(runtime, bundle, network):
    """Moved or not, it is back."""
    other = Network()
    try:
        other.ip("link", "add", "left", "type", "veth", "peer", "name", "far")
        other.ip("link", "property", "add", "dev", "left", "altname", "altleft")
        network.ip("link", "property", "add", "dev", "left", "altname", "altleft")
        b = bundle()
        b.namespace("network", path=other.path)
        b.linux["netDevices"] = {"altleft": {"name": "up0"}}
        fails(runtime, b)
        assert global_addresses(network.devices()["left"]) == {V4, V6}
        assert set(other.devices()) == {"lo", "left", "far"}
    finally:
        other.close()


@pytest.mark.parametrize(
    ("devices", "pointer"),
    [
        ({"lo": {}}, "/lo"),
        ({"left": {"name": "lo"}}, "/left"),
        ({"left": {"name": "right"}, "right": {}}, "/right/name"),
        ({"left": {"name": "a/b"}}, "/left/name"),
        ({"left": {"name": "sixteen-letters!"}}, "/left/name"),
        ({"left": {"name": "a b"}}, "/left/name"),
        ({"": {}}, "/"),
        ({"left": {"name": 1}}, "/left/name"),
        ({"left": []}, "/left"),
    ],
)
def test_what_cannot_move(runtime, bundle, network, devices, pointer):
    b = bundle()
    b.linux["netDevices"] = devices
    said = fails(runtime, b)
    assert f"(at /linux/netDevices{pointer};" in said or f"(at /linux/netDevices{pointer})" in said, said
    assert set(network.devices()) == {"lo", "left", "right"}


@pytest.mark.parametrize("how", ["none", "the host's own"])
def test_nowhere_to_go(runtime, bundle, network, how):
    b = bundle()
    b.namespace("network", path=None if how == "none" else network.path, drop=how == "none")
    b.linux["netDevices"] = {"left": {}}
    said = fails(runtime, b)
    assert "netDevices" in said
    assert set(network.devices()) == {"lo", "left", "right"}
