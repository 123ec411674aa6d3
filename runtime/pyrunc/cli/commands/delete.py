"""pyrunc delete."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.verbs.delete import delete


def command(call: Call) -> int:
    """Delete the container, or those that match."""

    def remove(each: str) -> None:
        """Delete container EACH."""
        delete(call.root, each, force=bool(call.options.get("force")), log=call.log)

    if call.options.get("regex"):
        from pyrunc.cli import matching

        matching.each(call.root, call.positional[0], remove, call.log)
    else:
        remove(call.positional[0])
    return 0
