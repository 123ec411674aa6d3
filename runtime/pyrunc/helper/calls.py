"""What the library can ask of a worker: each call by its name, and the verb that does it."""

from __future__ import annotations

import posix
from _signal import SIGKILL, pidfd_send_signal
from select import POLLHUP, POLLIN, POLLRDHUP, poll

from pyrunc import handover
from pyrunc.container import store
from pyrunc.container.options import CreateOptions, ExecOptions, RunOptions
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import alive
from pyrunc.container.verbs import create, delete, events, kill, pause, run, start, update
from pyrunc.container.verbs import exec as exec_verb
from pyrunc.errors import UsageError
from pyrunc.helper import message
from pyrunc.jsonio import dumps, loads
from pyrunc.linux.socket import Socket, socketpair
from pyrunc.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Outcome = tuple[object, tuple[int, ...]]  # what is answered, and the descriptors with it

STREAMS = 3
NOT_ASKED = ""


class Call:
    """One call: its HEAD, its DOCUMENT, its descriptors FDS; and who is to hear of it.

    `made` undoes what it has made, until the library has accepted that; None if it makes nothing.
    """

    def __init__(
        self, head: message.Head, document: bytes, fds: tuple[int, ...], log: Log, wire: Socket, answers: Socket
    ) -> None:
        """Begin."""
        self.head, self.document, self.fds, self.log = head, document, fds, log
        self.wire, self.answers = wire, answers
        self.made: Callable[[], None] | None = None
        self.pid, self.pidfd, self.master = 0, -1, -1

    def take_streams(self) -> None:
        """Let the descriptors that came along be our standard streams, which a container's process has from us."""
        for number, fd in enumerate(self.fds[:STREAMS]):
            posix.dup2(fd, number)

    def told(self, pid: int) -> None:
        """Take process PID for what was made."""
        self.pid, self.pidfd = pid, posix.pidfd_open(pid)

    def end(self) -> None:
        """End the process that was made."""
        try:
            pidfd_send_signal(self.pidfd, SIGKILL)
        except ProcessLookupError:
            return  # it has by itself

    def console(self, master: int) -> None:
        """Take the MASTER of a terminal.  Raises UsageError if there are other streams."""
        if self.head.get("given"):
            hint = "leave it out: the terminal is all three streams"
            raise UsageError("a stream is given, and the process has a terminal", hint=hint)
        self.master = master

    def answer(self, head: message.Head, fds: tuple[int, ...] = ()) -> None:
        """Tell the library HEAD, and hand it FDS.  Raises OSError if it is gone."""
        data, memory = message.pack(head)
        handed = fds if memory < 0 else (*fds, memory)
        if handed:
            self.answers.send_descriptors(data, *handed)
        else:
            self.answers.send(data)

    def tether(self, pid: int, *, is_new: bool, identity: message.Head | None = None) -> int:
        """Return what the library is to hold of process PID; the helper gets the other end, by which it tells how that ended."""
        ours, theirs = socketpair()
        said = {"pid": pid, "new": is_new, **(identity or {})}
        try:
            self.wire.send_descriptors(dumps(said).encode(), theirs.fileno())
        except OSError:
            pass  # the helper is gone: that this end is closed will say so
        theirs.close()
        fd = posix.dup(ours.fileno())
        ours.close()
        return fd

    def await_acceptance(self) -> None:
        """Wait until the library has what was made, or undo it if it has given up."""
        if self.answers.receive(1)[0] != message.ACCEPTED:
            self.give_back()

    def give_back(self) -> None:
        """Undo what was made, as nobody wants it."""
        made, self.made = self.made, None
        if made is not None:
            made()


def has_ended(fd: int) -> bool:
    """Return whether the other end of socket FD is closed, for its direction at least."""
    watch = poll()
    watch.register(fd, POLLIN | POLLRDHUP)
    return any(events & (POLLHUP | POLLRDHUP) for _, events in watch.poll(0))


def _create(call: Call) -> Outcome:
    """Create a container, and start it too if that is asked for."""
    head = call.head
    asked = {
        "id": head["id"],
        "root": head["root"],
        "bundle": head["bundle"],
        "config": call.document or None,
        "systemd_cgroup": bool(head.get("systemd_cgroup")),
        "rootless": head.get("rootless"),
        "no_pivot": bool(head.get("no_pivot")),
        "no_new_keyring": bool(head.get("no_new_keyring")),
        "log": call.log,
        "console": call.console,
        "told": call.told,
    }
    if asked["systemd_cgroup"]:
        handover.need_script()  # its library talks to systemd
    if head.get("start"):
        run.run(RunOptions(**asked, detach=True))
    else:
        create.create(CreateOptions(**asked))
    call.made = call.end
    try:
        saved = load(store.directory(head["root"], head["id"]))
        identity = {"root": head["root"], "id": saved.id, "created": saved.created}
        call.made = lambda: remove(identity)
        tether = call.tether(call.pid, is_new=True, identity=identity)
    except BaseException:
        call.give_back()
        raise
    return _process(call, tether, created=saved.created)


def _process(call: Call, tether: int, **more: object) -> Outcome:
    """Return the outcome for a process that CALL has made, which the library holds by TETHER."""
    fds = (call.pidfd, tether) if call.master < 0 else (call.pidfd, tether, call.master)
    return {"pid": call.pid, **more}, fds


def _exec(call: Call) -> Outcome:
    """Run one more process in a container."""
    head = call.head
    asked = ExecOptions(
        id=head["id"],
        root=head["root"],
        document=call.document or None,
        args=tuple(head.get("args", ())),
        cwd=head.get("cwd", NOT_ASKED),
        env=tuple(head.get("env", ())),
        tty=bool(head.get("terminal")),
        user=head.get("user"),
        additional_gids=tuple(head.get("additional_gids", ())),
        caps=tuple(head.get("capabilities", ())),
        no_new_privs=bool(head.get("no_new_privileges")),
        cgroup=tuple(head.get("cgroup", ())),
        detach=True,
        log=call.log,
        console=call.console,
        told=call.told,
    )
    exec_verb.exec_(asked)
    call.made = call.end
    try:
        tether = call.tether(call.pid, is_new=True)
    except BaseException:
        call.give_back()
        raise
    return _process(call, tether)


def _attach(call: Call) -> Outcome:
    """Hold the init of a container that is there: whoever has made it."""
    saved = load(store.directory(call.head["root"], call.head["id"]))
    if alive(saved):
        try:
            call.told(saved.pid)
        except ProcessLookupError:
            pass
    if call.pidfd < 0 or not alive(saved):  # again: so that it is that process, and no later one of its pid
        return {"pid": 0, "created": saved.created}, ()
    identity = {"root": call.head["root"], "id": saved.id, "created": saved.created}
    return _process(call, call.tether(saved.pid, is_new=False, identity=identity), created=saved.created)


def _start(call: Call) -> Outcome:
    """Start a container."""
    start.start(call.head["root"], call.head["id"], call.log)
    return None, ()


def _delete(call: Call) -> Outcome:
    """Delete a container."""
    delete.delete(call.head["root"], call.head["id"], force=bool(call.head["force"]), log=call.log)
    return None, ()


def _kill(call: Call) -> Outcome:
    """Send a container a signal."""
    head = call.head
    kill.kill(head["root"], head["id"], head["number"], everything=bool(head["all"]))
    return None, ()


def _pause(call: Call) -> Outcome:
    """Suspend a container."""
    pause.pause(call.head["root"], call.head["id"])
    return None, ()


def _resume(call: Call) -> Outcome:
    """Let it go on."""
    pause.resume(call.head["root"], call.head["id"])
    return None, ()


def _update(call: Call) -> Outcome:
    """Change a container's limits."""
    root, container = call.head["root"], call.head["id"]
    update.choose_program(root, container)
    for warning in update.update(root, container, loads(call.document, "the resources")):
        call.log.warning(warning)
    return None, ()


def _events(call: Call) -> Outcome:
    """Tell the library of events until the container ends, or nobody wants to know."""
    for event in events.follow(call.head["root"], call.head["id"], call.head["interval"]):
        call.answer({"event": event})
    return None, ()


def _remove(call: Call) -> Outcome:
    """Remove a container by force, and no later one of its id."""
    remove(call.head, call.log)
    return None, ()


def remove(head: message.Head, log: Log | None = None) -> None:
    """Remove the container of HEAD, by force, and no later one of its id."""
    only = SavedState(id=head["id"], bundle="", rootfs="", created=head["created"], owner=0)
    delete.by_force(store.directory(head["root"], head["id"]), log or Log(), only)


TABLE: dict[str, Callable[[Call], Outcome]] = {
    "create": _create,
    "exec": _exec,
    "attach": _attach,
    "start": _start,
    "delete": _delete,
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "remove": _remove,
    "events": _events,
}
