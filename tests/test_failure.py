"""Words for an op that failed: which call, on what, for which field, and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from pyrunc.linux import process
from pyrunc.linux.abi import NR, failure, noted
from pyrunc.plan.cgroups import JOINING
from pyrunc.plan.op import Op, Plan, Slot
from pyrunc.run import hints
from pyrunc.run.failure import describe

MOUNT = Op("fsmount", (Slot("fs0"), 1, 0), "/mounts/0", "mount0", 'error mounting "proc" to rootfs at "/proc"')
FORK = Op("clone3", (process.CLONE_NEWPID,), "/linux/namespaces", "child")
USERS = Op("clone3", (process.CLONE_NEWPID | process.CLONE_NEWUSER,), "/linux/namespaces", "child")


def said(op: Op, number: int, detail: str = "", *, host: tuple[Op, ...] = (FORK,), child: bool = True, pid: int = 0) -> str:
    return str(describe(Plan(host, (op,)), op, number, detail, child=child, pid=pid))


@pytest.mark.parametrize("host", [(FORK,), (USERS,)])
def test_user_namespaces_are_spoken_of_where_there_is_one(host: tuple[Op, ...]):
    text = said(MOUNT, errno.EPERM, host=host)
    assert text.startswith("unable to start container process: error during container init: error mounting")
    assert "fsmount(fs0, FSMOUNT_CLOEXEC, 0): operation not permitted (at /mounts/0; " in text
    assert ("user namespace" in text) is (host == (USERS,))
    assert ("CAP_SYS_ADMIN" in text) is (host == (FORK,))


@pytest.mark.parametrize(("call", "since"), [("fsmount", "5.2"), ("mount_setattr", "5.12"), ("openat2", "5.6")])
def test_a_call_that_is_missing(call: str, since: str):
    """Whether the op is that call, or a step that makes it."""
    for op, detail in ((Op(call, (), "/at"), ""), (Op("mask", (Slot("root"), "/x"), "/at"), f"{call}(2)")):
        text = said(op, errno.ENOSYS, detail)
        assert f"{call}: function not implemented" in text or f"{call}(): function not implemented" in text
        assert f"Linux has {call} since {since}, and this is {os.uname().release}" in text


def test_any_other_call_that_is_missing():
    assert "what this needs is in Linux since 5.12" in said(Op("set_groups", ((),), "/at"), errno.ENOSYS)


def test_every_call_with_a_date_is_one_that_can_fail():
    known = set(NR) | {"memfd_create", "pidfd_open", "pidfd_send_signal"}
    assert set(hints.SINCE) <= known
    assert set(hints.CALLS.values()) <= set(hints.SINCE)


def test_a_step_names_its_call():
    text = said(Op("mask", (Slot("root"), "/proc/kcore"), "/linux/maskedPaths/0"), errno.EACCES, "move_mount(2)")
    assert 'mask(root, "/proc/kcore"): move_mount: permission denied (at /linux/maskedPaths/0' in text


def test_a_pid_for_cgroups():
    op = Op("move_to_cgroup", ("/sys/fs/cgroup/x", Slot("child")), "/linux/cgroupsPath", doing=JOINING)
    assert "error adding pid 4242 to cgroups: move_to_cgroup(" in said(op, errno.EBUSY, child=False, pid=4242)
    fork = Op("clone3", (process.CLONE_INTO_CGROUP, Slot("birthplace")), "/linux/namespaces", "child", "error making namespaces")
    assert f"error adding pid {os.getpid()} to cgroups: clone3(" in said(fork, errno.EBUSY, child=False)


@pytest.mark.parametrize(
    ("detail", "status"),
    [("exec /x: no such file or directory: its interpreter", 255), ('exec: "x": permission denied', 1)],
)
def test_the_status_of_what_is_found_and_cannot_be_executed(detail: str, status: int):
    op = Op("open_program", (), "/process/args/0")
    error = describe(Plan((FORK,), (op,)), op, 2, detail, child=True)
    assert (error.status, detail in str(error)) == (status, True)


def test_errors_of_system_calls_say_which():
    assert noted(failure(errno.EPERM, NR["mount"])) == "mount(2)"
    assert noted(failure(errno.EPERM)) == ""
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        process.setns(-1, 0)
    assert noted(caught.value) == "setns(2)"
