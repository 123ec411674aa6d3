"""From argv to an exit status: parse, find the command's file, run it, tell what went wrong in one line."""

from __future__ import annotations

import posix
import sys
from errno import EACCES, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOTDIR, EPERM

from pyrunc import handover
from pyrunc.cli import interrupts
from pyrunc.cli.output import write
from pyrunc.cli.parse import NO_COMMAND, Arguments, parse_command, parse_general
from pyrunc.cli.table import ROWS
from pyrunc.errors import PyruncError, UsageError
from pyrunc.log import SHOWN, Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEFAULT_ROOT = "/run/pyrunc"
FAILED = 1
MAKING = ("create", "run")  # what makes the root directory
STATELESS = ("spec", "features", "check", "plan", "install")  # what asks for no container
EXEC_FAILED = 255  # runc's: a status of 1 would be taken for the program's own
INTERRUPTED = 130
STANDARD_STREAMS = (0, 1, 2)
# What a caller has got wrong in the name of a log; for any other reason it only goes unwritten.
NO_SUCH_LOG = (ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG)


class Call(Arguments):
    """Arguments, with what every command needs: the root directory, the log, and --rootless (None: auto)."""

    root: str = DEFAULT_ROOT
    log: Log = Log()
    rootless: bool | None = None


def main(argv: list[str]) -> int:
    """Run command line ARGV, without the program's name, and return the exit status."""
    name, log, parsed = "", Log(), False
    try:
        interrupts.heed()
        _open_streams()
        general, place = parse_general(argv)
        name = argv[place] if place < len(argv) and argv[place] in ROWS else ""
        if general.get("version") or general.get("help"):
            return _tell(general, "")
        _choose_manager(general)
        if general.get("debug") or (general.get("systemd_cgroup") and name in MAKING):
            handover.need_script()  # tracebacks, and systemd, want libraries
        log = _log(general, f"pyrunc {name}" if name else "pyrunc")
        arguments = parse_command(argv, place, general)
        parsed = True
        if "help" in arguments.general:
            return _tell(general, arguments.command)
        call = _call(arguments, log)
        if log.debugging:
            _say_found(call)
        status = _command(name)(call)
        log.debug(f"ended with status {status}")
        return status
    except PyruncError as error:
        return _fail(name, str(error), log, error.status, parsed=parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        _trace(log)
        return _fail(name, _told(error), log)
    except ImportError as error:
        _trace(log)
        return _fail(name, _told(error), log)
    except MemoryError:
        return _fail(name, "there is not enough memory (see ulimit -v, and the limits of our own cgroup)", log)
    except Exception as error:  # noqa: BLE001 - a traceback is no message
        _trace(log)
        hint = "please report it" if log.debugging else "please report it, with what --debug adds"
        return _fail(name, f"internal error: {type(error).__name__}: {error} ({hint})", log)
    finally:
        handover.begin()  # what was held back is said at the latest now


def _choose_manager(general: dict[str, Any]) -> None:
    """Make of --cgroup-manager what --systemd-cgroup says among GENERAL options.  Raises UsageError if both disagree."""
    manager = general.get("cgroup_manager", "")
    if manager == "systemd":
        general["systemd_cgroup"] = True
    elif manager and general.get("systemd_cgroup"):
        raise UsageError(f"--systemd-cgroup and --cgroup-manager {manager} cannot go together", hint="leave one of both out")


def _open_streams() -> None:
    """Open what the caller has closed of the standard streams as /dev/null, before another file takes the number.

    For the container too: its first open file must not become its standard output.
    """
    for fd in STANDARD_STREAMS:
        try:
            posix.fstat(fd)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)  # the lowest free number: FD
            posix.set_inheritable(fd, True)


def _command(name: str) -> Callable[[Call], int]:
    """Return the function of command NAME; only its file is imported."""
    module = f"pyrunc.cli.commands.{name}"
    __import__(module)
    return sys.modules[module].command  # type: ignore[no-any-return]


def _call(arguments: Arguments, log: Log) -> Call:
    """Return ARGUMENTS with the root directory and the LOG."""
    general = arguments.general
    default = _default_root()
    root = general.get("root", default)
    if not root:
        raise UsageError("--root is empty", hint=f"leave it out for {default}")
    if root[0] != "/":
        root = f"{posix.getcwd()}/{root}"
    if "root" not in general and (default != DEFAULT_ROOT or posix.geteuid() != 0):
        from pyrunc.cli import users

        if default == DEFAULT_ROOT and arguments.command not in STATELESS:
            users.need(root)
        elif default != DEFAULT_ROOT and arguments.command in MAKING:
            users.keep(root)
    rootless = {"true": True, "false": False}.get(general.get("rootless", ""))
    return Call(**dict(arguments.items()), root=root.rstrip("/") or "/", log=log, rootless=rootless)


def _say_found(call: Call) -> None:
    """With --debug, say what is done with which container, as far as there is one."""
    from pyrunc import __version__

    modules = "files" if "pyrunc.image" in sys.modules else "their image, if there is one"
    call.log.debug(f"pyrunc {__version__}: {call.command} {' '.join(call.positional)}; root {call.root}; modules from {modules}")
    if call.command not in MAKING and ROWS[call.command]().positional[:1] == ("ID",):
        from pyrunc.container import findings

        findings.container(call.log, call.root, call.positional[0])


def _default_root() -> str:
    """Return where state is kept if nobody says where: for an ordinary user in $XDG_RUNTIME_DIR, as with runc."""
    if posix.geteuid() == 0 and b"XDG_RUNTIME_DIR" not in posix.environ:
        return DEFAULT_ROOT
    from pyrunc.cli import users

    return users.root(DEFAULT_ROOT)


def _log(general: dict[str, Any], head: str) -> Log:
    """Return the log that was asked for; without one, warnings of HEAD and what --debug adds go to standard error."""
    path = general.get("log", "")
    form = general.get("log_format", "text")
    debugging = bool(general.get("debug"))
    fd, failure = 2 if debugging else -1, ""
    if path:
        try:
            fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC, 0o644)
        except OSError as error:
            failure = f"cannot open the log: open {path}: {(error.strerror or '').lower()}"
            if error.errno in NO_SUCH_LOG:
                raise UsageError(failure, hint="make its directory, or name another") from None
    log = Log(fd, form, debugging=debugging, person=2, head=head)
    if failure:
        log.warning(failure)
    return log


def _tell(general: dict[str, Any], command: str) -> int:
    """Answer --version and --help, or a command line without a command."""
    if general.get("version"):
        from pyrunc.cli import version

        return write(version.text())
    from pyrunc.cli import help as help_

    return write(help_.text(command))


def _fail(name: str, message: str, log: Log, status: int = FAILED, *, parsed: bool = True) -> int:
    """Tell about a failure, in the log and on standard error; return the exit status, which is STATUS for run.

    For `exec` it is another, unless its arguments could not be PARSED.
    """
    text = f"pyrunc {name} failed: {message}" if name else f"pyrunc: {message}"
    text = text.translate(SHOWN)
    log.error(text)
    try:
        if log.fd != 2:
            write(text + "\n", 2)
    except OSError:
        pass  # nowhere left to say it: the status has to do
    if name == "exec" and parsed:
        return EXEC_FAILED
    return status if status == NO_COMMAND or name == "run" else FAILED


def _told(error: OSError | ImportError) -> str:
    """Return ERROR, which nobody has put in words, in words; even if there is no descriptor left to load these from."""
    if isinstance(error, OSError) and error.errno in (EMFILE, ENFILE):
        what = f"open {error.filename}: " if error.filename else ""
        return f"{what}{(error.strerror or '').lower()} (raise ulimit -n of this process)"
    try:
        from pyrunc.cli import mishap

        return mishap.unloaded(error) if isinstance(error, ImportError) else mishap.told(error)
    except (OSError, ImportError):
        return f"{(getattr(error, 'strerror', '') or str(error)).lower()} (raise ulimit -n of this process)"


def _trace(log: Log) -> None:
    """With --debug, put the traceback of the exception being handled into the log."""
    if log.debugging:
        import traceback

        log.debug(traceback.format_exc())
