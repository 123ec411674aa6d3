"""Carry a plan out: the host's column here, the child's in a new process (child.py).

The whole protocol is in these two loops.  Whatever goes wrong, `run` leaves no
process behind: it kills the child that it made, waits for it, and raises.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals
from errno import EMFILE, ENFILE
from select import POLLIN, poll

from pyrunc import handover
from pyrunc.errors import OpError, PyruncError
from pyrunc.linux import process
from pyrunc.linux.abi import noted
from pyrunc.run import newprocess, wire
from pyrunc.run.calls import load, perform
from pyrunc.run.child import run_child
from pyrunc.run.children import has_executed
from pyrunc.run.context import CALLERS
from pyrunc.run.interrupt import Heeding, Holding, await_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context, Trace


# Ops of the host's that make something, record that, and wait for nobody: a signal in between would leave what nobody knows of.
UNDIVIDED = frozenset(
    "make_cgroup fill_cgroup limit_cgroup attach_device_program own_cgroup "
    "make_resctrl_class use_resctrl_class make_resctrl_group move_device".split()
)


def run(plan: Plan, context: Context) -> int:
    """Carry PLAN out and return the pid of its process, which is waiting or running its program.

    Raises OpError (and what hooks and steps raise), or KeyboardInterrupt for a signal, after the child is gone.
    """
    context.own_inode = _own_inode()
    load(plan)
    handover.begin()
    if context.debug is not None:
        context.trace = _traced(context.debug)
    try:
        *ops, last = plan.host
        with Heeding():
            _host_column(plan, ops, context)
        _host_column(plan, (last,), context)  # it lets the child go, whose signals they are from here on
        return context.slots["child"]  # type: ignore[no-any-return]
    except BaseException:
        undo_all(context)
        raise
    finally:
        _close(context)


def _host_column(plan: Plan, ops: Sequence[Op], context: Context) -> None:
    """Do OPS of the host's column of PLAN, in order."""
    do = _host_op if context.trace is None else context.trace.host(_host_op)
    for op in ops:
        try:
            do(op, plan, context)
        except OSError as error:
            raise _explained(plan, context, op, error.errno or 0, noted(error), child=False) from error
        except OpError as error:
            if error.pointer or not op.at:
                raise
            raise _explained(plan, context, op, 0, wire.said(error), child=False) from error


def _explained(plan: Plan, context: Context, op: Op, errno: int, detail: str, *, child: bool) -> Exception:
    """Return the error for OP of PLAN, as failure.describe does; what only that needs is loaded here."""
    pid = context.slots.get("child", 0)
    if errno in (EMFILE, ENFILE):
        _give_up(context)  # first, so that there are descriptors to load it by
        _close(context)
    from pyrunc.run.failure import describe

    return describe(plan, op, errno, detail, child=child, pid=pid)


def _give_up(context: Context) -> None:
    """Take back what only we can, and end the child.  Twice is no harm."""
    # Devices first: one that has no other namespace ends with that of the child.
    for token in reversed(context.tokens):
        if token.call == "move_device" and context.devices is not None:
            try:
                context.devices.give_back(token.words[0])
            except (OSError, PyruncError) as error:
                context.left.append(f"network device {token.words[0]}: {error}")
    newprocess.end(context)
    rootfs, context.rootfs = context.rootfs, None
    if rootfs is not None:
        rootfs.unmount()


def undo_all(context: Context) -> None:
    """Take back what the host's column has made, backwards."""
    _give_up(context)
    _close(context, claims=False)  # first, so that there are descriptors to load what follows by, and to do it
    from pyrunc.run import undo

    undo.kill(context.tokens)
    left = undo.backwards((each for each in context.tokens if each.call != "move_device"), context)
    context.left += [text for _, text in left]


def _traced(say: Callable[[str], None]) -> Trace:
    """Return what SAYs what is done, in both columns."""
    from pyrunc.run.trace import Trace

    return Trace(say)


def await_exec(plan: Plan, context: Context) -> None:
    """Wait until the child's execve has worked; raise OpError if it has not, KeyboardInterrupt for a signal before."""
    if context.sock is None:
        return
    try:
        _expect(plan, context, "exec")
        if has_executed(context.slots["child"]) is False:
            from pyrunc.run.failure import describe_unexecuted

            raise describe_unexecuted(plan, context)
    except BaseException:
        newprocess.end(context)
        raise
    finally:
        context.sock.close()
        newprocess.let_go(context)


def _host_op(op: Op, plan: Plan, context: Context) -> None:
    """Do one op of the host's column."""
    if op.call == "clone3":
        _fork(plan, context, op)
    elif op.call == "barrier":
        _expect(plan, context, str(op.args[0]))
    elif op.call == "go":
        _go(plan, context, str(op.args[0]))
    elif op.call == "deliver_listener":
        _deliver(plan, context)
    elif op.call == "give":
        if context.sock is not None:
            _give(plan, context, op)
    elif op.call in UNDIVIDED:
        with Holding():
            perform(op, context)
    else:
        perform(op, context)


def _give(plan: Plan, context: Context, op: Op) -> None:
    """Give the child the descriptors that OP names; it may have died."""
    try:
        wire.send_give(context.sock, {str(slot): context.slots[slot] for slot in op.args})  # type: ignore[index, arg-type]
    except ConnectionError:
        raise _parted(plan, context, "before it got its descriptors") from None


def _go(plan: Plan, context: Context, name: str) -> None:
    """Let the child go on from barrier NAME; it may have died while it waited."""
    if context.sock is None:
        return
    try:
        wire.send_go(context.sock)
    except ConnectionError:
        raise _parted(plan, context, f"while it waited at {name}") from None


def _parted(plan: Plan, context: Context, when: str) -> Exception:
    """Return the error for a child that takes nothing more: what it has said last, or else that it has died WHEN."""
    watch = poll()
    watch.register(context.sock, POLLIN)  # type: ignore[arg-type]  # it is there: something was sent
    frame = wire.receive(context.sock) if watch.poll(0) else None  # type: ignore[arg-type]
    if frame is not None and frame.kind == wire.FAIL:
        return _told(plan, context, frame)
    from pyrunc.run.failure import describe_death

    return describe_death(plan, context, when)


def _told(plan: Plan, context: Context, frame: wire.Frame) -> Exception:
    """Return the error that the child tells of by FRAME."""
    return _explained(plan, context, plan.child[frame.index], frame.errno, frame.text, child=True)


def _fork(plan: Plan, context: Context, op: Op) -> None:
    """Make the child.  Signals wait meanwhile, so that none finds it half made."""
    host, theirs = wire.pair()
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        flags, *place = op.args
        pid = process.clone3(flags, *(context.slots[slot] for slot in place))  # type: ignore[index, arg-type]
        if pid == 0:
            run_child(plan, context, host, theirs)
        context.sock = host
        newprocess.follow(context, pid)
    finally:
        pthread_sigmask(SIG_SETMASK, before)
        theirs.close()


def _expect(plan: Plan, context: Context, name: str) -> None:
    """Wait until the child announces barrier NAME; "exec" is none, but the end of the wire after its announcement."""
    announced = False
    while True:
        frame = _next_frame(plan, context, name)
        if frame is None:
            if announced:
                return  # close-on-exec closed the wire: the execve has worked
            from pyrunc.run.failure import describe_death

            raise describe_death(plan, context, f"before it reached {name}")
        if frame.kind == wire.FAIL:
            raise _told(plan, context, frame)
        if frame.name == "exec":
            announced = True
            if context.listener is not None:
                with Heeding():
                    if context.listener.deliver(context.slots["child"]):
                        context.listener.release()
        elif frame.name == name:
            if frame.fds:
                context.slots["master"] = frame.fds[0]
            return
        else:
            raise PyruncError(f"the new process waits at barrier {frame.name}, and not at {name}", hint="please report it")


def _deliver(plan: Plan, context: Context) -> None:
    """Wait until the child is under its filter, and give the agent the descriptor for it; raise what the child says instead."""
    if context.listener is not None and not context.listener.deliver(context.slots["child"]):
        _expect(plan, context, "its filter")


def _next_frame(plan: Plan, context: Context, name: str) -> wire.Frame | None:
    """Return what the child says next on its way to barrier NAME, and follow it if it forks again.

    The new process may be at the barrier before the old one has told of it, and
    whoever writes a pid down there must not take the old one's.
    """
    early = None
    while True:
        if context.sock is not None and name == "exec":
            await_readable(context.sock.fileno())
        if early is not None and context.sock is not None and not newprocess.will_say(context.sock, context.pidfd):
            from pyrunc.run.failure import describe_death

            raise describe_death(plan, context, f"before it told who reached {name}")
        frame = wire.receive(context.sock) if context.sock is not None else None
        if frame is not None and frame.kind == wire.DID and context.trace is not None:
            context.trace.told(plan, frame.index, frame.times, frame.text)
        elif frame is not None and frame.kind == wire.MOVED:
            posix.waitpid(context.slots["child"], 0)
            newprocess.follow(context, frame.pid)
            context.moved = True
            if early is not None:
                return early
        elif frame is not None and frame.kind == wire.AT and not context.moved and _moves(plan, name):
            early = frame
        else:
            return frame


def _moves(plan: Plan, name: str) -> bool:
    """Return whether the child forks again before barrier NAME, or at all if NAME is "exec"."""
    for op in plan.child:
        if op.call == "respawn":
            return True
        if op.call == "barrier" and op.args[0] == name:
            return False
    return False


def _close(context: Context, *, claims: bool = True) -> None:
    """Close what the host's column opened, once, its CLAIMS too; the socket and the master stay the caller's."""
    helper, devices = context.mount_helper, context.devices
    context.mount_helper = context.devices = None
    while claims and context.claims:
        posix.close(context.claims.pop())
    if helper is not None:
        helper.leave()
    if devices is not None:
        devices.close()
    for name in [each for each in context.slots if each not in CALLERS]:
        value = context.slots.pop(name)
        if value >= 0:
            posix.close(value)


def _own_inode() -> tuple[int, int]:
    """Return device and inode of the interpreter that runs us."""
    found = posix.stat("/proc/self/exe")
    return found.st_dev, found.st_ino
