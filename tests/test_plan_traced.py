"""exec where it may be traced: into the pid namespace last, with nothing of the host's."""

from __future__ import annotations

import pytest

from pyrunc.cgroup import paths
from pyrunc.oci import parsing
from pyrunc.oci.linux import Linux
from pyrunc.plan import build
from pyrunc.plan.op import OWN_PROC, PROC, ROOT, Slot
from tests.machines import MACHINES
from tests.planned import request

JOINS = ("mount", "uts", "ipc", "network", "pid", "cgroup")


def plan(host: str = "v1", joins: tuple[str, ...] = JOINS, *, traced: bool = True, args: str = '["sh"]'):
    text = f'{{"cwd": "/", "args": {args}, "apparmorProfile": "box", "selinuxLabel": "a:b:c:s0"}}'
    facts = MACHINES[host].replace(selinux=True)
    where = paths.writable(facts.cgroups, paths.places(facts.cgroups, "", "box"))
    asked = request(traced=traced, preserve_fds=2)
    return build.build_exec(parsing.parse_process(text.encode()), joins, where, Linux(), facts, asked)


def slots(op) -> set[str]:
    return {arg for arg in op.args if isinstance(arg, Slot)}


@pytest.mark.parametrize("host", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("joins", [JOINS, ("pid",), ("pid", "mount")])
def test_nothing_of_the_hosts_is_there_when_it_is_born_beside_who_may_trace(host: str, joins: tuple[str, ...]):
    made = plan(host, joins)
    calls = [op.call for op in made.child]
    born = calls.index("respawn")
    last, keep = made.child[born - 2], made.child[born - 1]
    assert (last.call, last.args[1]) == ("setns", 0x20000000)  # CLONE_NEWPID, alone
    assert not [op for op in made.child[born:] if op.call in ("setns", "unshare", "chroot")]
    assert keep.call == "close_others"
    assert keep.args[:2] == (5, ROOT)
    assert all(slot.startswith("tasks") for slot in keep.args[2:])
    later = {slot for op in made.child[born:] for slot in slots(op)} - {op.into for op in made.child[born:]}
    assert later - set(keep.args) == {OWN_PROC}
    assert not [op for op in made.host if op.call == "setns"]


def test_what_it_writes_of_itself_it_writes_in_its_own_directory():
    written = [op.args[:2] for op in plan().child if op.call == "write_at"]
    assert written == [(OWN_PROC, "attr/apparmor/exec"), (OWN_PROC, "attr/exec")]


def test_a_word_like_a_slot_is_a_word():
    for word in ("proc", "self/proc"):
        (op,) = [op for op in plan(args=f'["{word}"]').child if op.call == "name_program"]
        assert op.args[1] == "proc"


@pytest.mark.parametrize(("joins", "traced"), [(JOINS, False), (("user", *JOINS), True), (("mount",), True)])
def test_elsewhere_it_is_the_plan_of_before(joins: tuple[str, ...], traced: bool):
    assert plan("v1", joins, traced=traced) == plan("v1", joins, traced=False)


def test_nor_for_an_ordinary_user():
    assert "own-proc" not in [op.args[0] for op in plan("v2-user").child if op.call == "barrier"]
    assert PROC in {slot for op in plan("v2-user").child for slot in slots(op)}
