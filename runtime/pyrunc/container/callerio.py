"""What goes between a caller and a container: console socket, pidfd socket, pid file, preserved descriptors."""

from __future__ import annotations

import posix
from _struct import pack
from fcntl import F_GETFD, FD_CLOEXEC, fcntl

from pyrunc.container.statefile import write_file
from pyrunc.errors import OpError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def check_console(*, terminal: bool, socket: str, detached: bool) -> None:
    """Raise UsageError unless there is a console socket exactly where one is needed."""
    if detached and terminal and not socket:
        hint = "give --console-socket, or set process.terminal to false"
        raise UsageError("cannot allocate tty if pyrunc will detach without setting console socket", hint=hint)
    if socket and not (detached and terminal):
        hint = "leave --console-socket out, or detach with process.terminal true"
        raise UsageError("cannot use console socket if pyrunc will not detach or allocate tty", hint=hint)


def write_pid_file(path: str, pid: int) -> None:
    """Write PID to PATH, without a newline.  Raises OpError if that cannot be."""
    try:
        write_file(path, str(pid).encode())
    except OSError as error:
        raise OpError(
            f"cannot write {path}: {(error.strerror or '').lower()}",
            errno=error.errno or 0,
            hint="name a file in a directory that is there and may be written to",
        ) from None


def check_preserved(listen: int, count: int) -> None:
    """Raise UsageError unless LISTEN descriptors from 3 on are open, and COUNT more after them.

    What is close-on-exec is our own: it cannot have come from the caller.
    """
    for fd in range(3, 3 + listen + count):
        try:
            given = not fcntl(fd, F_GETFD) & FD_CLOEXEC
        except OSError:
            given = False
        if not given:
            asked = f"LISTEN_FDS={listen}" if fd < 3 + listen else f"--preserve-fds {count}"
            raise UsageError(f"{asked}: descriptor {fd} is not open", hint="open it before, or leave it out")


def send_descriptor(path: str, fd: int, name: bytes) -> None:
    """Send descriptor FD, called NAME, to the Unix socket at PATH.  Raises UsageError if nobody listens."""
    from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        sock.connect(path)
        sock.sendmsg([name], [(SOL_SOCKET, SCM_RIGHTS, pack("i", fd))])
    except OSError as error:
        raise UsageError(
            f"cannot send a descriptor to socket {path}: {(error.strerror or '').lower()}",
            hint="somebody has to listen there: see who should",
        ) from None
    finally:
        sock.close()


def send_pidfd(path: str, pid: int, kind: bytes) -> None:
    """Send a pidfd of process PID to the Unix socket at PATH; KIND is runc's word, `standard` for an init, `setns` for exec."""
    pidfd = posix.pidfd_open(pid)
    try:
        send_descriptor(path, pidfd, kind)
    finally:
        posix.close(pidfd)


def console_sender(console_socket: str) -> Callable[[int], None]:
    """Return what takes the master of a new terminal: CONSOLE_SOCKET, or, without one, the caller, who finds it in its slot."""

    def take(master: int) -> None:
        """Take MASTER, before the program on the terminal runs."""
        if console_socket:
            send_terminal(console_socket, master)
        else:
            from pyrunc.run import terminal

            terminal.prepare(master)

    return take


def send_terminal(path: str, master: int) -> None:
    """Send the MASTER of a terminal to the console socket at PATH, with its name."""
    send_descriptor(path, master, b"/dev/ptmx")
    posix.close(master)
