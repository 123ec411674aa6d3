"""A new profile, for the native program, which cannot load libseccomp: the script compiles it in a process of its own.

It gets the profile as JSON on its standard input, and answers on its standard output: MARK, then
one line of JSON, then the entry (entry.py).  The line has the key of the profile, or what is wrong with it.
What precedes the mark is what an interpreter says that does not get that far.  It has no
environment, and no descriptor but these; it writes no file: what it answers is
kept, or not, by who has asked.
"""

from __future__ import annotations

import posix
from _signal import SIGKILL

from pyrunc import handover, jsonio
from pyrunc.errors import ConfigError, PyruncError, UnsupportedError
from pyrunc.oci.seccomp import seccomp as profile_of
from pyrunc.record import Record
from pyrunc.seccomp import entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.seccomp.entry import Entry

AT = "/linux/seccomp"
MARK = b"\0filter\n"
PART = 1 << 16
STREAMS, FDS_MAX = 3, 1 << 20
ERRORS = {"ConfigError": ConfigError, "UnsupportedError": UnsupportedError}


def compile_apart(seccomp: Seccomp) -> Entry:
    """Return the program for profile SECCOMP, which the script compiles.

    Raises what compile_filter raises, and UnsupportedError if there is no script, or if that fails otherwise.
    """
    try:
        status, said = _asked(jsonio.dumps(_document(seccomp)).encode())
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        _fail(f"{what}{(error.strerror or '').lower()}")
    before, mark, answer = said.partition(MARK)
    head, _, data = answer.partition(b"\n")
    if not mark or not head:
        words = str(before, "utf-8", "replace").strip().rpartition("\n")[2]
        _fail(": ".join(part for part in (_ended(status), words) if part))
    told: Any = jsonio.loads(head, "the answer")
    if "error" in told:
        raise ERRORS[told["error"]](told["message"], pointer=told["pointer"], hint=told["hint"])
    made = entry.unpack(data)
    if made is None or told["key"] != entry.key(seccomp):
        _fail("it has compiled another one, or half of it")
    return made


def _fail(why: str) -> NoReturn:
    """Raise the error for a script that does not do what it should, for the reason WHY."""
    hint = "install pyrunc again if its files are damaged"
    raise UnsupportedError(f"cannot compile the seccomp profile, which Python has to do: {why}", pointer=AT, hint=hint) from None


def _ended(status: int) -> str:
    """Return in words how a process has ended (waitpid(2), STATUS); "" if that is not known."""
    if posix.WIFSIGNALED(status):
        return f"killed by signal {posix.WTERMSIG(status)}"
    return f"exit status {posix.WEXITSTATUS(status)}" if status else ""


def _document(value: object) -> object:
    """Return VALUE, a record, or what one holds, as a document that makes the same again; what is not there is left out."""
    if isinstance(value, Record):
        return {name: _document(item) for name, item in value.items() if item not in (None, (), "")}
    return [_document(item) for item in value] if isinstance(value, tuple) else value


def _asked(question: bytes) -> tuple[int, bytes]:
    """Start the script, give it QUESTION, and return its status (0 if our caller has us ignore such) and what it has said.

    Whatever interrupts that ends it.
    """
    command = handover.task("seccomp")
    ends: list[int] = []
    child = 0
    try:
        ends += posix.pipe()
        ends += posix.pipe()
        its_in, questions, answers, its_out = ends
        streams = ((its_in, 0), (its_out, 1), (its_out, 2))
        actions = [(posix.POSIX_SPAWN_DUP2, fd, number) for fd, number in streams]
        child = posix.posix_spawn(command[0], command, {}, file_actions=actions, setsigmask=())
        _close(ends, its_in, its_out)
        _write(questions, question)
        _close(ends, questions)
        said = _all(answers)
    except BaseException:
        if child:
            _kill(child)
        raise
    finally:
        _close(ends, *ends)
    return _end_of(child), said


def _kill(child: int) -> None:
    """End process CHILD and wait for it."""
    try:
        posix.kill(child, SIGKILL)
    except ProcessLookupError:
        return
    _end_of(child)


def _end_of(child: int) -> int:
    """Wait for process CHILD, which has closed its streams or been killed, and return its status."""
    try:
        return posix.waitpid(child, 0)[1]
    except ChildProcessError:
        return 0  # our caller has us ignore SIGCHLD: the kernel has waited for it


def _write(fd: int, data: bytes) -> None:
    """Write DATA to pipe FD, as far as somebody reads there."""
    try:
        while data:
            data = data[posix.write(fd, data) :]
    except BrokenPipeError:
        return  # it has ended, and its answer will tell why


def _all(fd: int) -> bytes:
    """Return what comes out of pipe FD until its end."""
    parts = []
    while part := posix.read(fd, PART):
        parts.append(part)
    return b"".join(parts)


def _close(ends: list[int], *fds: int) -> None:
    """Close FDS, which are among ENDS, and take them out."""
    for fd in fds:
        ends.remove(fd)
        posix.close(fd)


def serve() -> None:
    """Be the process that is asked."""
    from pyrunc.seccomp.compile import compiled

    posix.closerange(STREAMS, FDS_MAX)
    profile = profile_of(jsonio.loads(_all(0), "the profile"), AT)
    data = b""
    try:
        data = compiled(profile).pack()
        head = {"key": entry.key(profile)}
    except PyruncError as error:
        head = {"error": type(error).__name__, "message": error.message, "pointer": error.pointer, "hint": error.hint}
    _write(1, MARK + jsonio.dumps(head).encode() + b"\n" + data)
