"""Hand the descriptor of SCMP_ACT_NOTIFY from the filtered process to an agent (config-linux.md, "Seccomp").

Under the filter no system call is sure to work: any may be forbidden, or wait
for the agent, which has nothing yet.  So the new process makes none.  It writes
the number of the descriptor to memory that it shares with the host side, which
takes a copy by pidfd_getfd(2), sends it, and says so in the same memory;
meanwhile the process goes round in a loop.  One that then waits for `start`
sleeps in the one call that is let through for that (seccomp/waiting.py), until
`start` wakes it by the same memory.  Loaded only for profiles with SCMP_ACT_NOTIFY.
"""

from __future__ import annotations

import posix
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket
from _struct import pack
from select import POLLIN, poll
from time import monotonic, sleep

from pyrunc.errors import OpError
from pyrunc.jsonio import dumps
from pyrunc.linux.abi import address_of
from pyrunc.linux.process import futex_wait, futex_wake, pidfd_getfd
from pyrunc.linux.sharedmemory import shared_memory
from pyrunc.run.steps import filters, start
from pyrunc.seccomp.waiting import COOKIE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

SIZE = 12
NUMBER, OFFERED, TAKEN, FAILED, GO = slice(0, 4), 4, 5, 6, 8  # GO is the first byte of a futex, of 32 bits
SECONDS, STEP = 10.0, 0.0002
AT = "/linux/seccomp/listenerPath"


class Listener:
    """Both ends: the new process offers a descriptor, the host side delivers it to the socket at `path`."""

    def __init__(self, memory: int, path: str, metadata: str, state: dict[str, object]) -> None:
        """Share file MEMORY; STATE is that of the container, with its status."""
        self.memory = shared_memory(memory, SIZE)
        self.path, self.metadata, self.state = path, metadata, state

    def offer(self, fd: int) -> None:
        """In the new process: offer FD and wait until it has been taken, without any system call (the clock is none).

        Raises OpError if the host side does not take it for ten seconds: it is gone.
        """
        memory = self.memory
        memory[NUMBER] = fd.to_bytes(4, "little")
        memory[OFFERED] = 1
        end = monotonic() + SECONDS
        while not memory[TAKEN]:
            if monotonic() > end:
                raise OpError(
                    "nobody has taken the seccomp notification descriptor", hint="see whether the agent at listenerPath works"
                )

    def deliver(self, pid: int) -> bool:
        """On the host side: take the descriptor that process PID offers, and send it; False if PID ends before.

        Raises OpError if nobody listens.
        """
        try:
            pidfd = posix.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if not self._await(pidfd):
                return False
            fd = pidfd_getfd(pidfd, int.from_bytes(self.memory[NUMBER], "little"))
            try:
                self._send(fd, pid)
            finally:
                posix.close(fd)
            return True
        finally:
            posix.close(pidfd)

    def release(self) -> None:
        """On the host side: let the process go on."""
        self.memory[TAKEN] = 1

    def note_failure(self) -> None:
        """In the new process: say that the program has not been executed."""
        self.memory[FAILED] = 1

    def wait(self) -> None:
        """In the new process: wait for `start`, by nothing but the one call that the filter lets through."""
        word = address_of(self.memory) + GO
        while not self.memory[GO]:
            try:
                futex_wait(word, 0, COOKIE)
            except OSError:
                continue  # woken by a signal, or it has begun meanwhile

    def _await(self, pidfd: int) -> bool:
        """Wait for an offer; return whether one came before the process behind PIDFD ended."""
        end = poll()
        end.register(pidfd, POLLIN)
        while not self.memory[OFFERED]:
            if end.poll(0):
                return False
            sleep(STEP)
        return True

    def _send(self, fd: int, pid: int) -> None:
        """Send FD with the container process state, over a connection of its own."""
        state = {"pid": pid, **self.state}
        document = {
            "ociVersion": state["ociVersion"],
            "fds": ["seccompFd"],
            "pid": pid,
            **({"metadata": self.metadata} if self.metadata else {}),
            "state": state,
        }
        data = dumps(document).encode()
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        try:
            what = "failed to connect with seccomp agent specified in the seccomp profile"
            sock.connect(self.path)
            what = "failed to send the seccomp notification descriptor to the seccomp agent"
            sent = sock.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, pack("i", fd))])
            if sent < len(data):  # an agent that has read all may be gone: to send it nothing would fail
                sock.sendall(data[sent:])
        except OSError as error:
            text = f"{what}: {self.path}: {(error.strerror or '').lower()}"
            raise OpError(text, errno=error.errno or 0, pointer=AT, hint="start the agent that listens there") from None
        finally:
            sock.close()


def share_listener(context: Context, memory: int, path: str, metadata: str) -> None:
    """Prepare to hand the notification descriptor over, through file MEMORY."""
    context.listener = Listener(memory, path, metadata, {"status": "creating", **context.state})


def wait_filtered(context: Context) -> None:
    """Load the filter, hand its descriptor over, and wait for `start` under it."""
    start.await_signals()
    listener = context.listener
    filters.apply_filter(context)
    if isinstance(listener, Listener):
        listener.wait()


def wake(memory: int) -> None:
    """Let the process go on that waits for `start` by file MEMORY."""
    mapped = shared_memory(memory, SIZE)
    mapped[GO] = 1
    futex_wake(address_of(mapped) + GO)


def has_failed(memory: int) -> bool:
    """Return whether the process that shares file MEMORY has said that it has not become its program."""
    return shared_memory(memory, SIZE)[FAILED] == 1
