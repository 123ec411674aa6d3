"""Small decisions about the process: capabilities that are left out, the environment, how the program is executed."""

from __future__ import annotations

import json

import pytest

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci import parsing
from pyrunc.oci.process import Capabilities, Process
from pyrunc.oci.seccomp import seccomp
from pyrunc.plan import cgroups
from pyrunc.plan.op import PROC, Op, Plan
from pyrunc.plan.process import capability_warnings
from pyrunc.plan.process import warnings as warnings_of
from pyrunc.plan.seccomp import lets_through
from tests.machines import machine
from tests.planned import minimal, plan, plan_of, request

AT = "(at /process/capabilities)"


def only(made: Plan, call: str) -> Op:
    (found,) = [op for op in made.child if op.call == call]
    return found


@pytest.mark.parametrize(
    ("sets", "warnings"),
    [
        (None, []),
        ({}, []),
        ({"bounding": ("CAP_CHOWN",)}, []),
        ({"bounding": ("CAP_FLY", "CAP_CHOWN"), "permitted": ("CAP_FLY",)}, [f"ignoring unknown capability CAP_FLY {AT}"]),
        ({"effective": ("chown",)}, [f"ignoring unknown capability chown {AT}"]),
        (
            {"ambient": ("CAP_KILL",), "permitted": ("CAP_KILL",)},
            ["can't raise ambient capability CAP_KILL: it is not both permitted and inheritable " + AT[:-1] + "/ambient)"],
        ),
        (dict.fromkeys(("ambient", "permitted", "inheritable"), ("CAP_KILL",)), []),
        ({"ambient": ("CAP_FLY",)}, [f"ignoring unknown capability CAP_FLY {AT}"]),
    ],
)
def test_capabilities_that_are_left_out(sets: dict | None, warnings: list[str]):
    assert capability_warnings(None if sets is None else Capabilities(**sets), machine("v2")) == warnings


def test_limits_without_effect():
    """And what runc warns an ordinary user of: nothing but cgroups could end what is in the host's pid namespace."""
    config = parsing.parse(json.dumps(minimal(linux={"resources": {"memory": {"kernel": 1 << 20}}, "namespaces": []})).encode())
    first, second = cgroups.warnings(config, machine("v2").replace(uid=1000), (), systemd=False)
    assert first.startswith("kernel memory settings are ignored")
    assert "Such configuration is strongly discouraged" in second
    assert second.startswith("a rootless container")
    where = cgroups.places(config, machine("v2"), request())
    assert cgroups.warnings(config, machine("v2"), where, systemd=False) == [first]
    assert len(cgroups.warnings(config, machine("v2"), (), systemd=False)) == 2  # --cgroup-manager disabled


def test_a_nice_value_that_the_policy_has_no_use_for():
    process = process_of({"cwd": "/", "args": ["a"], "scheduler": {"policy": "SCHED_FIFO", "priority": 1, "nice": 3}})
    assert warnings_of(process, machine("v2"), "/process") == [
        "nice means nothing with SCHED_FIFO (at /process/scheduler/nice; remove it)"
    ]


def process_of(document: dict) -> Process:
    return parsing.parse_process(json.dumps(document).encode())


def with_process(**changes: object) -> dict:
    return minimal(process={"cwd": "/", "args": ["a"], **changes})


def test_effective_capabilities_must_be_permitted():
    with pytest.raises(ConfigError) as caught:
        plan_of(with_process(capabilities={"effective": ["CAP_KILL"]}))
    assert caught.value.pointer == "/process/capabilities/effective"


@pytest.mark.parametrize(
    ("env", "made", "home"),
    [
        ([], (), 0),
        (["A=1", "B=2", "A=3"], ("B=2", "A=3"), 0),
        (["HOME=/a"], ("HOME=/a",), -1),
        (["HOME="], (), 0),
        (["HOME=/a", "HOME="], (), 0),
        (["HOME=", "A=1", "HOME=/a"], ("A=1", "HOME=/a"), -1),
        (["XHOME=/a"], ("XHOME=/a",), 0),
        (["A=b=c"], ("A=b=c",), 0),
    ],
)
def test_the_environment(env: list[str], made: tuple[str, ...], home: int):
    """The last of two holds, in its own place; who has no HOME, or an empty one, gets it from passwd."""
    args = only(plan_of(with_process(env=env)), "open_program").args
    assert args[3:5] == (made, home)


@pytest.mark.parametrize(
    ("count", "names", "preserved", "env", "first"),
    [
        (0, "ignored", 0, ("A=1", "LISTEN_FDS=9"), 3),
        (0, "", 2, ("A=1", "LISTEN_FDS=9"), 5),
        (2, "", 0, ("A=1", "LISTEN_FDS=2", "LISTEN_PID="), 5),
        (2, "web:log", 1, ("A=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=web:log", "LISTEN_PID="), 6),
    ],
)
def test_sockets_from_outside(count: int, names: str, preserved: int, env: tuple[str, ...], first: int):
    """The process itself says which pid it has: it knows that first (sd_listen_fds(3))."""
    text = json.dumps(with_process(env=["A=1", "LISTEN_FDS=9"])).encode()
    made = plan(text, machine("v2"), request(listen_fds=count, listen_names=names, preserve_fds=preserved))
    assert only(made, "open_program").args[3:6] == (env, 0, count > 0)
    assert only(made, "close_others").args == (first,)


ALLOW, DENY = {"action": "SCMP_ACT_ALLOW"}, {"action": "SCMP_ACT_ERRNO"}
CONDITION = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]


@pytest.mark.parametrize(
    ("default", "rules", "surely"),
    [
        ("ALLOW", [], True),
        ("LOG", [], True),
        ("ERRNO", [], False),
        ("TRACE", [], False),
        ("ERRNO", [{"names": ["execveat"], **ALLOW}], True),
        ("ERRNO", [{"names": ["execve", "execveat"], **ALLOW}], True),
        ("ERRNO", [{"names": ["execve"], **ALLOW}], False),
        ("ERRNO", [{"names": ["execveat"], "args": CONDITION, **ALLOW}], False),
        ("ALLOW", [{"names": ["execveat"], "args": CONDITION, **DENY}], False),
        ("ALLOW", [{"names": ["execveat"], **DENY}], False),
        ("ERRNO", [{"names": ["execveat"], **ALLOW}, {"names": ["execveat"], **DENY}], False),
    ],
)
def test_how_the_program_is_executed(default: str, rules: list[dict], surely: bool):
    document = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules}
    assert lets_through(seccomp(document, ""), "execveat") is surely
    config = with_process(noNewPrivileges=True)
    config["linux"]["seccomp"] = document
    made = plan(json.dumps(config).encode(), machine("v2"))
    how = "execveat" if surely else "execve"
    assert only(made, "exec_program").args[0] == how
    assert only(made, "open_program").args[-1] == how
    assert any(op.call == "name_program" for op in made.child) is surely


@pytest.mark.parametrize(
    ("kernel", "does"),
    [((6, 1), (False, False)), ((6, 13), (False, False)), ((6, 14), (True, False)), ((6, 15), (True, True))],
)
@pytest.mark.parametrize(("program", "name"), [("sh", "sh"), ("/bin/sh", "sh"), ("../a/b.sh", "b.sh")])
def test_the_name_of_the_program(kernel: tuple[int, int], does: tuple[bool, bool], program: str, name: str):
    made = plan(json.dumps(with_process(args=[program])).encode(), machine("v2", kernel))
    assert only(made, "name_program").args[1:] == (name, *does)


def test_the_programs_name_is_prepared_before_the_hosts_mounts_are_left():
    calls = [op.call for op in plan_of(with_process()).child]
    assert calls.index("open_own_proc") < calls.index("move_mount") < calls.index("pivot_root")
    assert calls.index("open_program") < calls.index("name_program") < calls.index("setresuid")


def test_apparmor_where_there_is_none():
    text = json.dumps(with_process(apparmorProfile="p")).encode()
    with pytest.raises(UnsupportedError) as caught:
        plan(text, machine("v2", apparmor=False))
    assert caught.value.pointer == "/process/apparmorProfile"
    written = only(plan(text, machine("v2")), "write_at").args
    assert written[1:] == ("self/attr/apparmor/exec", "exec p")


def test_limits_are_raised_by_the_host_and_set_last():
    made = plan_of(with_process(rlimits=[{"type": "RLIMIT_NPROC", "soft": 1, "hard": 2}]))
    names = [op.call for op in made.child]
    assert only(made, "prlimit").args == (0, 6, 1, 2)
    assert names.index("prlimit") > names.index("announce_exec")
    assert [op.args[1:] for op in made.host if op.call == "raise_rlimit"] == [(6, 2)]


def test_a_group_that_is_named_twice():
    made = plan_of(with_process(user={"uid": 0, "gid": 0, "additionalGids": [7, 8, 7]}))
    assert only(made, "set_groups").args == (PROC, (7, 8))
