"""A child that forks again: the host follows it, whichever of the two processes speaks first."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from pyrunc.plan.op import Op, Plan
from pyrunc.run import executor, newprocess, wire
from pyrunc.run.context import Context

RESPAWN, READY, EARLIER = Op("respawn", (0,)), Op("barrier", ("ready",)), Op("barrier", ("idmap",))


@pytest.fixture
def new():
    """Return the pid of the process that goes on instead of the first."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.fixture
def context(new):  # which is forked first, and so has neither end
    """The host's side, whose child is a process that ends once it is told to; the child's end is `context.child`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    made = Context({}, {})
    newprocess.follow(made, pid)
    made.sock, made.child = wire.pair()
    made.end = lambda: os.write(writer, b"e")
    yield made
    newprocess.let_go(made)
    made.sock.close()
    made.child.close()
    os.close(writer)
    with contextlib.suppress(ChildProcessError):  # waited for when it was told that it has moved
        os.waitpid(pid, 0)


@pytest.mark.parametrize("early", [False, True], ids=["old one first", "new one first"])
@pytest.mark.parametrize("name", ["ready", "exec"])
def test_the_pid_is_the_new_ones(context, new, early, name):
    old_one, new_one = lambda: wire.send_moved(context.child, new), lambda: wire.send_at(context.child, name)
    for speak in (new_one, old_one) if early else (old_one, new_one):
        speak()
    context.child.close()
    context.end()
    executor._expect(Plan((), (RESPAWN, READY)), context, name)
    assert context.slots["child"] == new
    assert [token.words[0] for token in context.tokens] == [token.words[0] for token in context.tokens[:1]] + [str(new)]


def test_one_that_dies_before_it_tells_whom_it_has_forked_is_not_waited_for(context):
    wire.send_at(context.child, "ready")  # by the new one, which has the other end too
    context.end()
    with pytest.raises(Exception, match="the container's init exited with status 0 before it told"):
        executor._expect(Plan((), (RESPAWN, READY)), context, "ready")


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
