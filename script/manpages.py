#!/usr/bin/env python3
"""Write the manual pages, made of the table of commands (cli/table.py): pyrunc(8), and one for each command.

manpages.py DIRECTORY       writes pyrunc.8, pyrunc-create.8 and the others
"""

from __future__ import annotations

import sys
import textwrap
from email.utils import parsedate_to_datetime
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "runtime"))

from pyrunc import __version__  # noqa: E402
from pyrunc.cli.table import GLOBAL, HELP, Command, Option, commands  # noqa: E402

WIDTH = 70  # roff(7) wants lines below 80; a dash takes two characters there
ABOUT = """pyrunc makes containers. It takes a bundle, which is a directory with a config.json and a root file system, and
does what the OCI runtime specification says about it. Its commands and options are those of runc(8)."""
SOCKETS = "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES"
ENVIRONMENT = {
    "XDG_RUNTIME_DIR": "The directory below which an ordinary user's containers have their state.",
    SOCKETS: "Sockets of systemd, which create, run and exec hand on to the container (sd_listen_fds(3)).",
    "NOTIFY_SOCKET": "Where run and start say that the container is ready (sd_notify(3)).",
    "DBUS_SESSION_BUS_ADDRESS": "The bus of a user's own systemd, for --systemd-cgroup.",
    "PATH": "Where newuidmap(1), newgidmap(1) and criu(8) are looked for.",
}
FILES = {
    "/run/pyrunc": "The state of root's containers, a directory for each. --root names another.",
    "$XDG_RUNTIME_DIR/pyrunc": "The same for an ordinary user.",
    "config.json": "The configuration of a bundle.",
}
STATUS = {
    "": [("0", "It is done."), ("1", "It failed; standard error says why."), ("3", "There is no command of this name.")],
    "run": [("N", "The container's program ended with N."), ("1", "It failed; standard error says why."),
            ("128 + N", "Signal N ended the container's program.")],
    "exec": [("N", "The process ended with N."), ("128 + N", "Signal N ended the process."),
             ("255", "It failed before the process ran; standard error says why.")],
    "check": [("0", "Nothing is wrong with the bundle."), ("1", "This host lacks something that it needs."),
              ("2", "The configuration is invalid.")],
}  # fmt: skip
STATUS["restore"] = STATUS["run"]


def date() -> str:
    """Return the date of this version: that of debian/changelog."""
    last = next(line for line in (TOP / "debian/changelog").read_text().splitlines() if line.startswith(" -- "))
    return parsedate_to_datetime(last.partition(">  ")[2]).strftime("%Y-%m-%d")


def text(words: str) -> str:
    """Return WORDS as roff(7) has them."""
    words = textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)
    words = words.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(("\\&" if line[:1] in (".", "'") else "") + line for line in words.splitlines())


def bold(words: str) -> str:
    """Return WORDS in bold."""
    return f"\\fB{text(words)}\\fP"


def slanted(words: str) -> str:
    """Return WORDS as something to be replaced."""
    return f"\\fI{text(words)}\\fP"


def item(head: str, words: str) -> str:
    """Return a paragraph of WORDS with HEAD before it, which is roff already."""
    return f".TP\n{head}\n{text(words)}\n"


def sentence(words: str) -> str:
    """Return WORDS as a sentence."""
    return words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


def option(row: Option) -> str:
    """Return the paragraph of option ROW."""
    names = [("--" if len(name) > 1 else "-") + name for name in row.names]
    head = ", ".join(bold(name) + (f" {slanted(row.metavar)}" if row.metavar else "") for name in names)
    more = (f" One of {', '.join(row.choices)}." if row.choices else "") + (" May be given more than once." if row.repeat else "")
    return item(head, sentence(row.help) + more)


def arguments(row: Command) -> str:
    """Return the synopsis of what follows the options of command ROW."""
    required = len(row.positional) - row.optional
    shown = [slanted(name) if place < required else f"[{slanted(name)}]" for place, name in enumerate(row.positional)]
    return " ".join([*shown, *([f"[{slanted(row.rest)} ...]"] if row.rest else [])])


def head(name: str, about: str) -> str:
    """Return the beginning of page NAME."""
    title = f'.TH {name.upper()} 8 {date()} "pyrunc {__version__}" "pyrunc"'
    named = text(f"{name} - {about}")
    return f".\\\" Written by script/manpages.py.\n{title}\n.SH NAME\n{named}\n"


def status(name: str) -> str:
    """Return the section about exit statuses for command NAME."""
    rows = STATUS[name] if name in STATUS else STATUS[""][:2]
    return ".SH EXIT STATUS\n" + "".join(item(bold(number), words) for number, words in rows)


def see_also(*pages: str) -> str:
    """Return the section that names PAGES."""
    names = [text(page.partition("(")[0]) for page in pages]
    return ".SH SEE ALSO\n" + "".join(f".BR {name} (8),\n" for name in names[:-1]) + f".BR {names[-1]} (8)\n"


def page(row: Command) -> str:
    """Return the page of command ROW."""
    name = f"pyrunc-{row.name}"
    synopsis = f"{bold('pyrunc')} [{slanted('GLOBAL OPTIONS')}] {bold(row.name)} [{slanted('OPTIONS')}] {arguments(row)}".rstrip()
    parts = [head(name, row.help), f".SH SYNOPSIS\n{synopsis}\n", f".SH DESCRIPTION\n{text(sentence(row.help))}\n"]
    parts += [".SH OPTIONS\n", *map(option, (*row.options, HELP))]
    parts += [".PP\nGlobal options stand before the command; see\n.BR pyrunc (8).\n", status(row.name)]
    if row.example:
        parts.append(f".SH EXAMPLE\n.nf\n{text(row.example)}\n.fi\n")
    return "".join([*parts, see_also("pyrunc(8)")])


def main_page(rows: tuple[Command, ...]) -> str:
    """Return the page of pyrunc with commands ROWS."""
    words = (f"[{slanted('GLOBAL OPTIONS')}]", slanted("COMMAND"), f"[{slanted('OPTIONS')}]", f"[{slanted('ARGUMENTS')}]")
    synopsis = " ".join((bold("pyrunc"), *words))
    parts = [head("pyrunc", "OCI runtime for Linux"), f".SH SYNOPSIS\n{synopsis}\n", f".SH DESCRIPTION\n{text(ABOUT)}\n"]
    parts.append(".SH COMMANDS\n" + "".join(item(bold(each.name), sentence(each.help)) for each in rows))
    parts.append(".SH GLOBAL OPTIONS\n" + "".join(map(option, GLOBAL)))
    parts.append(status(""))
    parts.append(".SH ENVIRONMENT\n" + "".join(item(bold(name), words) for name, words in ENVIRONMENT.items()))
    parts.append(".SH FILES\n" + "".join(item(slanted(name), words) for name, words in FILES.items()))
    return "".join([*parts, see_also(*(f"pyrunc-{name}(8)" for name in sorted(each.name for each in rows)))])


def write(directory: Path) -> list[Path]:
    """Write all pages to DIRECTORY, and return them."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = commands()
    pages = {"pyrunc": main_page(rows), **{f"pyrunc-{row.name}": page(row) for row in rows}}
    for name, content in pages.items():
        (directory / f"{name}.8").write_text(content)
    return [directory / f"{name}.8" for name in pages]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
