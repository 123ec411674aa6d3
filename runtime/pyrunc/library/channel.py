"""The way to the helper, for both faces of the library: one helper for a process, one socket for each call.

Whoever wants an answer sends along a socket to answer by, so threads and tasks wait side by side without a lock.  To
close it before the answer is to give the call up.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from errno import EBADF, ECONNRESET, ENOTCONN, EPIPE
from typing import Any, Generic, TypeVar

from pyrunc import errors
from pyrunc.errors import PyruncError
from pyrunc.helper import message
from pyrunc.library import program

T = TypeVar("T")
FDS_MAX = 16
UNDO_SECONDS = 30.0  # how long what was given up is waited for, until it is undone
GONE = "the helper of this program was ended in the middle of a call"
SEE = "see what state the container is in; delete it by force"


class Answer:
    """What came back: the value, and descriptors that are the receiver's."""

    def __init__(self, head: dict[str, Any], fds: tuple[int, ...]) -> None:
        """Take HEAD and FDS."""
        self.head, self.fds = head, list(fds)

    def take(self) -> int:
        """Return the next descriptor, which is the caller's from here on."""
        return self.fds.pop(0)

    def close(self) -> None:
        """Close what nobody has taken."""
        while self.fds:
            os.close(self.fds.pop())


class Call(Generic[T]):
    """One call of the helper: its name and arguments, a document, descriptors that go along, and what is made of the answer.

    `makes` says that something comes into being that is to be accepted, or undone.
    """

    def __init__(
        self,
        name: str,
        arguments: dict[str, Any],
        made: Callable[[Answer], T],
        *,
        document: bytes = b"",
        fds: Sequence[int] = (),
        makes: bool = False,
    ) -> None:
        """Begin."""
        self.head = {"call": name, **{key: value for key, value in arguments.items() if value is not None}}
        self.made, self.document, self.fds, self.makes = made, document, fds, makes


class Helper:
    """A helper that runs: its socket and its pid."""

    def __init__(self) -> None:
        """Start it."""
        self.socket, self.pid = program.start()

    def close(self) -> None:
        """Let it end."""
        self.socket.close()


# By process, as a fork must not go on with its parent's, nor wait for a lock that one of its parent's threads holds.
_locks: dict[int, threading.Lock] = {}
_helpers: dict[tuple[object, ...], Helper] = {}


def _identity() -> tuple[object, ...]:
    """Return who we are: a program with other rights by now must not go on with those of before."""
    return os.getpid(), os.getresuid(), os.getresgid()


def helper() -> Helper:
    """Return the helper of this process, with its present rights; it is started if there is none.  Raises PyruncError."""
    identity = _identity()
    found = _helpers.get(identity)
    if found is not None:
        return found
    with _locks.setdefault(os.getpid(), threading.Lock()):
        for other in [each for each in _helpers if each[0] != identity[0]]:  # our parent's
            _helpers.pop(other).close()
        if identity not in _helpers:
            _helpers[identity] = Helper()
            atexit.unregister(close)
            atexit.register(close)
        return _helpers[identity]


def close() -> None:
    """End the helper of this process, if there is one; the next call starts another.

    Containers that a `with` has are removed by it before it ends; others stay, but nobody learns their exit status any more.
    A program that gives up its privileges for good calls this first: the helper has those of its start.
    """
    with _locks.setdefault(os.getpid(), threading.Lock()):
        while _helpers:
            _helpers.popitem()[1].close()


def _lost(found: Helper) -> None:
    """Forget helper FOUND, which has ended."""
    with _locks.setdefault(os.getpid(), threading.Lock()):
        for identity in [each for each, other in _helpers.items() if other is found]:
            del _helpers[identity]
    found.close()


def begin(call: Call[Any]) -> socket.socket:
    """Send CALL; return the socket that its answer comes by.  Raises PyruncError if there is no helper to be had."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        data, memory = message.pack(call.head, call.document)
        try:
            handed = [theirs.fileno(), *call.fds, *((memory,) if memory >= 0 else ())]
            _send(data, handed)
        finally:
            if memory >= 0:
                os.close(memory)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours


def _send(data: bytes, fds: list[int]) -> None:
    """Send DATA and FDS to the helper, or to a new one if that has ended: it has not got them then."""
    found = helper()
    try:
        socket.send_fds(found.socket, [data], fds)
    except OSError as error:
        if error.errno not in (EPIPE, ECONNRESET, ENOTCONN, EBADF):
            raise
        _lost(found)  # or another thread has closed it
        socket.send_fds(helper().socket, [data], fds)


def receive(answers: socket.socket) -> Answer:
    """Return what comes next by socket ANSWERS.

    Raises what the helper tells of, PyruncError if it has ended, BlockingIOError if there is nothing yet and that may not wait.
    """
    try:
        data, fds, flags, _ = socket.recv_fds(answers, message.MAX, FDS_MAX, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        data, fds, flags = b"", [], 0
    if not data:
        raise PyruncError(GONE, hint=SEE)
    if flags & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise PyruncError("too many open files", hint="raise ulimit -n of this process")
    head, _, rest = message.unpack(data, tuple(fds))
    answer = Answer(head, rest)
    if "error" in head:
        answer.close()
        _warn(head)
        raise _error(head["error"])
    return answer


def accept(call: Call[T], answers: socket.socket, answer: Answer) -> T:
    """Make of ANSWER what CALL returns, and tell the worker behind ANSWERS that we have it."""
    try:
        made = call.made(answer)
    finally:
        answer.close()
    if call.makes:
        try:
            answers.send(message.ACCEPTED)
        except OSError:
            pass  # the worker has been killed, and so undoes nothing
    _warn(answer.head)
    return made


def give_up(answers: socket.socket) -> None:
    """Say that nobody wants the answer any more; the end of ANSWERS says that all is undone."""
    try:
        answers.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has just ended


def perform(call: Call[T]) -> T:
    """Do CALL, and wait for it.  Whatever interrupts that gives it up; then it is undone, or done, when the exception comes."""
    answers = begin(call)
    try:
        answer = receive(answers)
        return accept(call, answers, answer)
    except PyruncError:
        raise
    except BaseException:
        give_up(answers)
        await_undone(answers)
        raise
    finally:
        answers.close()


def await_undone(answers: socket.socket) -> None:
    """Wait until the worker behind ANSWERS has ended; what it says meanwhile is dropped."""
    answers.settimeout(UNDO_SECONDS)
    try:
        while drop(answers):
            pass
    except OSError:
        return  # it takes longer than anybody waits: it goes on by itself


def drop(answers: socket.socket) -> bool:
    """Take a message from ANSWERS and let it go, with its descriptors; return whether there was one before the end."""
    data, fds, _, _ = socket.recv_fds(answers, message.MAX, FDS_MAX, socket.MSG_CMSG_CLOEXEC)
    for fd in fds:
        os.close(fd)
    return bool(data)


def _error(told: dict[str, Any]) -> Exception:
    """Return the exception that the helper has TOLD of."""
    kind = getattr(errors, told["kind"])
    more = {"errno": told["errno"]} if issubclass(kind, errors.OpError) else {}
    error: Exception = kind(told["message"], pointer=told["pointer"], hint=told["hint"], **more)
    if isinstance(error, errors.ConfigError):
        error.others = tuple(told["others"])
    return error


def _warn(head: dict[str, Any]) -> None:
    """Pass on what the helper warns of in HEAD, to logger `pyrunc`."""
    for text in head.get("warnings", ()):
        import logging

        logging.getLogger("pyrunc").warning("%s", text)


def to_json(value: object) -> bytes:
    """Return VALUE as JSON.  Raises UsageError for what JSON cannot say."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        hint = "use dict, list, str, int, float, bool and None"
        raise errors.UsageError(f"the document is not JSON: {error}", hint=hint) from None
