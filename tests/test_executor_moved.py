"""A child that forks again: the host follows it, whichever of the two processes speaks first."""

from __future__ import annotations

import contextlib
import os

import pytest

from pyrunc.plan.op import Op, Plan
from pyrunc.run import executor, wire
from pyrunc.run.context import Context

RESPAWN, READY, EARLIER = Op("respawn", (0,)), Op("barrier", ("ready",)), Op("barrier", ("idmap",))
NEW = 4711  # a pid that only the messages name


@pytest.fixture
def context():
    """The host's side, whose child is a process that has ended; the child's end is `context.child`."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    made = Context({"child": pid}, {})
    made.sock, made.child = wire.pair()
    yield made
    made.sock.close()
    made.child.close()
    with contextlib.suppress(ChildProcessError):  # waited for when it was told that it has moved
        os.waitpid(pid, 0)


@pytest.mark.parametrize("early", [False, True], ids=["old one first", "new one first"])
@pytest.mark.parametrize("name", ["ready", "exec"])
def test_the_pid_is_the_new_ones(context, early, name):
    old, new = lambda: wire.send_moved(context.child, NEW), lambda: wire.send_at(context.child, name)
    for speak in (new, old) if early else (old, new):
        speak()
    context.child.close()
    executor._expect(Plan((), (RESPAWN, READY)), context, name)
    assert context.slots["child"] == NEW


def test_a_barrier_before_the_second_fork_is_not_held_up(context):
    before = context.slots["child"]
    wire.send_at(context.child, "idmap")
    executor._expect(Plan((), (EARLIER, RESPAWN, READY)), context, "idmap")
    assert context.slots["child"] == before


def test_a_child_that_never_forks_again_is_not_waited_for(context):
    before = context.slots["child"]
    wire.send_at(context.child, "ready")
    executor._expect(Plan((), (READY,)), context, "ready")
    assert context.slots["child"] == before


def test_a_failure_of_the_new_process_is_told_at_once(context):
    context.child.send(wire.fail(-1, 13, ""))
    with pytest.raises(Exception, match="permission denied"):
        executor._expect(Plan((), (RESPAWN, READY)), context, "ready")
