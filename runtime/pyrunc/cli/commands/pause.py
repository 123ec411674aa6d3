"""pyrunc pause."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.verbs.pause import pause


def command(call: Call) -> int:
    """Suspend the container."""
    pause(call.root, call.positional[0])
    return 0
