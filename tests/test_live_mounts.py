"""Plans of `mounts add` and `mounts remove`: who opens what, in which order (plan/livemounts.py)."""

from __future__ import annotations

import json

import pytest

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci import parsing
from pyrunc.plan import livemounts
from pyrunc.plan.op import Plan, barriers
from pyrunc.run import calls
from tests.machines import MACHINES
from tests.planned import minimal, request

ROOT = ("mount", "pid", "network", "ipc", "uts", "cgroup")
IDS = [{"containerID": 0, "hostID": 1000, "size": 10}]


def planned(*mounts: dict, joins: tuple[str, ...] = ROOT, host: str = "v2") -> Plan:
    document = minimal(mounts=list(mounts))
    if "user" in joins:
        document["linux"]["namespaces"].append({"type": "user"})
        document["linux"] |= {"uidMappings": IDS, "gidMappings": IDS}
    return livemounts.add(parsing.parse(json.dumps(document).encode()), joins, MACHINES[host], request())


def names(plan: Plan) -> list[str]:
    return [op.call for op in plan.child]


def bind(*options: str, **more: object) -> dict:
    return {"destination": "/d", "type": "bind", "source": "/s", "options": ["bind", *options], **more}


def tmpfs(*options: str) -> dict:
    return {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": list(options)}


MACHINE = [(ROOT, "v2"), (("user", *ROOT), "v2"), (("user", *ROOT), "v2-user")]


@pytest.mark.parametrize(("joins", "host"), MACHINE)
def test_both_columns_meet_and_every_call_exists(joins: tuple[str, ...], host: str):
    plan = planned(bind("ro"), tmpfs("ro"), joins=joins, host=host)
    assert barriers(plan.host) == barriers(plan.child)
    calls.load(plan)
    for op in (*plan.host, *plan.child):
        if op.call not in ("barrier", "go", "give", "clone3"):
            assert op.call in calls.KERNEL or calls.step(op.call)


@pytest.mark.parametrize(("joins", "host"), MACHINE)
def test_the_pid_namespace_is_never_entered(joins: tuple[str, ...], host: str):
    plan = planned(bind(), joins=joins, host=host)
    flags = [op.args[1] for op in (*plan.host, *plan.child) if op.call == "setns"]
    assert flags
    assert not any(int(each) & 0x20000000 for each in flags)  # CLONE_NEWPID


def test_sources_are_opened_before_the_container_is_entered():
    found = names(planned(bind()))
    assert found.index("open_tree") < found.index("setns") < found.index("mount_point")


def test_in_a_user_namespace_by_the_hosts_root_in_a_locked_copy_of_its_mounts():
    plan = planned(bind(), joins=("user", *ROOT))
    found = names(plan)
    assert "open_tree" not in found
    assert [op.args[1] for op in plan.host if op.call == "open_tree_by_helper"] == ["/s"]
    assert found.index("unshare") < found.index("barrier") < found.index("mount_point")


def test_an_ordinary_user_opens_them_in_such_a_copy_itself():
    found = names(planned(bind(), joins=("user", *ROOT), host="v2-user"))
    assert found.index("unshare") < found.index("open_tree") < found.index("mount_point")


def test_each_mount_is_noted_before_it_is_there():
    plan = planned(bind(), tmpfs())
    noted = [(op.args[0], op.args[3]) for op in plan.child if op.call == "note_mount"]
    assert noted == [("mount0", 0), ("mount1", 1)]
    found = names(plan)
    for index, name in enumerate(found):
        if name == "move_mount":
            assert found[index - 1] == "note_mount"


def test_what_mount_2_makes_is_noted_after_it():
    found = names(planned(tmpfs("x=" + "y" * 300)))
    assert found[found.index("mount_on") + 1] == "note_mount"


def test_a_new_tmpfs_becomes_read_only_at_the_end():
    found = planned({**tmpfs("ro"), "destination": "/outer"}, {**bind(), "destination": "/outer/inner"}).child
    last = [op for op in found if op.call == "mount_setattr"][-1]
    assert last.args[0] == "mount0"


@pytest.mark.parametrize(
    ("mount", "kind", "pointer"),
    [
        (bind("remount"), ConfigError, "/mounts/0/options/1"),
        (bind("copy-symlink"), ConfigError, "/mounts/0/options/1"),
        ({**tmpfs(), "type": "proc"}, UnsupportedError, "/mounts/0/type"),
        ({**tmpfs(), "type": "cgroup2"}, UnsupportedError, "/mounts/0/type"),
        ({**tmpfs(), "type": "overlay"}, UnsupportedError, "/mounts/0/type"),
        ({"destination": "/d"}, UnsupportedError, "/mounts/0/type"),
    ],
)
def test_refused(mount: dict, kind: type, pointer: str):
    with pytest.raises(kind) as found:
        planned(mount)
    assert found.value.pointer == pointer
    assert found.value.hint


def test_what_is_removed_is_known_by_its_number():
    plan = livemounts.remove(((7, "/mounts/1/destination"), (5, "/mounts/0/destination")), ROOT)
    assert [op.args[2] for op in plan.child if op.call == "detach_mount"] == [7, 5]
    assert plan.child[-1].call == "leave"
    assert barriers(plan.host) == barriers(plan.child) == ["ready"]
