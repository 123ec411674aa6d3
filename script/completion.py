#!/usr/bin/env python3
"""Write the completion for bash, zsh and fish, made of the table of commands (cli/table.py).

completion.py DIRECTORY     writes pyrunc.bash, _pyrunc and pyrunc.fish

Ids of containers are those that `pyrunc list` knows, with the --root of the command line.
"""

from __future__ import annotations

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "runtime"))

from pyrunc.cli.table import GLOBAL, HELP, Command, Option, commands  # noqa: E402
from pyrunc.install.engines import ENGINES  # noqa: E402

HERE = Path(__file__).resolve().parent / "completion"
SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH".split()
DIRECTORIES = ("DIR", "BUNDLE")
FILES = ("FILE", "SOCKET")
MAKING = ("create", "run", "restore")


def flags(option: Option) -> list[str]:
    """Return how OPTION is written."""
    return [("--" if len(name) > 1 else "-") + name for name in option.names]


def kind(option: Option) -> str:
    """Return what the value of OPTION is: `none` if it has none, words to choose from, or the name of a kind."""
    if not option.metavar:
        return "none"
    if option.choices:
        return "words " + " ".join(option.choices)
    return value(option.metavar)


def places(row: Command) -> list[str]:
    """Return the kinds of the arguments of ROW; a new container's id is not to be found anywhere."""
    return ["any" if row.name in MAKING and each == "ID" else value(each) for each in row.positional]


def value(metavar: str) -> str:
    """Return what METAVAR of the table stands for."""
    if metavar in DIRECTORIES:
        return "directory"
    if metavar in FILES:
        return "file"
    words = {"ACTION": ("add", "remove", "list"), "SIGNAL": SIGNALS, "ENGINE": ENGINES}
    if metavar in words:
        return "words " + " ".join(words[metavar])
    return "id" if metavar == "ID" else "any"


def own(row: Command) -> tuple[Option, ...]:
    """Return the options of command ROW, and --help."""
    return (*row.options, HELP)


def bash_cases(options: tuple[Option, ...]) -> str:
    """Return the branches of a shell's `case` that say which kind of value follows which of OPTIONS."""
    rows = [f"            {'|'.join(flags(each))}) kind='{kind(each)}' ;;" for each in options if each.metavar]
    return "\n".join(rows)


def bash(rows: tuple[Command, ...]) -> str:
    """Return pyrunc.bash."""
    general = " ".join(flag for each in GLOBAL for flag in flags(each))
    cases = []
    for row in rows:
        words = " ".join(flag for each in own(row) for flag in flags(each))
        kinds = "' '".join(places(row))
        inner = bash_cases(own(row))
        cases.append(
            f"    {row.name})\n        options='{words}'\n"
            + (f"        positional=('{kinds}')\n" if row.positional else "")
            + (f'        case $1 in\n{inner}\n        esac\n' if inner else "")
            + "        ;;"
        )
    template = (HERE / "pyrunc.bash").read_text()
    template = template.replace("@COMMANDS@", " ".join(row.name for row in rows)).replace("@GENERAL@", general)
    return template.replace("@GENERAL_KINDS@", bash_cases(GLOBAL)).replace("@CASES@", "\n".join(cases))


def quoted(words: str) -> str:
    """Return WORDS for a single-quoted string of zsh and fish, without what zsh would take for more."""
    return words.replace("'", "'\\''").replace("[", "(").replace("]", ")").replace(":", "\\:")


def zsh_action(kind: str) -> str:
    """Return what zsh's _arguments does for KIND."""
    name, _, words = kind.partition(" ")
    return {"words": f"({words})", "directory": "_directories", "file": "_files", "id": "_pyrunc_ids"}.get(name, " ")


def zsh_options(options: tuple[Option, ...]) -> str:
    """Return OPTIONS as _arguments has them."""
    found = []
    for each in options:
        for flag in flags(each):
            others = "*" if each.repeat else f"({' '.join(flags(each))})"
            end = f":{each.metavar.replace(':', ' ')}:{zsh_action(kind(each))}" if each.metavar else ""
            found.append(f"'{others}{flag}[{quoted(each.help)}]{end}'")
    return " \\\n            ".join(found)


def zsh(rows: tuple[Command, ...]) -> str:
    """Return _pyrunc."""
    cases = []
    for row in rows:
        numbered = enumerate(zip(row.positional, places(row), strict=True), 1)
        arguments = [f"'{number}:{name}:{zsh_action(kind)}'" for number, (name, kind) in numbered]
        words = " \\\n            ".join([zsh_options(own(row)), *arguments])
        cases.append(f"        {row.name})\n            _arguments -s \\\n            {words}\n            ;;")
    described = "\n".join(f"            '{row.name}:{quoted(row.help)}'" for row in rows)
    template = (HERE / "_pyrunc").read_text()
    template = template.replace("@DESCRIBED@", described).replace("@GENERAL@", zsh_options(GLOBAL))
    return template.replace("@CASES@", "\n".join(cases))


def fish_arguments(kind: str) -> str:
    """Return how fish's `complete` is told of KIND."""
    name, _, words = kind.partition(" ")
    return {
        "none": "",
        "words": f" -x -a '{words}'",
        "directory": " -x -a '(__fish_complete_directories)'",
        "file": " -r -F",
        "id": " -x -a '(__pyrunc_ids)'",
    }.get(name, " -x")


def plain(words: str) -> str:
    """Return WORDS for a single-quoted string of fish."""
    return words.replace("\\", "\\\\").replace("'", "\\'")


def fish_option(option: Option, condition: str) -> str:
    """Return the line for OPTION where CONDITION holds."""
    names = " ".join(("-l " if len(name) > 1 else "-s ") + name for name in option.names)
    return f"complete -c pyrunc -n '{condition}' {names}{fish_arguments(kind(option))} -d '{plain(option.help)}'"


def fish(rows: tuple[Command, ...]) -> str:
    """Return pyrunc.fish."""
    lines = [fish_option(each, "__pyrunc_needs_command") for each in GLOBAL]
    for row in rows:
        here = f"__pyrunc_command {row.name}"
        lines.append(f"complete -c pyrunc -n __pyrunc_needs_command -a {row.name} -d '{plain(row.help)}'")
        lines += [fish_option(each, here) for each in own(row)]
        for place, each in enumerate(places(row)):
            if words := fish_arguments(each):
                lines.append(f"complete -c pyrunc -n '{here}; and __pyrunc_place {place}'{words}")
    template = (HERE / "pyrunc.fish").read_text()
    options = (*GLOBAL, *(each for row in rows for each in row.options))
    with_value = " ".join(dict.fromkeys(flag for each in options if each.metavar for flag in flags(each)))
    template = template.replace("@COMMANDS@", " ".join(row.name for row in rows))
    return template.replace("@WITH_VALUE@", with_value).replace("@LINES@", "\n".join(lines))


def write(directory: Path) -> dict[str, Path]:
    """Write all three to DIRECTORY, and return them by their shells."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = commands()
    made = {"bash": ("pyrunc.bash", bash(rows)), "zsh": ("_pyrunc", zsh(rows)), "fish": ("pyrunc.fish", fish(rows))}
    for name, content in made.values():
        (directory / name).write_text(content)
    return {shell: directory / name for shell, (name, _) in made.items()}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
