"""pyrunc state."""

from __future__ import annotations

import posix

from pyrunc.cli.main import Call
from pyrunc.container.state import state
from pyrunc.jsonio import dumps


def command(call: Call) -> int:
    """Print the state."""
    posix.write(1, dumps(state(call.root, call.positional[0]), 2).encode() + b"\n")
    return 0
