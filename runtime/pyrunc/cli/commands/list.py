"""pyrunc list."""

from __future__ import annotations

import sys

from pyrunc.cli.main import Call
from pyrunc.container.listing import listing
from pyrunc.jsonio import dumps

COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")
WIDTH, PADDING = 12, 1  # runc's: a column is this wide at least, and leaves this much room


def command(call: Call) -> int:
    """Print the containers."""
    rows = listing(call.root, call.log)
    if call.options.get("quiet"):
        sys.stdout.write("".join(f"{row['id']}\n" for row in rows))
    elif call.options.get("format") == "json":
        sys.stdout.write((dumps(rows) if rows else "null") + "\n")
    else:
        sys.stdout.write(table(rows))
    sys.stdout.flush()
    return 0


def table(rows: list[dict[str, object]]) -> str:
    """Return ROWS as a table with a header."""
    cells = [[column.upper() for column in COLUMNS]]
    cells += [[str(row[column]) for column in COLUMNS] for row in rows]
    widths = [max(WIDTH, *(len(line[i]) + PADDING for line in cells)) for i in range(len(COLUMNS))]
    lines = ("".join(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)) + line[-1] for line in cells)
    return "".join(f"{line}\n" for line in lines)
