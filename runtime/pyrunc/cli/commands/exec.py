"""pyrunc exec."""

from __future__ import annotations

from pyrunc.cli import systemd
from pyrunc.cli.interrupts import undo_when_ended
from pyrunc.cli.main import Call
from pyrunc.container.options import ExecOptions
from pyrunc.container.verbs.exec import exec_


def command(call: Call) -> int:
    """Run the process and return its status."""
    undo_when_ended()
    options = dict(call.options)
    caps = options.pop("cap", ())
    options |= systemd.sockets()
    asked = ExecOptions(id=call.positional[0], root=call.root, args=call.rest, caps=caps, log=call.log, **options)
    return exec_(asked)
