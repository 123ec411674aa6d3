"""The fast parser: walks the table once.  Anything unusual is a UsageError, which help.py explains."""

from __future__ import annotations

from pyrunc.cli.table import GLOBAL, HELP, PS_OPTION, ROWS, Command, Option
from pyrunc.errors import UsageError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NO_COMMAND = 3
TRUE, FALSE = ("true", "1", "t", "T", "TRUE", "True"), ("false", "0", "f", "F", "FALSE", "False")


class Arguments(Record):
    """A command line, taken apart: option values by their keys."""

    command: str
    general: dict[str, Any]
    options: dict[str, Any]
    positional: tuple[str, ...]
    rest: tuple[str, ...] = ()


def parse_general(argv: list[str]) -> tuple[dict[str, Any], int]:
    """Return the general options that ARGV begins with, and the place of the command after them.

    Raises UsageError with what to write instead.
    """
    general: dict[str, Any] = {}
    return general, _options(argv, 0, _by_name(GLOBAL), general)


def parse_command(argv: list[str], place: int, general: dict[str, Any]) -> Arguments:
    """Take apart what stands in ARGV from PLACE on: a command, its options and arguments.

    `help` among the general options of the result says that help was asked for,
    or that there is no command.  Raises UsageError with what to write instead.
    """
    name, *after = argv[place:] or ["help"]
    if name in ("help", "h"):
        return _help(after[0] if after else "", general)
    if name not in ROWS:
        raise unknown(name)
    command = ROWS[name]()
    values: dict[str, Any] = {}
    positional, rest = _arguments(command, argv, place + 1, values)
    if values.get("help"):
        return _help(name, general)
    least, most = len(command.positional) - command.optional, len(command.positional)
    if not least <= len(positional) <= most:
        wanted = " ".join(command.positional) or "no arguments"
        found = f"{len(positional)} were given"
        raise UsageError(f"pyrunc {name} takes {wanted}: {found}", hint=f"pyrunc {name} --help")
    return Arguments(name, general, values, positional, rest)


def unknown(name: str) -> UsageError:
    """Return the error for a command NAME that there is not: in runc's words, and with its status."""
    from pyrunc.words import suggestion

    hint = suggestion(name, ROWS, "pyrunc --help lists the commands")
    error = UsageError(f"No help topic for '{name}': unknown command", hint=hint)
    error.status = NO_COMMAND
    return error


def _help(name: str, general: dict[str, Any]) -> Arguments:
    """Return a command line that asks for help about NAME."""
    return Arguments(name, {**general, "help": True}, {}, ())


def _by_name(options: tuple[Option, ...]) -> dict[str, Option]:
    """Return OPTIONS by each of their names."""
    return {name: option for option in options for name in option.names}


def _arguments(
    command: Command, argv: list[str], place: int, values: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read what follows the name of COMMAND: options into VALUES; return its arguments, and the rest after them.

    Options may stand between the arguments, up to `--`.
    """
    known = _by_name((*command.options, HELP))
    positional: list[str] = []
    ended = False
    while True:
        full = bool(command.rest) and len(positional) == len(command.positional)
        if not ended and not (full and command.rest == PS_OPTION):
            place = _options(argv, place, known, values)
            ended = argv[place - 1] == "--" and place > 0
        if full:
            if not ended and argv[place : place + 1] == ["--"]:
                place += 1
            return tuple(positional), tuple(argv[place:])
        if place == len(argv):
            return tuple(positional), ()
        positional.append(argv[place])
        place += 1


def _options(argv: list[str], place: int, known: dict[str, Option], values: dict[str, Any]) -> int:
    """Read options from PLACE on into VALUES; return where they end."""
    while place < len(argv):
        word = argv[place]
        if word == "--":
            return place + 1
        if word[:1] != "-" or word == "-":
            return place
        name, equals, value = word.lstrip("-").partition("=")
        option = known.get(name)
        if option is None or word.startswith("---"):
            raise UsageError(f"unknown option {word.partition('=')[0]}", hint=_like(word, known))
        place += 1
        if not option.metavar:
            values[option.key] = _truth(word, value) if equals else True
            continue
        if not equals:
            if place == len(argv):
                raise UsageError(f"option {word} needs a value", hint=f"write {word} {option.metavar}")
            value = argv[place]
            place += 1
        _keep(option, word, value, values)
    return place


def _like(word: str, known: dict[str, Option]) -> str:
    """Return which of the options KNOWN the WORD is likely to stand for, or how to see them."""
    from pyrunc.words import nearest

    name = word.partition("=")[0].removeprefix("--")
    near = nearest(name, (each for each in known if len(each) > 1)) if name[:1] != "-" else ""
    return f"did you mean --{near}?" if near else "--help lists the options"


def _truth(word: str, value: str) -> bool:
    """Return the value of a flag that was given one."""
    if value in TRUE or value in FALSE:
        return value in TRUE
    raise UsageError(f'{word}: "{value}" is neither true nor false', hint="write true or false, or nothing")


def _keep(option: Option, word: str, value: str, values: dict[str, Any]) -> None:
    """Check VALUE and keep it; a later one replaces an earlier one, unless OPTION collects them."""
    name = word.partition("=")[0]
    if option.choices and value not in option.choices:
        from pyrunc.words import suggestion

        hint = suggestion(value, option.choices, "one of " + ", ".join(option.choices))
        raise UsageError(f'invalid value "{value}" for {name}', hint=hint)
    if option.number and not (value.isascii() and value.isdigit() and len(value) < 11):
        raise UsageError(f'invalid value "{value}" for {name}', hint="a number")
    kept = int(value) if option.number else value
    if option.repeat:
        values.setdefault(option.key, []).append(kept)
    else:
        values[option.key] = kept
