"""A name that the kernel completes (config-linux.md, "Network Devices"); the rest is in test_netdevices.py."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import termios
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for

pytestmark = pytest.mark.pyrunc_only("1.1 does not know netDevices")
PAIR = 'ip link add left type veth peer name right && exec "$0" "$@"'
DEVICES = Path("/sys/class/net")
N_SLIP, SIOCGIFNAME = 1, 0x8910  # the line discipline that makes a network device of a terminal, and how to ask for it


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


# What becomes of a device when its namespace ends


@pytest.fixture
def physical():
    """Return the name of a device that is no driver's of virtual ones: the kernel takes a serial line for a physical one.

    It is in the first network namespace, which is the machine's own.
    """
    master, line = pty.openpty()
    try:
        fcntl.ioctl(line, termios.TIOCSETD, struct.pack("i", N_SLIP))
    except OSError:
        pytest.skip("this kernel has no SLIP")
    else:
        name = fcntl.ioctl(line, SIOCGIFNAME, bytes(40)).partition(b"\0")[0].decode()
        if not (DEVICES / name).exists():
            pytest.skip("the tests have a network namespace of their own")
        yield name
    finally:
        os.close(line)
        os.close(master)


def test_what_the_kernel_takes_for_a_physical_device_comes_back(runtime, bundle, physical):
    """To the first namespace, under the name that it had last, when the container's ends; nobody else gives it back."""
    b = bundle()
    b.linux["netDevices"] = {physical: {"name": "renamed0"}}
    container = runtime.start(b)
    assert not (DEVICES / physical).exists()
    assert "renamed0" in names(runtime.exec(container, "ip", "-o", "link").stdout)
    runtime("delete", "--force", container)
    wait_for((DEVICES / "renamed0").exists, lambda: os.listdir(DEVICES), what="the device to come back")
