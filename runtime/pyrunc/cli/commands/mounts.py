"""pyrunc mounts."""

from __future__ import annotations

from pyrunc.cli.commands.list import aligned
from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs import mounts
from pyrunc.errors import UsageError
from pyrunc.jsonio import dumps

ACTIONS = ("add", "remove", "list")
COLUMNS = ("destination", "type", "source", "options")


def command(call: Call) -> int:
    """Add, remove or list."""
    action, container, *files = call.positional
    if action not in ACTIONS:
        from pyrunc.words import suggestion

        hint = suggestion(action, ACTIONS, "one of " + ", ".join(ACTIONS))
        raise UsageError(f'pyrunc mounts takes ACTION ID FILE, and "{action}" is no action', hint=hint)
    if len(files) != (action != "list"):
        raise UsageError(f"pyrunc mounts {action} takes {'no' if files else 'a'} FILE", hint="pyrunc mounts --help")
    if action == "add":
        mounts.add(call.root, container, files[0], call.log)
    elif action == "remove":
        mounts.remove(call.root, container, files[0], call.log)
    else:
        found = mounts.listing(call.root, container)
        if call.options.get("format") == "json":
            return write(dumps(found) + "\n")
        return write(aligned(COLUMNS, [[_shown(each.get(name, "")) for name in COLUMNS] for each in found]))
    return 0


def _shown(value: object) -> str:
    """Return VALUE as one word of a table."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
