"""Plans for people: symbols for flags, whole limits, nothing cut off; in errors, brief."""

from __future__ import annotations

import json

import pytest

from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.paths import Place
from pyrunc.jsonio import dumps
from pyrunc.linux import mount as m
from pyrunc.linux import process as p
from pyrunc.oci.hooks import Hook
from pyrunc.plan import text
from pyrunc.plan.op import Op, Slot
from tests.planned import CASES, Case, case_id


@pytest.mark.parametrize(
    ("op", "shown"),
    [
        (Op("setsid"), "setsid()"),
        (Op("clone3", (p.CLONE_NEWNS | p.CLONE_NEWPID,), into=Slot("child")), "child = clone3(CLONE_NEWPID|CLONE_NEWNS)"),
        (Op("mount", (None, "/", None, m.MS_REC | m.MS_SLAVE, None)), 'mount(NULL, "/", NULL, MS_SLAVE|MS_REC, NULL)'),
        (Op("umask", (0o22,)), "umask(0o22)"),
        (Op("umask", (0,)), "umask(0)"),
        (Op("capset", (255, 255, 0)), "capset(0xff, 0xff, 0x0)"),
        (Op("open_tree", (m.AT_FDCWD, "/a", m.OPEN_TREE_CLONE)), 'open_tree(AT_FDCWD, "/a", OPEN_TREE_CLONE)'),
        (Op("fsconfig", (Slot("fs0"), 0, "ro", None, 0)), 'fsconfig(fs0, FSCONFIG_SET_FLAG, "ro", NULL, 0)'),
        (Op("mount_setattr", (Slot("t"), "", 0, 1 << 40, 0, 0, 0)), 'mount_setattr(t, "", 0, 0x10000000000, 0, 0, 0)'),
        (Op("fchdir", (Slot("root"),)), "fchdir(root)"),
        (Op("symlink", ('a"b\\c\nd',)), 'symlink("a\\"b\\\\c\\nd")'),
        (Op("x", (("a", ("b", 1)),)), 'x(["a", ["b", 1]])'),
        (Op("x", (Place("/sys/fs/cgroup/box", "/sys/fs/cgroup", ("",)),)), "x(/sys/fs/cgroup/box)"),
        (Op("x", ((Write("pids", "pids.max", "9", "/p"),),)), "x([pids.max=9])"),
        (Op("x", (Hook("/bin/hook", ("hook", "secret")),)), "x(Hook(/bin/hook))"),
    ],
)
def test_calls(op: Op, shown: str):
    assert text.call(op) == shown


def test_programs_are_told_apart():
    one, other = (text.call(Op("attach_device_program", ("/d", code))) for code in (b"12345678", b"12345679"))
    assert one.startswith('attach_device_program("/d", <8 bytes, ')
    assert one != other


def test_a_plan_shows_all_and_an_error_not():
    op = Op("sethostname", ("x" * 1000,), into=Slot("slot"))
    assert "x" * 1000 in text.line(op)
    assert text.brief(op) == text.call(Op("sethostname", ("x" * 1000,)))[: text.SHOWN_MAX] + "...)"


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_the_document_says_the_same(case: Case):
    plan = case.build()
    document = json.loads(dumps(text.document(plan), 2))
    rendered = [line.strip() for line in text.render(plan).splitlines()]
    for ops, rows in ((plan.host, document["host"]), (plan.child, document["child"])):
        assert [row["call"] for row in rows] == [op.call for op in ops]
        assert [row.get("at", "") for row in rows] == [op.at for op in ops]
        for row in rows:
            shown = row["text"] + (f"    # {row['at']}" if "at" in row else "")
            assert shown in rendered or row["call"] in ("barrier", "go")
