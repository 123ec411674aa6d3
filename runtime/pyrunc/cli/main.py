"""From argv to an exit status: parse, find the command's file, run it, tell what went wrong in one line."""

from __future__ import annotations

import posix
import sys

from pyrunc.cli.parse import Arguments, parse
from pyrunc.errors import PyruncError, UnsupportedError, UsageError
from pyrunc.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_ROOT = "/run/pyrunc"
EXEC_FAILED = 255  # runc's: a status of 1 would be taken for the program's own
INTERRUPTED = 130


class Call(Arguments):
    """Arguments, with what every command needs: the root directory and the log."""

    root: str = DEFAULT_ROOT
    log: Log = Log()


def main(argv: list[str]) -> int:
    """Run command line ARGV, without the program's name, and return the exit status."""
    name, log = "", Log()
    try:
        arguments = parse(argv)
        name = arguments.command
        if not name or "help" in arguments.general:
            return _general(arguments)
        log = _log(arguments.general)
        return _command(name)(_call(arguments, log))
    except PyruncError as error:
        return _fail(name, str(error), log, getattr(error, "errno", 0))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        _trace(log)
        return _fail(name, f"{(error.strerror or str(error)).lower()}{place}", log, error.errno or 0)
    except Exception as error:  # noqa: BLE001 - a traceback is no message
        _trace(log)
        return _fail(name, f"internal error: {type(error).__name__}: {error} ({_where(error)})", log, 0)


def _command(name: str) -> Callable[[Call], int]:
    """Return the function of command NAME; only its file is imported."""
    module = f"pyrunc.cli.commands.{name}"
    __import__(module)
    return sys.modules[module].command  # type: ignore[no-any-return]


def _call(arguments: Arguments, log: Log) -> Call:
    """Return ARGUMENTS with the root directory and the LOG."""
    root = arguments.general.get("root", DEFAULT_ROOT)
    if not root:
        raise UsageError("--root is empty", hint=f"leave it out for {DEFAULT_ROOT}")
    if root[0] != "/":
        root = f"{posix.getcwd()}/{root}"
    if arguments.general.get("systemd_cgroup") and arguments.command in ("create", "run"):
        raise UnsupportedError("--systemd-cgroup is not supported yet", hint="leave it out: cgroupfs is used")
    if arguments.general.get("rootless") == "true" and arguments.command in ("create", "run", "exec"):
        raise UnsupportedError("--rootless true is not supported yet", hint="run pyrunc as root")
    return Call(**dict(arguments.items()), root=root.rstrip("/") or "/", log=log)


def _log(general: dict[str, str]) -> Log:
    """Open the log that was asked for."""
    path = general.get("log", "")
    form = general.get("log_format", "text")
    debugging = bool(general.get("debug"))
    if not path:
        return Log(2 if debugging else -1, form, debugging)
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"cannot open the log: open {path}: {(error.strerror or '').lower()}") from None
    return Log(fd, form, debugging)


def _general(arguments: Arguments) -> int:
    """Answer --help and --version, or a command line without a command."""
    from pyrunc.cli import help as help_

    if arguments.general.get("version"):
        sys.stdout.write(help_.version())
    else:
        sys.stdout.write(help_.text(arguments.command))
    sys.stdout.flush()
    return 0


def _fail(name: str, message: str, log: Log, errno: int) -> int:
    """Tell about a failure, in the log and on standard error; return the exit status."""
    tried = f"pyrunc {name} failed" if name else "pyrunc"
    text = f"{tried}: {message}"
    log.error(text)
    if log.fd != 2:
        posix.write(2, text.encode("utf-8", "replace") + b"\n")
    return EXEC_FAILED if name == "exec" else 1


def _where(error: Exception) -> str:
    """Return file and line that raised ERROR: what a traceback would end with."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "nowhere"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}; please report it"


def _trace(log: Log) -> None:
    """With --debug, put the traceback into the log."""
    if log.debugging:
        import traceback

        log.debug(traceback.format_exc())
