"""pyrunc resume."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.verbs.pause import resume


def command(call: Call) -> int:
    """Let the container go on."""
    resume(call.root, call.positional[0])
    return 0
