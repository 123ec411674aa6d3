"""pyrunc plan."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.planning import plan
from pyrunc.jsonio import dumps
from pyrunc.plan import text


def command(call: Call) -> int:
    """Print the plan of a bundle."""
    made = plan(call.positional[0] if call.positional else "")
    return write(dumps(text.document(made), 2) + "\n" if call.options.get("json") else text.render(made))
