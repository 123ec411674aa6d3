"""What a plan says to a security module; integration/test_labels.py looks what comes of it."""

from __future__ import annotations

import json

import pytest

from pyrunc.errors import UnsupportedError
from pyrunc.host.cgroups import Cgroups
from pyrunc.host.facts import HostFacts
from pyrunc.oci import parsing
from pyrunc.oci.default import default_config
from pyrunc.oci.linux import Linux
from pyrunc.plan import build
from pyrunc.plan.op import PROC
from pyrunc.plan.request import Request

BOTH = HostFacts(kernel=(6, 1), last_cap=40, apparmor=True, cgroups=Cgroups(), selinux=True)
NONE = BOTH.replace(apparmor=False, selinux=False)
LABEL = "system_u:object_r:container_file_t:s0:c1,c2"
REQUEST = Request(id="box", bundle="/b", rootfs="/b/rootfs")


def document(mounts=(), mount_label="", **process):
    made = default_config()
    made["process"].update(process)
    made["mounts"] += mounts
    made["linux"]["mountLabel"] = mount_label
    return parsing.parse(json.dumps(made).encode())


def planned(facts=BOTH, **changes):
    return build.build(document(**changes), facts, REQUEST).child


def added(facts=BOTH, **changes):
    plan = build.build_exec(document(**changes).process, ("mount", "pid"), (), Linux(), facts, REQUEST)
    assert any(op.into == PROC for op in plan.host)
    return plan.child


@pytest.mark.parametrize("plan", [planned, added])
@pytest.mark.parametrize(
    ("process", "written"),
    [
        ({"selinuxLabel": "u:r:t:s0"}, [(PROC, "self/attr/exec", "u:r:t:s0")]),
        ({"apparmorProfile": "p"}, [(PROC, "self/attr/apparmor/exec", "exec p")]),
        (
            {"apparmorProfile": "p", "selinuxLabel": "l"},
            [(PROC, "self/attr/apparmor/exec", "exec p"), (PROC, "self/attr/exec", "l")],
        ),
    ],
)
def test_of_a_process(plan, process, written):
    ops = plan(**process)
    found = [index for index, op in enumerate(ops) if op.call == "write_at" and "attr" in str(op.args[1])]
    assert [ops[index].args for index in found] == written
    assert max(found) < next(index for index, op in enumerate(ops) if op.call == "setresuid" and op.at.endswith("/user/uid"))


@pytest.mark.parametrize(
    ("plan", "field", "at"),
    [
        (planned, "selinuxLabel", "/process/selinuxLabel"),
        (planned, "apparmorProfile", "/process/apparmorProfile"),
        (planned, "mount_label", "/linux/mountLabel"),
        (added, "selinuxLabel", "/selinuxLabel"),
        (added, "apparmorProfile", "/apparmorProfile"),
    ],
)
def test_without_the_module(plan, field, at):
    with pytest.raises(UnsupportedError, match="is not enabled on this host") as caught:
        plan(NONE, **{field: "x"})
    assert caught.value.pointer == at


def contexts(ops):
    """Return the context of each file system that OPS make, by slot."""
    return {str(op.args[0]): op.args[3] for op in ops if op.call == "fsconfig" and op.args[2] == "context"}


def test_of_mounts():
    ops = planned(mount_label=LABEL)
    kinds = {op.into: op.args[0] for op in ops if op.call == "fsopen"}
    assert {kinds[slot] for slot in contexts(ops)} == {"tmpfs", "devpts"}
    assert set(contexts(ops).values()) == {LABEL}
    labelled = {slot for slot, kind in kinds.items() if kind in ("tmpfs", "devpts")}
    assert set(contexts(ops)) == labelled
    for slot in labelled:  # before it is made
        calls = [op.args[1] for op in ops if op.call == "fsconfig" and op.args[0] == slot]
        assert calls[-1] == 6
        assert calls[-2] == 1


def test_a_mount_with_a_context_of_its_own():
    own = {"destination": "/data", "type": "tmpfs", "source": "x", "options": ["context=mine"]}
    ops = planned(mounts=[own], mount_label=LABEL)
    assert sorted(set(contexts(ops).values())) == ["mine", LABEL]
    slot = next(op.into for op in ops if op.call == "fsopen" and op.at.startswith("/mounts/7/"))
    assert [op.args[3] for op in ops if op.call == "fsconfig" and op.args[0] == slot and op.args[2] == "context"] == ["mine"]


@pytest.mark.parametrize(("options", "end"), [([], f',context="{LABEL}"'), (["rootcontext=r"], ",rootcontext=r")])
def test_of_a_mount_by_mount2(options, end):
    lower = "lowerdir=" + "/".join(["a" * 100] * 3)
    long = {"destination": "/data", "type": "overlay", "source": "x", "options": [lower, *options]}
    ops = planned(mounts=[long], mount_label=LABEL)
    assert [op.args[4] for op in ops if op.call == "mount_on"] == [lower + end]


def test_none_without_a_label():
    assert contexts(planned()) == {}


@pytest.mark.parametrize("kind", ["context", "fscontext", "defcontext", "rootcontext"])
def test_an_annotation_says_which_option_gives_the_label(kind):
    data = "x" * 300  # which only mount(2) takes
    mounts = [{"destination": "/a", "type": "tmpfs"}, {"destination": "/b", "type": "tmpfs", "options": [f"a={data}"]}]
    made = document(mounts, LABEL).replace(annotations={"run.oci.mount_context_type": kind})
    plan = build.build(made, BOTH, REQUEST)
    given = [op.args[2:4] for op in plan.child if op.call == "fsconfig" and op.args[3] == LABEL]
    assert given
    assert set(given) == {(kind, LABEL)}
    assert [op.args[4] for op in plan.child if op.call == "mount_on"] == [f'a={data},{kind}="{LABEL}"']
