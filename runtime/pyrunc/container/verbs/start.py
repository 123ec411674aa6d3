"""`start`: let the waiting init of a created container execute its program."""

from __future__ import annotations

import errno
import posix

from pyrunc import handover
from pyrunc.container import store, work
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import guard, refuse_frozen, status_of
from pyrunc.errors import HookError, StateError
from pyrunc.run.children import has_executed
from pyrunc.run.steps.fifos import FIFO, GO, RESULT, STARTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.notify import Listener
    from pyrunc.container.work import Work
    from pyrunc.log import Log

AGAIN = "it has run, or is gone: delete it, and create it again"
NOT_WAITING = "cannot start a container that is no longer waiting for it"
FRAME_MAX = 8192


def start(root: str, container: str, log: Log, notify_socket: str = "") -> None:
    """Start CONTAINER: run startContainer hooks and the program, then poststart hooks.

    If NOTIFY_SOCKET is the address of one, and create was told so too, stays until the container is ready or has ended.

    Raises StateError unless it is created; OpError if its program could not be
    started, after which it is stopped; HookError if a hook failed, after which
    it is destroyed (runtime.md, "Lifecycle", 7 and 9).
    """
    directory = store.directory(root, container)
    working = work.begin(directory, "start")
    listener = None
    try:
        saved = load(directory)
        guard("start", saved, status_of(directory, saved))
        refuse_frozen("start", saved.places)
        if notify_socket and store.has_notify_socket(directory):
            listener = _listen(directory, saved, notify_socket)
        try:
            said = _go(directory, saved)
            if said != STARTED:
                raise _failure(directory, saved, said)
            _check_executed(directory, saved)
            if "poststart" in saved.hooks:
                _poststart(working, saved)
        except HookError:
            from pyrunc.container.verbs import delete

            delete.by_force(directory, log, saved)
            raise
    finally:
        working.close()
    if listener is not None:
        listener.pass_on(saved.pid, log)


def _listen(directory: str, saved: SavedState, address: str) -> Listener:
    """Return what listens for the readiness of SAVED, which its service manager at ADDRESS wants to know."""
    from pyrunc.container import notify

    listener = notify.Listener(directory, address)
    listener.watch(saved.pid)
    return listener


def _go(directory: str, saved: SavedState) -> bytes:
    """Release the init and return all that it says before its program runs."""
    result = posix.open(f"{directory}/{RESULT}", posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    try:
        fifo = posix.open(f"{directory}/{FIFO}", posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Its program has begun, or it has ended, since we looked: nobody reads any more.
        raise StateError(NOT_WAITING, hint=AGAIN) from None
    handover.begin()
    # In this order: if we are cut off between two lines, it still waits or it runs, and `state` can tell.
    try:
        posix.write(fifo, GO)
    except BrokenPipeError:
        raise StateError(NOT_WAITING, hint=AGAIN) from None
    if saved.listener:
        _by_listener(directory, "wake")
    posix.unlink(f"{directory}/{FIFO}")
    posix.unlink(f"{directory}/{RESULT}")
    posix.set_blocking(result, True)
    said = b""
    while part := posix.read(result, FRAME_MAX):
        said += part
    return said


def _by_listener(directory: str, what: str) -> object:
    """Do WHAT (`wake`, `has_failed`) by the memory of an init under its filter: it reads no fifo, and may not write one."""
    from pyrunc.run.steps import listener

    memory = posix.open(f"{directory}/{store.LISTENER}", posix.O_RDWR | posix.O_CLOEXEC)
    try:
        return getattr(listener, what)(memory)
    finally:
        posix.close(memory)


def _failure(directory: str, saved: SavedState, said: bytes) -> Exception:
    """Return the error for an init that said something other than that its program runs."""
    from pyrunc.container import initfailure

    return initfailure.error_of(directory, saved, said.removeprefix(STARTED))


def _check_executed(directory: str, saved: SavedState) -> None:
    """Raise OpError if the init has ended under its filter, without becoming its program."""
    executed = has_executed(saved.pid)
    if executed:
        return
    from pyrunc.container import initfailure

    # It may have ended, and been waited for: then the filter says whether that can have been the program's end.
    if executed is None and not (saved.listener and _by_listener(directory, "has_failed")):
        error = initfailure.forbidden(directory, saved)
        if error is None:
            return
        raise error
    raise initfailure.error_of(directory, saved, b"")


def _poststart(working: Work, saved: SavedState) -> None:
    """Run the poststart hooks, which may call the runtime for this container."""
    from pyrunc.container import hooks

    hooks.poststart(hooks.kept(working.directory), saved, working)
