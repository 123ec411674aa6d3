"""Lengths that overflow (CVE-2021-43784)."""

from __future__ import annotations

import pytest

from integration.looking import mapped, refused


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
