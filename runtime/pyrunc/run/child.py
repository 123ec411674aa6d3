"""The child's column of a plan, in the new process: seal, do every op, and leave by execve or _exit."""

from __future__ import annotations

import posix
from _signal import SIG_DFL, getsignal, signal, valid_signals

from pyrunc.errors import PyruncError
from pyrunc.linux import process
from pyrunc.linux.abi import noted
from pyrunc.run import wire
from pyrunc.run.calls import perform
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.linux.socket import Socket
    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context


def run_child(plan: Plan, context: Context, host: Socket, sock: Socket) -> NoReturn:
    """Do the child's column of PLAN, whose host's side is at the other end of SOCK; HOST is that end, inherited."""
    index = 0
    try:
        seal()
        host.close()
        for fd in context.private:
            posix.close(fd)
        context.sock = sock
        do = perform if context.trace is None else context.trace.child(perform, plan, sock)
        for number in valid_signals():
            if getsignal(number) not in (SIG_DFL, None):
                signal(number, SIG_DFL)
        for index, op in enumerate(plan.child):  # noqa: B007 - read in the handlers below
            if op.call == "barrier":
                fd = context.slots[op.args[1]] if len(op.args) > 1 else -1  # type: ignore[index]
                wire.send_at(sock, str(op.args[0]), fd)
                while (frame := wire.receive(sock)) is not None and frame.kind == wire.GIVE:
                    context.slots.update(zip(frame.name.split(wire.SEPARATOR), frame.fds, strict=True))
                if frame is None:
                    posix._exit(1)  # the host side is gone: so are we
            elif op.call == "respawn":
                _respawn(op, sock)
            else:
                do(op, context)
    except OSError as error:
        _report(context, sock, index - len(plan.child), error.errno or 0, _detail(plan.child[index], context, error))
    except PyruncError as error:
        _report(context, sock, index - len(plan.child), getattr(error, "errno", 0), wire.said(error))
    except BaseException as error:  # noqa: BLE001 - nothing may leave this process but a report
        wrong = PyruncError(f"internal error: {type(error).__name__}: {error}", hint="please report it")
        _report(context, sock, index - len(plan.child), 0, wire.said(wrong))
    posix._exit(1)


def _respawn(op: Op, sock: Socket) -> None:
    """Fork again, as a sibling, into the namespaces that only a child enters; the first half leaves."""
    pid = process.clone3(int(str(op.args[0])) | process.CLONE_PARENT)
    if pid:
        wire.send_moved(sock, pid)
        posix._exit(0)


def _report(context: Context, sock: Socket, index: int, errno: int, text: str) -> None:
    """Send the failure of op INDEX to whoever is there: `create`, or later `start`.

    INDEX counts from the plan's end: `start` makes the plan again without knowing
    the options of `create`, which change only what comes before the wait.
    """
    frame = wire.fail(index, errno, text)
    try:
        sock.send(frame)
    except OSError:
        # The host side has left: this was created, and `start` reads the fifo.  Or the filter
        # forbids this too: then our exit status is all there is.
        if "result" in context.slots:
            posix.write(context.slots["result"], frame)


def _detail(op: Op, context: Context, error: OSError) -> str:
    """Return what is known beyond errno: the log of a file system context (fsopen(2)), or the system call in OP."""
    if op.call in ("fsconfig", "fsmount"):
        try:
            return str(posix.read(context.slots[op.args[0]], 512), "utf-8", "replace")  # type: ignore[index]
        except OSError:
            return ""  # ENODATA: it logged nothing
    return noted(error)
