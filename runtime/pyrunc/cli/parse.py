"""The fast parser: walks the table once.  Anything unusual is a UsageError, which help.py explains."""

from __future__ import annotations

from pyrunc.cli.table import BY_NAME, GLOBAL, Command, Option
from pyrunc.errors import UsageError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRUE, FALSE = ("true", "1", "t", "T", "TRUE", "True"), ("false", "0", "f", "F", "FALSE", "False")


class Arguments(Record):
    """A command line, taken apart: option values by their keys."""

    command: str
    general: dict[str, Any]
    options: dict[str, Any]
    positional: tuple[str, ...]
    rest: tuple[str, ...] = ()


def parse(argv: list[str]) -> Arguments:
    """Take ARGV apart.  Raises UsageError with what to write instead."""
    general: dict[str, Any] = {}
    place = _options(argv, 0, {name: o for o in GLOBAL for name in o.names}, general)
    if general.get("version") or general.get("help") or place == len(argv):
        return Arguments("", general, {}, ())
    name = argv[place]
    if name == "help":
        return Arguments(argv[place + 1] if place + 1 < len(argv) else "", {**general, "help": True}, {}, ())
    command = BY_NAME.get(name)
    if command is None:
        raise UsageError(f'unknown command "{name}"', hint="pyrunc --help lists the commands")
    return _command(command, argv, place + 1, general)


def _command(command: Command, argv: list[str], place: int, general: dict[str, Any]) -> Arguments:
    """Take apart what follows the name of COMMAND."""
    known = {name: option for option in command.options for name in option.names}
    known["help"] = known["h"] = GLOBAL[-1]
    values: dict[str, Any] = {}
    positional: list[str] = []
    ended = False
    while place < len(argv):
        if not ended:
            place = _options(argv, place, known, values)
            ended = place > 0 and argv[place - 1] == "--"
            if place == len(argv):
                break
        positional.append(argv[place])
        place += 1
        if command.rest and len(positional) == len(command.positional):
            break
    rest = _rest(command, argv, place, known, values)
    if values.get("help"):
        return Arguments(command.name, {**general, "help": True}, {}, ())
    least, most = len(command.positional) - command.optional, len(command.positional)
    if not least <= len(positional) <= most:
        wanted = " ".join(command.positional) or "no arguments"
        found = f"{len(positional)} were given"
        raise UsageError(f"pyrunc {command.name} takes {wanted}: {found}", hint=f"pyrunc {command.name} --help")
    return Arguments(command.name, general, values, tuple(positional), rest)


def _rest(
    command: Command, argv: list[str], place: int, known: dict[str, Option], values: dict[str, Any]
) -> tuple[str, ...]:
    """Return what belongs to the command to run; options of ours may stand between it and the id."""
    if command.rest == "COMMAND":
        place = _options(argv, place, known, values)
    elif argv[place : place + 1] == ["--"]:
        place += 1
    return tuple(argv[place:]) if command.rest else ()


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
            raise UsageError(f"unknown option {word.partition('=')[0]}", hint="--help lists the options")
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


def _truth(word: str, value: str) -> bool:
    """Return the value of a flag that was given one."""
    if value in TRUE or value in FALSE:
        return value in TRUE
    raise UsageError(f'{word}: "{value}" is neither true nor false')


def _keep(option: Option, word: str, value: str, values: dict[str, Any]) -> None:
    """Check VALUE and keep it; a later one replaces an earlier one, unless OPTION collects them."""
    name = word.partition("=")[0]
    if option.choices and value not in option.choices:
        raise UsageError(f'invalid value "{value}" for {name}', hint="one of " + ", ".join(option.choices))
    if option.number and not (value.isascii() and value.isdigit() and len(value) < 11):
        raise UsageError(f'invalid value "{value}" for {name}', hint="a number")
    kept = int(value) if option.number else value
    if option.repeat:
        values.setdefault(option.key, []).append(kept)
    else:
        values[option.key] = kept
