"""Where an ordinary user's containers have their state: $XDG_RUNTIME_DIR, as with runc (XDG Base Directory Specification)."""

from __future__ import annotations

import posix

from pyrunc.cli.systemd import variable
from pyrunc.errors import UsageError
from pyrunc.host import facts

NAME = "pyrunc"
KEPT = 0o1700  # the sticky bit keeps what tidies that directory up away


def root(default: str) -> str:
    """Return the directory for state: in $XDG_RUNTIME_DIR for who is not the machine's root, else DEFAULT.

    Root of a user namespace whose $USER is root has it in DEFAULT too.
    """
    runtime = variable("XDG_RUNTIME_DIR")
    if not runtime:
        return default
    if posix.geteuid() == 0 and (not facts.nested() or variable("USER") == "root"):
        return default
    return f"{runtime}/{NAME}"


def keep(directory: str) -> None:
    """Make DIRECTORY, and keep it from being tidied up."""
    try:
        posix.mkdir(directory, KEPT)
    except FileExistsError:
        pass
    posix.chmod(directory, KEPT)


def need(directory: str) -> None:
    """Raise UsageError if DIRECTORY, which is root's by default, has not been made for this user: $XDG_RUNTIME_DIR is missing."""
    user = posix.geteuid()
    try:
        if posix.stat(directory).st_uid == user:
            return
    except OSError:  # not there, and not for us to make
        pass
    hint = f"set it to a directory of your own, usually /run/user/{user}, which a login makes; or name one by --root"
    raise UsageError("XDG_RUNTIME_DIR is not set, so there is no directory for the state of your containers", hint=hint)
