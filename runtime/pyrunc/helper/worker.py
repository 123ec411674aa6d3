"""One call of the library, in a process of its own: what it changes of itself (streams, signals, namespaces) ends with it.

The library sends each call with a socket for its answers.  Whoever closes that, or only its own direction of it, has
given up: the kernel then signals us (fcntl(2), O_ASYNC), as ^C would a command, and what is half made is undone.  What a
call has made is the library's once it says so; until then its giving up undoes it.
"""

from __future__ import annotations

import posix
from _signal import SIGKILL, SIGTERM
from fcntl import F_GETFL, F_SETFL, F_SETOWN, F_SETSIG, FASYNC, fcntl

from pyrunc import handover
from pyrunc.cli import interrupts, mishap
from pyrunc.errors import PyruncError
from pyrunc.helper import calls, message
from pyrunc.linux import process
from pyrunc.linux.socket import Socket
from pyrunc.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

TAKEN, NOT_OURS = b"T", b"?"


class Said(Log):
    """A log that keeps what is said, for the answer."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.said: list[str] = []

    def _say(self, msg: str) -> None:
        """Keep warning MSG."""
        self.said.append(msg)


def live(helper: int, main: Socket, wire: Socket, orders: message.Head | None = None) -> NoReturn:
    """Take one call from MAIN, or ORDERS of process HELPER's, do it, and end; WIRE leads to the helper."""
    process.prctl(process.PR_SET_PDEATHSIG, SIGKILL)  # until there is a call, which is to be finished, or undone
    if orders is not None:
        _tidy(orders)
    if posix.getppid() != helper:
        posix._exit(0)
    data, fds = main.receive(message.MAX)
    main.close()
    if data:
        process.prctl(process.PR_SET_PDEATHSIG, 0)
        try:
            wire.send(TAKEN)
        except OSError:
            pass  # the helper has just been killed: the call is done all the same
        serve(*message.unpack(data, fds), wire)
    posix._exit(0)


def _tidy(orders: message.Head) -> NoReturn:
    """Do what the helper wants itself: remove a container that nobody holds any more."""
    process.prctl(process.PR_SET_PDEATHSIG, 0)
    handover.otherwise(lambda: _start_script(orders, b"", ()))
    try:
        calls.remove(orders)
    finally:
        posix._exit(0)


def serve(head: message.Head, document: bytes, fds: tuple[int, ...], wire: Socket) -> NoReturn:
    """Do the call of HEAD and DOCUMENT with descriptors FDS, of which the first is for the answers."""
    answers = Socket(fds[0])
    handover.otherwise(lambda: _start_script(head, document, (wire.fileno(), *fds)))
    log = Said()
    call = calls.Call(head, document, fds[1:], log, wire, answers)
    try:
        interrupts.heed()
        interrupts.undo_when_ended()
        _signal_when_given_up(answers)
        call.take_streams()
        value, handed = calls.TABLE[head["call"]](call)
        said: message.Head = {"value": value}
    except BaseException as error:  # noqa: BLE001 - the library is told
        said, handed = {"error": _told(error)}, ()
    fcntl(answers.fileno(), F_SETFL, fcntl(answers.fileno(), F_GETFL) & ~FASYNC)
    handover.begin()  # what was held back is said at the latest now
    try:
        call.answer({**said, "warnings": log.said}, handed)
        if call.made is not None:
            call.await_acceptance()
    except OSError:
        call.give_back()  # nobody is there
    posix._exit(0)


def _signal_when_given_up(answers: Socket) -> None:
    """Have the kernel send us SIGTERM when anything comes from ANSWERS, as its end does."""
    fd = answers.fileno()
    fcntl(fd, F_SETOWN, posix.getpid())
    fcntl(fd, F_SETSIG, SIGTERM)
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | FASYNC)
    if calls.has_ended(fd):
        raise KeyboardInterrupt


def _told(error: BaseException) -> message.Head:
    """Return ERROR as the library is told of it."""
    if isinstance(error, PyruncError):
        others = list(getattr(error, "others", ()))
        told = {"message": error.message, "pointer": error.pointer, "hint": error.hint, "errno": getattr(error, "errno", 0)}
        return {"kind": type(error).__name__, **told, "others": others}
    kind, number, hint = "PyruncError", 0, ""
    if isinstance(error, KeyboardInterrupt):
        text = "the call was interrupted by a signal"
    elif isinstance(error, OSError):
        kind, number, text = "OpError", error.errno or 0, mishap.told(error)
    elif isinstance(error, ImportError):
        text = mishap.unloaded(error)
    elif isinstance(error, MemoryError):
        text = "there is not enough memory (see ulimit -v, and the limits of our own cgroup)"
    else:
        text, hint = f"internal error: {type(error).__name__}: {error}", "please report it"
    return {"kind": kind, "message": text, "pointer": "", "hint": hint, "errno": number, "others": []}


def _start_script(head: message.Head, document: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Let the script do the same call, in this same process, as it has what the native program lacks; FDS are what it needs."""
    memory = message.in_memory(head, document)
    for fd in (memory, *fds):
        posix.set_inheritable(fd, True)
    command = handover.task("-".join(map(str, ("call", memory, *fds))))
    posix.execve(command[0], command, posix.environ)


def resume(numbers: list[int]) -> NoReturn:
    """Be the script that a worker has become; NUMBERS are those of its descriptors, as `_start_script` has them."""
    for fd in numbers:
        posix.set_inheritable(fd, False)
    memory, *fds = numbers
    head, document, _ = message.unpack(message.IN_MEMORY, (memory,))
    if not fds:
        _tidy(head)
    wire, *rest = fds
    serve(head, document, tuple(rest), Socket(wire))
