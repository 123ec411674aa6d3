"""The life of a helper: it has workers ready, is the parent of what they make, and tells how that ended.

A worker (worker.py) waits for the next call; when it has taken one, the helper forks another, so that nobody waits for
anybody else.  A worker ends with its call, and what it has made becomes our child (prctl(2), PR_SET_CHILD_SUBREAPER).
Each process that the library knows has a tether: a socket, one end of which the library holds.  Its exit status goes down
there.  The end of a tether that owns a container removes that: so a `with` leaves nothing, even if its program is killed.

Nobody else's process is waited for here, and nothing of the caller's is shared: the helper is started, not forked.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, SIGCHLD, pthread_sigmask
from _struct import pack
from select import POLLIN, poll
from time import sleep

from pyrunc import __version__
from pyrunc.helper import message, worker
from pyrunc.jsonio import dumps, loads
from pyrunc.linux import fs, process
from pyrunc.linux.socket import Socket, socketpair
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FD_MAX = 0xFFFFFFFF
SIGINFO_SIZE = 128  # struct signalfd_siginfo
UMASK = 0o022
NOT_RESET = (32, 33)  # signals that posix_spawn(3) leaves ignored, and a container would inherit so
MESSAGE_MAX = 8192
RLIMIT_NOFILE = 7
AGAIN_MS, TRIES = 50, 200  # between two tries to fork where there is no room for a process, and how many


class Owned(Record):
    """The container that goes with its tether."""

    root: str
    id: str
    created: str


class Tether:
    """Our end of what the library holds of process `pid`; `identity` is its container, `owned` whether that goes with it."""

    def __init__(self, socket: Socket, pid: int, identity: Owned | None) -> None:
        """Begin with our end, SOCKET."""
        self.socket, self.pid, self.identity, self.owned = socket, pid, identity, False


class Helper:
    """What a helper knows: its workers by the descriptors of their wires, its tethers by theirs, and by pids."""

    def __init__(self, main: Socket, caller: int) -> None:
        """Begin with MAIN, where calls come in, for the process behind pidfd CALLER."""
        self.main, self.caller = main, caller
        self.workers: dict[int, Socket] = {}
        self.tethers: dict[int, Tether] = {}
        self.watched: dict[int, list[Tether]] = {}
        self.orphaned = False
        self.lacking = 0  # workers that could not be forked yet
        self.limits = process.get_prlimit(0, RLIMIT_NOFILE)
        process.prlimit(0, RLIMIT_NOFILE, self.limits[1], self.limits[1])  # workers have it back
        pthread_sigmask(SIG_BLOCK, (SIGCHLD,))
        self.signals = process.signalfd(1 << SIGCHLD - 1)
        self.watch = poll()
        for fd, events in ((main.fileno(), 0), (caller, POLLIN), (self.signals, POLLIN)):
            self.watch.register(fd, events)

    def fork(self) -> None:
        """Fork a worker that waits for a call: now, or, if there is no room for one, a moment later."""
        try:
            self._fork(None)
        except OSError:
            self.lacking += 1

    def _fork(self, orders: message.Head | None) -> None:
        """Fork a worker that waits for a call, or does ORDERS of our own.  Raises OSError."""
        ours, theirs = socketpair()
        own = posix.getpid()
        if process.clone3(0) == 0:
            self._become_worker(own, theirs, orders)
        theirs.close()
        posix.set_blocking(ours.fileno(), False)
        self.workers[ours.fileno()] = ours
        self.watch.register(ours.fileno(), POLLIN)

    def _become_worker(self, helper: int, wire: Socket, orders: message.Head | None) -> None:
        """Be a worker of process HELPER, with nothing of what is that one's alone.  Does not return."""
        try:
            for fd in (self.signals, self.caller, *self.workers, *self.tethers):
                posix.close(fd)
            process.prlimit(0, RLIMIT_NOFILE, *self.limits)
            pthread_sigmask(SIG_SETMASK, ())
            worker.live(helper, self.main, wire, orders)
        finally:
            posix._exit(1)

    def live(self) -> None:
        """Serve until the caller is gone, and all that it has begun is done."""
        self.fork()
        while not self.orphaned or self.workers:
            lacking, self.lacking = self.lacking, 0
            for _ in range(lacking):
                self.fork()
            for fd, _ in self.watch.poll(AGAIN_MS if self.lacking else None):
                if fd in self.workers:
                    self._hear(fd)
                elif fd in self.tethers:
                    self._pulled(self.tethers[fd])
                elif fd == self.signals:
                    posix.read(self.signals, SIGINFO_SIZE)
                    self._reap()
                elif fd in (self.caller, self.main.fileno()):
                    self._abandoned()

    def _hear(self, fd: int) -> None:
        """Take what the worker behind FD says: that it has a call, whose process is to be watched, or nothing as it has ended."""
        try:
            data, fds = self.workers[fd].receive(MESSAGE_MAX)
        except BlockingIOError:
            return  # it has been heard already, or the number is another's by now
        except OSError:
            return  # there was no room for its descriptor: that the library's end is closed tells it
        if not data:
            self.watch.unregister(fd)
            self.workers.pop(fd).close()
        elif data == worker.TAKEN:
            if not self.orphaned:
                self.fork()
        else:
            said: Any = loads(data, "the worker's word")
            identity = Owned(said["root"], said["id"], said["created"]) if "id" in said else None
            self._tie(Tether(Socket(fds[0]), said["pid"], identity), is_new=said["new"])

    def _tie(self, tether: Tether, *, is_new: bool) -> None:
        """Keep TETHER, of a process that IS_NEW, or that may be another's child: then its end says that we do not know."""
        if not is_new and tether.pid not in self.watched:
            tether.pid = 0
            self._say(tether, worker.NOT_OURS)
        else:
            self.watched.setdefault(tether.pid, []).append(tether)
        posix.set_blocking(tether.socket.fileno(), False)
        self.tethers[tether.socket.fileno()] = tether
        self.watch.register(tether.socket.fileno(), POLLIN)

    @staticmethod
    def _say(tether: Tether, word: bytes) -> None:
        """Send WORD down TETHER, if somebody still wants to know."""
        try:
            tether.socket.send(word)
        except OSError:
            return

    def _pulled(self, tether: Tether) -> None:
        """Take what the library says by TETHER; its end is the end of a container that is owned."""
        if not self._has_words(tether):
            self._cut(tether)

    @staticmethod
    def _has_words(tether: Tether) -> bool:
        """Take all that the library has said by TETHER until now; return whether it has not ended."""
        try:
            while word := tether.socket.receive(1)[0]:
                tether.owned = word == message.OWN
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _cut(self, tether: Tether) -> None:
        """Be done with TETHER, and with its container, if that is owned."""
        self._has_words(tether)
        self.watch.unregister(tether.socket.fileno())
        del self.tethers[tether.socket.fileno()]
        tether.socket.close()
        if tether.pid in self.watched:
            self.watched[tether.pid].remove(tether)
        if tether.owned and tether.identity is not None:
            self._remove(tether.identity)

    def _remove(self, owned: Owned) -> None:
        """Have a worker remove container OWNED; if there is no room for one, wait until there is."""
        for _ in range(TRIES):
            try:
                self._fork({"call": "remove", **dict(owned.items())})
            except OSError:
                sleep(AGAIN_MS / 1000)
            else:
                return

    def _reap(self) -> None:
        """Wait for all that has ended, and tell how; what has been a worker's child until now, it has told of before it ended."""
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid not in self.watched:
                self._hear_all()
            for tether in self.watched.pop(pid, ()):
                tether.pid = 0
                self._say(tether, pack("=i", status))

    def _hear_all(self) -> None:
        """Take all that workers have said until now."""
        listening = poll()
        for fd in self.workers:
            listening.register(fd, POLLIN)
        while ready := listening.poll(0):
            for fd, _ in ready:
                self._hear(fd)
                if fd not in self.workers:
                    listening.unregister(fd)

    def _abandoned(self) -> None:
        """Begin to end: the caller has, or wants us to.  What it owned goes; a worker that waits sees the end by itself."""
        if self.orphaned:
            return
        self.orphaned = True
        self.watch.unregister(self.main.fileno())
        self.watch.unregister(self.caller)
        posix.close(self.caller)
        self.main.shutdown()
        self._hear_all()
        for tether in list(self.tethers.values()):
            self._cut(tether)


def main() -> None:
    """Become the helper of the process that has started us, with its socket as descriptor 3.  Does not return.

    By a fork, so that it is not the caller's child: a caller that waits for any child must not find one that it does not know.
    """
    caller = posix.pidfd_open(posix.getppid())
    if process.clone3(0):
        posix._exit(0)
    try:
        sock = Socket(message.MAIN)
        if caller > message.MAIN + 1:
            fs.close_range(message.MAIN + 1, caller - 1, 0)
        fs.close_range(caller + 1, FD_MAX, 0)
        posix.set_inheritable(message.MAIN, False)
        posix.setsid()
        posix.chdir("/")
        posix.umask(UMASK)
        for number in NOT_RESET:
            process.default_action(number)
        process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
        sock.send(dumps({"version": __version__, "pid": posix.getpid()}).encode())
        Helper(sock, caller).live()
    finally:
        posix._exit(0)
