"""What a kernel of one version has and that of another has not: honoured there, refused with the version here."""

from __future__ import annotations

import json

import pytest

from pyrunc.errors import UnsupportedError
from pyrunc.plan.op import Op, Plan
from tests.machines import machine
from tests.planned import minimal, plan


def on(kernel: tuple[int, int], document: dict) -> Plan:
    return plan(json.dumps(document).encode(), machine("v2", kernel))


def with_sysctl(name: str) -> dict:
    linux = {"namespaces": [{"type": "pid"}, {"type": "mount"}], "sysctl": {name: "400"}}
    return minimal(linux=linux)


def with_slice(policy: str) -> dict:
    return minimal(process={"cwd": "/", "args": ["a"], "scheduler": {"policy": policy, "nice": 3, "runtime": 3_000_000}})


CASES = [
    (with_sysctl("kernel.pid_max"), (6, 14), "/linux/sysctl/kernel.pid_max"),
    (with_sysctl("kernel/pid_max"), (6, 14), "/linux/sysctl/kernel~1pid_max"),
    (with_sysctl("vm.memfd_noexec"), (6, 3), "/linux/sysctl/vm.memfd_noexec"),
    (with_slice("SCHED_OTHER"), (6, 12), "/process/scheduler/runtime"),
    (with_slice("SCHED_BATCH"), (6, 12), "/process/scheduler/runtime"),
]


@pytest.mark.parametrize(("document", "since", "pointer"), CASES)
def test_since_a_kernel(document: dict, since: tuple[int, int], pointer: str):
    assert any(isinstance(op, Op) and pointer.startswith(op.at) and op.at.count("/") > 1 for op in plan_ops(on(since, document)))
    with pytest.raises(UnsupportedError, match=f"Linux {since[0]}.{since[1]}") as caught:
        on((since[0], since[1] - 1), document)
    assert caught.value.pointer == pointer


def plan_ops(made: Plan) -> tuple[Op, ...]:
    return (*made.host, *made.child)
