"""pyrunc exec."""

from __future__ import annotations

from pyrunc.cli import systemd
from pyrunc.cli.interrupts import undo_when_ended
from pyrunc.cli.main import Call
from pyrunc.container.options import ExecOptions
from pyrunc.container.verbs.exec import exec_
from pyrunc.errors import PyruncError

# Places in the process that options make, and which.
OPTIONS = {"/cwd": "cwd", "/apparmorProfile": "apparmor", "/selinuxLabel": "process_label"}
IN_CONFIG = "set in config.json"  # runc's words, wherever it is set


def command(call: Call) -> int:
    """Run the process and return its status."""
    undo_when_ended()
    options = dict(call.options)
    caps = options.pop("cap", ())
    options |= systemd.sockets()
    asked = ExecOptions(id=call.positional[0], root=call.root, args=call.rest, caps=caps, log=call.log, **options)
    try:
        return exec_(asked)
    except PyruncError as error:
        _name_source(error, options)
        raise


def _name_source(error: PyruncError, options: dict[str, object]) -> None:
    """Let ERROR name the one of OPTIONS that has asked for what failed, where it is not config.json that has."""
    option = OPTIONS.get(error.pointer, "")
    if process := options.get("process"):
        error.message = error.message.replace(IN_CONFIG, f"set in {process}")
    elif option and options.get(option):
        error.pointer = "--" + option.replace("_", "-")
        error.message = error.message.replace(IN_CONFIG, f"given by {error.pointer}")
