"""A running `criu swrk`: requests over a socket, its notifications answered (criu.org/RPC)."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGKILL, getsignal, pthread_sigmask, signal, valid_signals
from fcntl import F_DUPFD, F_DUPFD_CLOEXEC, fcntl

from pyrunc.criu import messages as m
from pyrunc.criu.protobuf import decode, encode
from pyrunc.errors import OpError, UnsupportedError
from pyrunc.linux import process
from pyrunc.linux.socket import socketpair
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Notify = Callable[[str, int, int], None]

NEEDED = (3, 15)  # the first to know external pid namespaces, the freezer of cgroup version 2, and `status-ready`
INSTALL = "install CRIU 3.15 or later and have it on PATH (Debian: apt install criu)"
SOCKET = 3  # its number in criu
ABOVE = 100  # where descriptors are put aside, before they get the numbers that criu is told
MESSAGE_MAX = 1 << 16
NOT_EXECUTED = 127


def find(named: str = "") -> str:
    """Return the path of criu: NAMED, if it is not "", or where PATH has it.  Raises UnsupportedError if it is not there."""
    if named:
        if posix.access(named, posix.X_OK):
            return named
        raise UnsupportedError(f"--criu {named}: no such program", hint=INSTALL)
    path = str(posix.environ.get(b"PATH", b"/usr/sbin:/usr/bin:/sbin:/bin"), "utf-8", "surrogateescape")
    for directory in path.split(":"):
        program = f"{directory or '.'}/criu"
        if posix.access(program, posix.X_OK):
            return program
    raise UnsupportedError("criu is not installed: checkpoint and restore are done by it", hint=INSTALL)


class Worker:
    """CRIU, the PROGRAM named or what PATH has, as process `pid`, our child.

    It has our standard streams, descriptors DESCRIPTORS as 4 and up, and is
    forked with clone3(2)'s FLAGS; PLACE is called with its pid, then PREPARE runs
    in it, then it becomes criu.
    """

    def __init__(
        self,
        program: str = "",
        descriptors: tuple[int, ...] = (),
        flags: int = 0,
        place: Callable[[int], None] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start it.  Raises UnsupportedError without criu, OpError if PREPARE fails, and what PLACE raises."""
        program = find(program)
        self.sock, other = socketpair()
        (read, write), (wait, go) = posix.pipe2(posix.O_CLOEXEC), posix.pipe2(posix.O_CLOEXEC)
        before = pthread_sigmask(SIG_BLOCK, valid_signals())
        try:
            self.pid = process.clone3(flags)
            if self.pid == 0:
                posix.close(go)
                _become(program, (other.fileno(), *descriptors), prepare, wait, write)
        finally:
            pthread_sigmask(SIG_SETMASK, before)
            other.close()
            posix.close(write)
            posix.close(wait)
        self._start(place, go, read)

    def _start(self, place: Callable[[int], None] | None, go: int, read: int) -> None:
        """Let it begin, by GO, once PLACE is done; READ what it says if it cannot."""
        try:
            if place is not None:
                place(self.pid)
            posix.write(go, b"g")
        except BaseException:
            posix.close(read)
            posix.close(go)  # so it gives up
            self.end()
            raise
        posix.close(go)
        said = b""
        while part := posix.read(read, MESSAGE_MAX):
            said += part
        posix.close(read)
        if said:
            self.end()
            raise OpError(f"cannot start criu: {str(said, 'utf-8', 'replace')}", hint="see `criu check`")

    def version(self) -> tuple[int, int]:
        """Return its version.  Raises UnsupportedError if that is too old to be used."""
        answer = self.ask(m.VERSION, keep=True)
        found = answer.get("version", {})
        version = found.get("major_number", 0), found.get("minor_number", 0)
        if not answer.get("success") or version < NEEDED:
            shown = ".".join(map(str, version)) if version[0] else "this one"
            raise UnsupportedError(f"criu is too old: {shown}", hint=INSTALL)
        return version

    def need(self, feature: str, why: str) -> None:
        """Raise UnsupportedError unless CRIU and kernel have FEATURE, which WHY (an option) needs."""
        answer = self.ask(m.FEATURE_CHECK, features={feature: True}, keep=True)
        if not answer.get("success") or not answer.get("features", {}).get(feature):
            raise UnsupportedError(f"{why}: CRIU on this kernel has no {feature}", hint="see criu check --all")

    def ask(
        self,
        kind: int,
        options: dict[str, Any] | None = None,
        *,
        features: dict[str, bool] | None = None,
        keep: bool = False,
        notify: Notify | None = None,
    ) -> dict[str, Any]:
        """Ask for KIND and return the answer, whether good or bad; {} if criu ended without one.

        NOTIFY is called with the name of each step, a pid and a descriptor (-1: none).  If it
        raises, CRIU is told to give up, and the exception is raised again once it has.
        """
        self._send({"type": kind, "opts": options, "features": features, "keep_open": keep or None})
        raised: BaseException | None = None
        while True:
            answer, fd = self._receive()
            if answer.get("type") != m.NOTIFY:
                if raised is not None:
                    raise raised
                return answer
            told = answer.get("notify", {})
            try:
                if notify is not None and raised is None and answer.get("success"):
                    notify(told.get("script", ""), told.get("pid", 0), fd)
                elif fd >= 0:
                    posix.close(fd)
            except BaseException as error:  # noqa: BLE001 - it is raised again above
                raised = error
            self._send({"type": m.NOTIFY, "notify_success": raised is None})

    def end(self, *, at_once: bool = False) -> int:
        """Let it end, AT_ONCE by force, wait for that, and return its status; 0 if that was done before."""
        self.sock.close()
        if self.pid == 0:
            return 0
        if at_once:
            posix.kill(self.pid, SIGKILL)
        status = posix.waitstatus_to_exitcode(posix.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def _send(self, request: dict[str, Any]) -> None:
        """Send REQUEST; that criu has ended is found out by the next receive."""
        try:
            self.sock.send(encode(m.REQUEST, request))
        except (BrokenPipeError, ConnectionResetError):
            return

    def _receive(self) -> tuple[dict[str, Any], int]:
        """Return the next message, and the descriptor that came with it or -1."""
        data, fds = self.sock.receive(MESSAGE_MAX)
        try:
            return decode(m.RESPONSE, data), fds[0] if fds else -1
        except ValueError as error:
            raise OpError(f"criu sent what is no message: {error}", hint="see its log in the work directory") from None


def _become(
    program: str, descriptors: tuple[int, ...], prepare: Callable[[], None] | None, wait: int, report: int
) -> NoReturn:
    """Be criu: WAIT, PREPARE, put DESCRIPTORS where it expects them, execute PROGRAM; write to REPORT what goes wrong."""
    try:
        seal()
        if not posix.read(wait, 1):
            posix._exit(NOT_EXECUTED)
        if prepare is not None:
            prepare()
        report = fcntl(report, F_DUPFD_CLOEXEC, ABOVE)
        kept = [fcntl(fd, F_DUPFD, ABOVE) for fd in descriptors]
        for number, fd in enumerate(kept, SOCKET):
            posix.dup2(fd, number)
            posix.close(fd)
        for number in valid_signals():
            if getsignal(number) not in (SIG_DFL, None):
                signal(number, SIG_DFL)
        pthread_sigmask(SIG_SETMASK, ())
        posix.execve(program, ("criu", "swrk", str(SOCKET)), posix.environ)
    except OSError as error:
        posix.write(report, f"{error.filename or program}: {(error.strerror or '').lower()}".encode())
    except BaseException as error:  # noqa: BLE001 - nothing may leave this process but a report
        posix.write(report, f"{type(error).__name__}: {error}".encode())
    posix._exit(NOT_EXECUTED)
