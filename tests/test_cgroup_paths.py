"""Where a container's cgroups are, as runc resolves cgroupsPath; and how the hierarchies are found."""

from __future__ import annotations

import pytest

from pyrunc.cgroup.paths import places
from pyrunc.errors import ConfigError
from pyrunc.host import cgroups
from pyrunc.host.cgroups import Hierarchy
from pyrunc.host.facts import kernel_version
from tests.machines import MACHINES, MOUNTINFO, OWN, V1_GROUPS

ON = {kind: MACHINES[kind].cgroups for kind in MOUNTINFO}


@pytest.mark.parametrize(
    ("path", "v2", "memory", "systemd"),
    [
        ("", "/engine/box", "/engine/box", "/engine/scope/box"),
        ("pods/box", "/engine/pods/box", "/engine/pods/box", "/engine/scope/pods/box"),
        ("./pods//box/", "/engine/pods/box", "/engine/pods/box", "/engine/scope/pods/box"),
        ("/pods/box", "/pods/box", "/pods/box", "/pods/box"),
        ("//pods/./box/", "/pods/box", "/pods/box", "/pods/box"),
        ("/...", "/...", "/...", "/..."),
    ],
)
def test_paths(path: str, v2: str, memory: str, systemd: str):
    assert [place.directory for place in places(ON["v2"], path, "box")] == [f"/sys/fs/cgroup{v2}"]
    found = {place.controllers: place.directory for place in places(ON["v1"], path, "box")}
    assert found["memory",] == f"/sys/fs/cgroup/memory{memory}"
    assert found["name=systemd",] == f"/sys/fs/cgroup/systemd{systemd}"
    assert found["cpu", "cpuacct"] == f"/sys/fs/cgroup/cpu,cpuacct{memory}"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("..", "leads upwards"),
        ("/a/../b", "leads upwards"),
        ("a/..", "leads upwards"),
        ("/", "is the root of the hierarchy"),
        (".", "is the root of the hierarchy"),
        ("//./", "is the root of the hierarchy"),
    ],
)
@pytest.mark.parametrize("kind", ON)
def test_paths_that_lead_elsewhere(kind: str, path: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        places(ON[kind], path, "box")
    assert caught.value.pointer == "/linux/cgroupsPath"


def test_each_hierarchy_once_and_version_2_last():
    for kind, expected in (("v1", len(V1_GROUPS) + 1), ("v2", 1), ("hybrid", len(V1_GROUPS) + 2)):
        found = places(ON[kind], "", "box")
        assert len({place.directory for place in found}) == len(found) == expected
        assert [place.controllers == ("",) for place in found] == [False] * (expected - 1) + [kind != "v1"]
    assert places(ON["hybrid"], "", "box")[-1].directory == "/sys/fs/cgroup/unified/engine/scope/box"


def test_which_hierarchy_has_the_limits():
    assert {kind: found.unified for kind, found in ON.items()} == {"v1": False, "v2": True, "hybrid": False}
    assert not cgroups.Cgroups().unified


def test_hierarchies():
    found = ON["hybrid"]
    assert found.v2 == Hierarchy("/sys/fs/cgroup/unified", "/engine/scope")
    assert found.v1["cpuacct"] is found.v1["cpu"] or found.v1["cpuacct"] == found.v1["cpu"]
    assert found.v1["cpu"] == Hierarchy("/sys/fs/cgroup/cpu,cpuacct", "/engine", ("cpu", "cpuacct"))
    assert found.v1["name=systemd"] == Hierarchy("/sys/fs/cgroup/systemd", "/engine/scope", ("name=systemd",))
    assert "rw" not in found.v1
    assert "xattr" not in found.v1


@pytest.mark.parametrize(
    ("root", "own", "seen"),
    [
        ("/", "/a/b", "/a/b"),
        ("/a", "/a/b", "/b"),  # in a container whose own cgroup is bound there
        ("/a", "/a", "/"),
        ("/a", "/ab", "/ab"),
        ("/x", "/a", "/a"),
    ],
)
def test_a_mount_of_a_part(root: str, own: str, seen: str):
    mountinfo = f"28 23 0:25 {root} /sys/fs/cgroup rw shared:7 master:3 - cgroup2 cgroup2 rw\n"
    assert cgroups.parse(mountinfo, f"0::{own}\n").v2 == Hierarchy("/sys/fs/cgroup", seen)


def test_the_first_mount_counts():
    """A second mount of one hierarchy is somewhere in a container's root, for example."""
    twice = MOUNTINFO["v2"] + "90 23 0:25 / /mnt/cgroup rw - cgroup2 cgroup2 rw\n"
    assert cgroups.parse(twice, OWN["v2"]) == ON["v2"]
    other = MOUNTINFO["v1"] + "90 23 0:40 / /mnt/memory rw - cgroup cgroup rw,memory\n"
    assert cgroups.parse(other, OWN["v1"]) == ON["v1"]


def test_a_path_with_colons():
    assert cgroups.parse(MOUNTINFO["v2"], "0::/a:b:c\n").v2.own == "/a:b:c"


def test_no_cgroups_at_all():
    assert cgroups.parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "") == cgroups.Cgroups()
    assert places(cgroups.Cgroups(), "", "box") == ()


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-56-amd64", (6, 1)), ("5.12", (5, 12)), ("6.14-rc1", (6, 14)), ("6.18.44-fc-v669", (6, 18)), ("7.0+", (7, 0))],
)
def test_kernel_versions(release: str, version: tuple[int, int]):
    assert kernel_version(release) == version
