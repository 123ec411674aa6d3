"""pyrunc state."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.state import state
from pyrunc.jsonio import dumps


def command(call: Call) -> int:
    """Print the state."""
    return write(dumps(state(call.root, call.positional[0]), 2) + "\n")
