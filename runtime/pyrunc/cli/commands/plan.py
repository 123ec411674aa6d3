"""pyrunc plan."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.planning import plan
from pyrunc.jsonio import dumps
from pyrunc.plan import text


def command(call: Call) -> int:
    """Print the plan of a bundle, or how it would be taken back."""
    made = plan(call.positional[0] if call.positional else "")
    if call.options.get("undo"):
        from pyrunc.run import undo

        rows = undo.shown(made)
        if call.options.get("json"):
            return write(dumps([{"call": op.call, "text": text.call(op), "undo": says} for op, says in rows], 2) + "\n")
        return write("".join(f"{text.brief(op)}\n    {says}\n" for op, says in rows))
    return write(dumps(text.document(made), 2) + "\n" if call.options.get("json") else text.render(made))
