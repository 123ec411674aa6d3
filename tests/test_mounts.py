"""Plans of mounts: every configuration that an engine has sent plans cleanly, and options are sorted by who takes them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.container.verbs.features import mount_options
from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.host.cgroups import Cgroups, Hierarchy
from pyrunc.host.facts import HostFacts
from pyrunc.linux import mount as m
from pyrunc.oci import parsing
from pyrunc.plan import mountopts, mounts, sources
from pyrunc.plan.op import Op, Slot, barriers
from pyrunc.plan.request import Request

SHARED = Path(os.environ.get("PYRUNC_SHARED") or Path(__file__).parents[2] / "shared")
OTHER_DOCUMENTS = ("exec-process", "update-resources")
V1 = Cgroups({"pids": Hierarchy("/sys/fs/cgroup/pids", "/", ("pids",))}, None)
V2 = Cgroups({}, Hierarchy("/sys/fs/cgroup", "/"))
REQUEST = Request(id="example", bundle="/bundle", rootfs="/bundle/rootfs")


def facts(cgroups: Cgroups = V1, kernel: tuple[int, int] = (6, 18)) -> HostFacts:
    return HostFacts(kernel=kernel, last_cap=40, apparmor=False, cgroups=cgroups)


def plan(document: dict[str, Any], known: HostFacts | None = None) -> tuple[list[Op], list[Op]]:
    """Return the ops of both sides that DOCUMENT's mounts need."""
    config = parsing.parse(json.dumps(document).encode())
    known = known or facts()
    rounds = sources.by_helper(config, known, REQUEST)
    host = [*sources.host(config, known, REQUEST), *(op for _, ops in rounds for op in ops)]
    made = [*sources.child(config, known, REQUEST), *mounts.child(config, known, REQUEST)]
    return host, [*made, *mounts.read_only(config, known)]


def document(*listed: dict[str, Any], user: bool = False) -> dict[str, Any]:
    """Return a configuration with the mounts LISTED, in a namespace of USER's own if asked."""
    linux: dict[str, Any] = {"namespaces": [{"type": "mount"}]}
    if user:
        rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        linux["namespaces"].append({"type": "user"})
        linux |= {"uidMappings": rows, "gidMappings": rows}
    return {"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "mounts": list(listed), "linux": linux}


def one(kind: str, *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": "/data", "type": kind, "source": "/source", "options": list(options), **more}


def sent_by_engines() -> list[Path]:
    """Return every configuration that was recorded from an engine."""
    paths = sorted(SHARED.glob("configs/*/*.json"))
    return [path for path in paths if not any(word in path.name for word in OTHER_DOCUMENTS)]


@pytest.mark.skipif(not sent_by_engines(), reason="no recorded configurations: PYRUNC_SHARED names the directory of configs/")
@pytest.mark.parametrize("path", sent_by_engines(), ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("cgroups", [V1, V2], ids=["v1", "v2"])
def test_what_engines_send(path: Path, cgroups: Cgroups):
    """Each mount ends attached where it was asked for, in order, and nothing of it was refused."""
    text = json.loads(path.read_text())
    host, child = plan(text, facts(cgroups))
    attached = [op for op in child if op.call in ("move_mount", "mount_on")]
    order = list(dict.fromkeys(int(op.at.split("/")[2]) for op in attached))
    assert order == list(range(len(text["mounts"])))
    assert barriers(tuple(host)) == barriers(tuple(child))


# The table of config.md, "Linux mount options".
SPECIFIED = """
    async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime
    noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
    rdiratime relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
    rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw
    shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap
""".split()


# What crun has beside them (crun(1)).
CRUNS = "copy-symlink dest-nofollow src-nofollow rsync rasync rdirsync rmand rnomand".split()


def test_features_name_every_option_of_the_specification():
    assert {*SPECIFIED, *CRUNS} == set(mount_options())


@pytest.mark.parametrize("option", [*SPECIFIED, *CRUNS])
def test_no_option_of_the_specification_is_given_to_the_file_system(option: str):
    assert mountopts.parse((option,)).data == ()


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ("ro", m.MOUNT_ATTR_RDONLY),
        ("rro rw", 0),
        ("rw rro", m.MOUNT_ATTR_RDONLY),
        ("ro rrw", 0),
        ("rnoatime relatime", 0),
        ("noatime rstrictatime", m.MOUNT_ATTR_STRICTATIME),
        ("strictatime nostrictatime noatime", m.MOUNT_ATTR_NOATIME),
        ("nosuid suid rnosuid", m.MOUNT_ATTR_NOSUID),
    ],
)
def test_the_last_option_wins(options: str, attributes: int):
    assert mountopts.parse(tuple(options.split())).attributes == attributes


# What a user namespace and a kernel can do


ROWS = [{"containerID": 0, "hostID": 7, "size": 1}]
MAPPED = {"uidMappings": ROWS, "gidMappings": ROWS}


def idmaps(ops: list[Op]) -> list[Op]:
    return [op for op in ops if op.call == "mount_setattr" and op.args[3] == m.MOUNT_ATTR_IDMAP]


def test_in_a_user_namespace_the_host_maps_before_it_gives():
    host, child = plan(document(one("bind", "bind", **MAPPED), user=True))
    calls = [op.call for op in host]
    assert calls.index("make_user_namespace") < calls.index("mount_setattr") < calls.index("give")
    assert not idmaps(child)


def test_elsewhere_the_child_maps_before_it_attaches():
    host, child = plan(document(one("bind", "bind", **MAPPED)))
    assert [op.call for op in host] == ["make_user_namespace"]
    calls = [op.call for op in child]
    assert calls.index("open_tree") < calls.index("mount_setattr") < calls.index("move_mount")


def test_one_namespace_for_all_that_say_the_same():
    other = [{"containerID": 0, "hostID": 8, "size": 1}]
    listed = [one("bind", "bind", **MAPPED)] * 3 + [one("bind", "bind", uidMappings=other, gidMappings=other)]
    host, child = plan(document(*listed))
    assert [op.into for op in host] == ["idmap0", "idmap3"]
    assert [op.args[6] for op in idmaps(child)] == ["idmap0"] * 3 + ["idmap3"]


def test_the_containers_own_namespace_serves_for_the_same_mappings():
    same = document(one("bind", "bind", "idmap"), one("bind", "bind"), user=True)
    same["mounts"][1] |= {"uidMappings": same["linux"]["uidMappings"], "gidMappings": same["linux"]["gidMappings"]}
    host, _ = plan(same)
    assert "make_user_namespace" not in [op.call for op in host]
    assert {op.args[6] for op in idmaps(host)} == {Slot("idmap-own")}


@pytest.mark.parametrize(("option", "recursive"), [("idmap", 0), ("ridmap", m.AT_RECURSIVE)])
def test_only_ridmap_is_recursive(option: str, recursive: int):
    _, child = plan(document(one("bind", "rbind", option, **MAPPED)))
    assert idmaps(child)[0].args[2] == m.AT_EMPTY_PATH | recursive


def test_the_copy_is_made_before_the_tmpfs_is_read_only():
    _, child = plan(document(one("tmpfs", "tmpcopyup", "ro")))
    calls = [op.call for op in child]
    assert calls.index("fsmount") < calls.index("copy_up") < calls.index("move_mount") < calls.index("mount_setattr")
    assert next(op for op in child if op.call == "fsmount").args[2] == 0


@pytest.mark.parametrize(
    ("mount", "kernel", "pointer"),
    [
        (one("bind", "bind", "nosymfollow"), (5, 13), "/mounts/0/options/1"),
        (one("tmpfs", "rnosymfollow"), (5, 13), "/mounts/0/options/0"),
        (one("tmpfs", "idmap", **MAPPED), (6, 1), "/mounts/0/uidMappings"),
        (one("cgroup", "idmap", **MAPPED), (6, 18), "/mounts/0/uidMappings"),
        (one("overlay", "lowerdir=" + "/layer:" * 1000), (6, 18), "/mounts/0/options"),
    ],
)
def test_what_a_kernel_cannot_do(mount: dict[str, Any], kernel: tuple[int, int], pointer: str):
    with pytest.raises(UnsupportedError) as caught:
        plan(document(mount), facts(kernel=kernel))
    assert caught.value.pointer == pointer
    assert caught.value.hint


@pytest.mark.parametrize(
    ("mount", "pointer"),
    [
        (one("bind", "bind", "idmap"), "/mounts/0/options/1"),
        (one("bind", "bind", uidMappings=ROWS), "/mounts/0/gidMappings"),
        (one("bind", "bind", "idmap", gidMappings=ROWS), "/mounts/0/uidMappings"),
        (one("bind", "bind", "tmpcopyup"), "/mounts/0/options/1"),
        (one("tmpfs", "remount", "tmpcopyup"), "/mounts/0/options/1"),
        (one("bind", "bind", "remount", "idmap", **MAPPED), "/mounts/0/options/1"),
        (one("bind", "bind", "remount", "sync"), "/mounts/0/options/2"),
        (one("bind", "bind", "sync"), "/mounts/0/options/1"),
        (one("bind", "bind", "nonsense"), "/mounts/0/options/1"),
        (one("cgroup", "ro", "nonsense"), "/mounts/0/options/1"),
    ],
)
def test_what_makes_no_sense(mount: dict[str, Any], pointer: str):
    with pytest.raises(ConfigError) as caught:
        plan(document(mount))
    assert caught.value.pointer == pointer


def test_a_remount_opens_no_source_and_makes_nothing():
    host, child = plan(document(one("bind", "bind", "shared"), one("bind", "bind", "remount", "ro"), user=True))
    assert [op.into for op in host if op.call == "open_tree_by_helper"] == ["mount0"]
    assert [op.call for op in child if op.at.startswith("/mounts/1")] == ["open_mount", "mount_setattr"]


def test_cgroup2_is_the_containers_own_too():
    """By its own name the unified hierarchy would show the host's whole tree."""
    _, child = plan(document(one("cgroup2")), facts(V2))
    opened = next(op for op in child if op.call == "open_tree")
    assert opened.args[1] != "/sys/fs/cgroup"
