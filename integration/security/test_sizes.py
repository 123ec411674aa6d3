"""Lengths that overflow (CVE-2021-43784)."""

from __future__ import annotations

import struct

import pytest

from integration.looking import mapped, refused
from integration.security.naive import caught


def test_arguments_of_many_kilobytes(runtime, bundle):
    b = bundle("sh", "-c", "echo $#", *("x" * 10000 for _ in range(50)))
    assert runtime.output(b) == "49\n"


def test_more_mappings_than_the_kernel_takes(runtime, bundle):
    b = mapped(bundle("true"))
    b.linux["uidMappings"] = [
        {"containerID": number, "hostID": 100000 + number, "size": 1} for number in range(5000)
    ]
    refused(runtime, b)


def test_many_mappings(runtime, bundle):
    b = mapped(bundle("sh", "-c", "wc -l </proc/self/uid_map"))
    b.linux["uidMappings"] = [
        {"containerID": number, "hostID": 100000 + number, "size": 1} for number in range(150)
    ]
    assert runtime.output(b) == "150\n"


@pytest.mark.parametrize("field", ["destination", "source", "cwd", "hostname", "cgroupsPath"])
def test_a_path_that_is_too_long(runtime, bundle, field):
    long = "/" + "/".join("x" * 200 for _ in range(350))
    b = bundle("true")
    if field == "destination":
        b.mount(long, "tmpfs", "tmpfs")
    elif field == "source":
        b.mount("/data", "bind", long, "bind")
    elif field == "cwd":
        b.process["cwd"] = long
    elif field == "hostname":
        b.config["hostname"] = "x" * 70000
    else:
        b.linux["cgroupsPath"] = long
    refused(runtime, b)


# 70 KiB, which a length of sixteen bits makes 4 KiB of

LONG = 70 * 1024


def whole(sent: str, arrived: str) -> None:
    """Check that what was SENT has ARRIVED, all of it and nothing else."""
    assert arrived == sent


def test_what_is_longer_than_64_kilobytes(runtime, bundle):
    """An argument, a variable of the environment, and as much of both in many pieces."""
    text = "x" * LONG
    b = bundle("sh", "-c", 'printf %s "$1" "$VALUE"', "sh", text)
    b.process["env"].append(f"VALUE={text}")
    whole(text * 2, runtime.output(b))
    many = [f"V{number}={number}" for number in range(6000)]
    b = bundle("env")
    b.process["env"] = [*b.process["env"], *many]
    whole("\n".join(many), "\n".join(sorted((line for line in runtime.output(b).splitlines() if line[0] == "V"), key=lambda line: int(line[1:].split("=")[0]))))


def test_a_configuration_of_many_mounts(runtime, bundle):
    """Their plan is far longer than any buffer."""
    b = bundle("grep -c ' /data/' /proc/self/mountinfo")
    for number in range(300):
        b.mount(f"/data/{'x' * 200}{number}", "bind", str(b.rootfs / "etc"), "bind")
    whole("300\n", runtime.output(b))


def test_what_is_longer_than_64_kilobytes_bites():
    """A message whose length has sixteen bits: what comes after it is read as the next one."""
    text = "x" * LONG
    message = struct.pack("=H", LONG & 0xFFFF) + text.encode()
    (length,) = struct.unpack_from("=H", message)
    with caught():
        whole(text, message[2 : 2 + length].decode())
