"""Help: the slow path of the command line, where argparse may be imported."""

from __future__ import annotations

import argparse

from pyrunc.cli.parse import unknown
from pyrunc.cli.table import GLOBAL, HELP, ROWS, Command, Option, commands

NAME = "NAME:\n   pyrunc {}- {}\n\n"  # first, as with runc: scripts look for it
ABOUT = "An OCI runtime for Linux: containers from bundles, as runc runs them, in Python."


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    """Add OPTION to PARSER."""
    flags = [("--" if len(name) > 1 else "-") + name for name in option.names]
    if option.metavar:
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        action = "append" if option.repeat else "store"
        parser.add_argument(*flags, metavar=option.metavar, help=option.help + choices, action=action)
    else:
        parser.add_argument(*flags, help=option.help, action="store_true")


def parser(command: Command) -> argparse.ArgumentParser:
    """Return argparse's idea of COMMAND."""
    names = list(command.positional)
    shown = [f"[{n}]" if i >= len(names) - command.optional else n for i, n in enumerate(names)]
    rest = [f"[{command.rest}...]"] if command.rest else []
    made = argparse.ArgumentParser(
        prog=f"pyrunc {command.name}",
        usage=" ".join(["pyrunc [GLOBAL OPTIONS]", command.name, "[OPTIONS]", *shown, *rest]),
        description=command.help[0].upper() + command.help[1:] + ".",
        epilog=f"Example: {command.example}" if command.example else None,
        add_help=False,
    )
    for option in (*command.options, HELP):
        _add(made, option)
    return made


def text(command: str = "") -> str:
    """Return the help of COMMAND, or of everything.  Raises UsageError if there is no such command."""
    if command:
        if command not in ROWS:
            raise unknown(command)
        row = ROWS[command]()
        return NAME.format(f"{command} ", row.help) + parser(row).format_help()
    rows = "\n".join(f"  {c.name:<12}{c.help}" for c in commands())
    made = argparse.ArgumentParser(
        prog="pyrunc",
        usage="pyrunc [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]",
        description=f"{ABOUT}\n\ncommands:\n{rows}",
        epilog="pyrunc COMMAND --help tells more about one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    for option in GLOBAL:
        _add(made, option)
    return NAME.format("", "Open Container Initiative runtime") + made.format_help()
