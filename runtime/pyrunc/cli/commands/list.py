"""pyrunc list."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.listing import listing
from pyrunc.jsonio import dumps

COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")
WIDTH, PADDING = 12, 3  # runc's: a column is at least this wide, and leaves this much room


def command(call: Call) -> int:
    """Print the containers."""
    rows = listing(call.root, call.log, must_exist="root" in call.general)
    if call.options.get("quiet"):
        return write("".join(f"{row['id']}\n" for row in rows))
    if call.options.get("format") == "json":
        return write((dumps(rows) if rows else "null") + "\n")  # null: what Go makes of no rows
    return write(table(rows))


def table(rows: list[dict[str, object]]) -> str:
    """Return ROWS as a table with a header."""
    return aligned(COLUMNS, [[str(row[column]) for column in COLUMNS] for row in rows])


def aligned(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """Return ROWS of words below a header of COLUMNS."""
    cells = [[column.upper() for column in columns], *rows]
    widths = [max(WIDTH, *(len(line[i]) + PADDING for line in cells)) for i in range(len(columns) - 1)]
    lines = ("".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)) + line[-1] for line in cells)
    return "".join(f"{line}\n" for line in lines)
