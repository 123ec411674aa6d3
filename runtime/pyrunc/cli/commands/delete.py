"""pyrunc delete."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.verbs.delete import delete


def command(call: Call) -> int:
    """Delete the container."""
    delete(call.root, call.positional[0], force=bool(call.options.get("force")), log=call.log)
    return 0
