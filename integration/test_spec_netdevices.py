"""A name that the kernel completes (config-linux.md, "Network Devices"); the rest is in test_netdevices.py."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.pyrunc_only("1.1 does not know netDevices")
PAIR = 'ip link add left type veth peer name right && exec "$0" "$@"'


@pytest.fixture
def in_a_network(runtime):
    """Let the runtime run in a network namespace with a pair of devices, each time a new one."""
    if not json.loads(runtime("features").stdout)["linux"]["netDevices"]["enabled"]:
        pytest.skip("this version does not move network devices")
    runtime.prefix = ("unshare", "--net", "sh", "-c", PAIR)
    yield runtime
    runtime.prefix = ()


def names(text):
    return set(re.findall(r"^\d+: ([^:@]+)", text, re.MULTILINE)) - {"lo"}


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ({"left": {"name": "eth%d"}}, {"eth0"}),
        ({"left": {"name": "eth%d"}, "right": {"name": "eth%d"}}, {"eth0", "eth1"}),
        ({"left": {"name": "eth0"}, "right": {"name": "eth%d"}}, {"eth0", "eth1"}),
    ],
)
def test_a_template(in_a_network, bundle, devices, expected):
    b = bundle("ip", "-o", "link")
    b.linux["netDevices"] = devices
    assert expected <= names(in_a_network.output(b))
