"""pyrunc install: rare, so it may load what it likes; no other command loads it."""

from __future__ import annotations

import os
import sys

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.errors import UsageError
from pyrunc.install import engines
from pyrunc.install.edit import Wanted, apply, diff

NAME = "pyrunc"


def command(call: Call) -> int:
    """Show the change, make it, and say what to do next; --dry-run ends after the first."""
    options = call.options
    engine = engines.engine(call.positional[0])
    removing, dry = bool(options.get("remove")), bool(options.get("dry_run"))
    if removing and options.get("default"):
        raise UsageError("--remove takes --default back too", hint="leave --default out")
    destdir = options.get("destdir", "").rstrip("/")
    wanted = Wanted(options.get("name", NAME), _program(options), bool(options.get("default")), destdir)
    engines.check(wanted)
    edit = (engine.remove if removing else engine.add)(wanted)
    if not edit.changes:
        known = f'{engine.title} does not know "{wanted.name}"' if removing else f'{engine.title} knows "{wanted.name}" already'
        return write(f"{known}: nothing to do\n")
    write(diff(edit))
    if dry:
        return write("\nNothing was written: leave --dry-run out for that.\n")
    try:
        apply(edit, destdir)
    except PermissionError as error:
        raise UsageError(f"cannot write {error.filename}: permission denied", hint="run it as root, or with --dry-run") from None
    return write(_after(engine, wanted, removing=removing))


def _program(options: dict[str, str]) -> str:
    """Return what to register: --path, or this program as it was called.

    A symbolic link such as /usr/local/bin/pyrunc stays: where it leads to may change with the next version.
    """
    path = options.get("path") or _called()
    if not options.get("destdir") and not os.access(path, os.X_OK):
        raise UsageError(f"{path} is not a program", hint="name the program to register by --path")
    return path


def _called() -> str:
    """Return the path that this program was called by; the native one says it to the script (native/start.c)."""
    return os.path.abspath(str(sys._xoptions.get("program", sys.argv[0])))


def _after(engine: engines.Engine, wanted: Wanted, *, removing: bool) -> str:
    """Return what there is to know now."""
    name = next(name for name, each in engines.ENGINES.items() if each is engine)
    if removing:
        done = f'"{wanted.name}" is removed from {engine.title}'
    else:
        done = f'{engine.title} knows "{wanted.name}" as {wanted.path}' + (", its default" if wanted.default else "")
    again = "" if wanted.name == NAME else f" --name {wanted.name}"
    again += f" --path {wanted.path}" if wanted.path != _called() else ""
    again += f" --destdir {wanted.destdir}" if wanted.destdir else ""
    rows = [("done", done), ("next", (removing and engine.forget) or engine.restart)]
    if not removing:
        rows.append(("try it", engine.attempt.format(name=wanted.name)))
        rows.append(("take back", f"pyrunc install {name}{again} --remove"))
        rows += [("note", note) for note in engine.notes(wanted)]
        if not wanted.destdir and not engines.installed(engine):
            rows.append(("note", f"{engine.title} is not installed here: {engine.program} is not on $PATH"))
    return "\n" + "".join(f"{title + ':':<11}{text}\n" for title, text in rows)
