"""What the specification says about resctrl beside test_resctrl.py: when nothing of it is touched, and a group that fails."""

from __future__ import annotations

import json
import os

import pytest

from pyrunc.errors import OpError
from pyrunc.host.cgroups import Cgroups, Hierarchy
from pyrunc.host.facts import HostFacts
from pyrunc.oci import parsing
from pyrunc.plan import build
from pyrunc.plan.request import Request

resctrl = pytest.importorskip("pyrunc.cgroup.resctrl", reason="this version does not know resctrl")
FACTS = HostFacts((6, 1), 40, False, Cgroups(v2=Hierarchy("/sys/fs/cgroup", "/user")))


def planned(**linux: object) -> str:
    """Return, as text, the plan of a container whose configuration has LINUX, on a machine with resctrl."""
    made = {"ociVersion": "1.3.0", "root": {"path": "r"}, "process": {"cwd": "/", "args": ["true"]}, "linux": linux}
    request = Request(id="box", bundle="/b", rootfs="/b/r")
    plan = build.build(parsing.parse(json.dumps(made).encode()), FACTS.replace(resctrl="/the/resctrl"), request)
    return repr(plan)


def test_without_intelrdt_nothing_of_resctrl_is_touched():
    assert "/the/resctrl" not in planned()
    assert "/the/resctrl" in planned(intelRdt={})


@pytest.mark.parametrize("present", [True, False])
def test_a_group_that_cannot_be_made(tmp_path, present):
    """It is there already, or the processor cannot monitor: then there is no mon_groups."""
    path = tmp_path / "mon_groups/box"
    if present:
        os.makedirs(path)
    with pytest.raises(OpError):
        resctrl.make_group(str(path))
