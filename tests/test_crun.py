"""What annotations of crun's change in a plan (oci/crun.py); integration/test_crun_annotations.py looks what comes of it."""

from __future__ import annotations

import pytest

from pyrunc.container.verbs.features import features
from pyrunc.oci import crun
from pyrunc.plan.op import Op, Plan
from tests.planned import minimal, plan_of

HOOK = [{"path": "/bin/hook"}]
OUT, ERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"


def planned(annotations: dict[str, str], **more: object) -> Plan:
    return plan_of(minimal(annotations=annotations, **more))


def calls(plan: Plan, name: str) -> list[Op]:
    return [op for op in (*plan.host, *plan.child) if op.call == name]


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("true", True), ("0", False), ("false", False), ("", False)])
def test_groups_stay(value: str, kept: bool):
    assert bool(calls(planned({"run.oci.keep_original_groups": value}), "set_groups")) != kept


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_files_of_hooks_are_opened_before_the_fork(kind: str):
    plan = planned({OUT: "/out", ERR: "/err"}, hooks={kind: HOOK})
    opened = [(op.args, op.at, op.into) for op in calls(plan, "open_hook_output")]
    assert opened == [(("/out",), f"/annotations/{OUT}", "hook-stdout"), (("/err",), f"/annotations/{ERR}", "hook-stderr")]
    names = [op.call for op in plan.host]
    assert names.index("open_hook_output") < names.index("clone3")


@pytest.mark.parametrize("hooks", [{}, {"startContainer": HOOK}, {"poststop": HOOK}])
def test_they_are_not_where_no_hook_of_the_hosts_runs(hooks: dict):
    assert not calls(planned({OUT: "/out"}, hooks=hooks), "open_hook_output")


@pytest.mark.parametrize(("value", "more"), [("1", ("refuse unknown calls",)), ("0", ())])
def test_rules_for_no_system_call(value: str, more: tuple[str, ...]):
    linux = {**minimal()["linux"], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}
    (op,) = calls(planned({"run.oci.seccomp_fail_unknown_syscall": value}, linux=linux), "load_filter")
    assert op.args[3:] == more


def test_those_that_can_harm_the_host_are_told():
    told = features()["potentiallyUnsafeConfigAnnotations"]
    assert set(crun.unsafe()) <= set(told)
    assert set(crun.HONOURED) - set(told) == {"run.oci.seccomp_fail_unknown_syscall"}


def test_the_document_lists_them():
    from pathlib import Path

    text = (Path(__file__).parents[1] / "docs/crun.md").read_text()
    assert not [name for name in (*crun.HONOURED, *crun.LEFT_OUT) if f"`{name}`" not in text]
