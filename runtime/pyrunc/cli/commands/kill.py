"""pyrunc kill."""

from __future__ import annotations

from pyrunc.cli import signals
from pyrunc.cli.main import Call
from pyrunc.container.kill import kill


def command(call: Call) -> int:
    """Send the signal."""
    container, *given = call.positional
    number = signals.number(given[0] if given else "TERM")
    kill(call.root, container, number, everything=bool(call.options.get("all")))
    return 0
