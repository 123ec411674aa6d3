"""How a helper is started: by which program, with what environment; and that it leaves nothing of the caller's changed.

posix_spawn(3) neither copies a large caller's memory map nor runs what other libraries have registered for forks, so
threads and the size of the caller do not matter.  The helper forks itself away, so that the caller has no child more.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import sysconfig
from pathlib import Path

import pyrunc
from pyrunc.errors import PyruncError
from pyrunc.helper import message

PACKAGE = Path(__file__).parents[1]
# What verbs look up in the environment; nothing else of the caller's comes along.
PASSED_ON = ("PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
ELF = b"\x7fELF"
ABOVE = 16  # the caller may have closed its standard streams: ours must not take their numbers
HELLO_MAX = 4096
CATCHABLE = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


def start() -> tuple[socket.socket, int]:
    """Start a helper; return the socket that leads to it, and its pid.  Raises PyruncError if that cannot be."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs:
            _spawn(theirs.fileno())
        hello = ours.recv(HELLO_MAX)
        if not hello:
            raise PyruncError("the helper has ended at its start", hint="is the installation whole?")
        said = json.loads(hello)
        if said["version"] != pyrunc.__version__:
            text = f"the helper is of version {said['version']}, and the library of {pyrunc.__version__}"
            raise PyruncError(text, hint="install pyrunc again")
    except BaseException:
        ours.close()
        raise
    return ours, int(said["pid"])


def _spawn(end: int) -> None:
    """Start the program with socket END, and wait for it to have forked."""
    command = _command()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    high = []
    try:
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE) for fd in (end, null)]
        actions = [(os.POSIX_SPAWN_DUP2, high[1], number) for number in range(3)]
        actions.append((os.POSIX_SPAWN_DUP2, high[0], message.MAIN))
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        pid = os.posix_spawn(
            command[0], command, passed, file_actions=actions, setsid=True, setsigmask=(), setsigdef=CATCHABLE
        )
    except OSError as error:
        text = f"cannot start the helper: {command[0]}: {(error.strerror or '').lower()}"
        raise PyruncError(text, hint="is the installation whole?") from None
    finally:
        for fd in (null, *high):
            os.close(fd)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # the caller ignores SIGCHLD, or waits for whatever ends


def _command() -> list[str]:
    """Return the command line of a helper: the native program of this installation, or Python with the files of this package."""
    above = PACKAGE.parents[3]
    for directory in (sysconfig.get_path("scripts"), f"{sys.prefix}/bin", above / "bin", above / "sbin"):
        program = f"{directory}/pyrunc"
        if PACKAGE.is_relative_to(Path(directory).parent) and _is_native(program):
            return [program, message.TASK]
    if not sys.executable:
        raise PyruncError("cannot start the helper: this interpreter does not know its own program", hint="set sys.executable")
    return [sys.executable, "-ISXutf8", "-c", _source(), message.TASK]


def _is_native(path: str) -> bool:
    """Return whether the file at PATH is a program, and no script."""
    try:
        with open(path, "rb") as file:
            return file.read(len(ELF)) == ELF
    except OSError:
        return False


def _source() -> str:
    """Return what Python is to run: it looks for modules where this package is, and where its libraries are."""
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return (
        f"import sys; sys.path[:0] = [{str(PACKAGE.parent)!r}]; sys.path += {libraries!r}\n"
        "from pyrunc.helper.serve import main; main()"
    )
