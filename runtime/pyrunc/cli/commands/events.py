"""pyrunc events."""

from __future__ import annotations

from pyrunc.cli import sizes
from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs import events
from pyrunc.jsonio import dumps

INTERVAL = "5s"  # runc's


def command(call: Call) -> int:
    """Print events, one JSON document a line, until the container ends or nobody reads any more."""
    interval = sizes.seconds(call.options.get("interval", INTERVAL), "--interval")
    name = call.positional[0]
    if call.options.get("stats"):
        return write(dumps(events.usage(call.root, name)) + "\n")
    for event in events.follow(call.root, name, interval):
        if status := write(dumps(event) + "\n"):
            return status
    return 0
