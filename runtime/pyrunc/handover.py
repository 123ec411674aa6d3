"""Start the same command line again as a Python script, where the native program lacks a module.

The native program (native/) is one command's good case.  Whatever wants a
library starts the same command line again as a script, which has them all.
That is possible as long as nothing has been done, said or consumed: `begin`
says when that ends.  What is one small piece of work is given to the script as
a `task`, in a process of its own.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

NATIVE = "_pyrunc" in sys.builtin_module_names
_begun = not NATIVE
_held: list[Callable[[], None]] = []
_otherwise: Callable[[], NoReturn] | None = None


def begin() -> None:
    """Say that from here on the command changes things, and cannot be started again; do what was held back until now."""
    global _begun
    _begun = True
    while _held:
        _held.pop(0)()


def hold(say: Callable[[], None]) -> None:
    """Do SAY, which tells somebody something, once it is certain that no script will do it again."""
    if _begun:
        say()
    else:
        _held.append(say)


def otherwise(start: Callable[[], NoReturn]) -> None:
    """Let START be what starts the script, for what no command line has asked for: a call of the library."""
    global _otherwise
    _otherwise = start


def to_script(name: str) -> NoReturn:
    """Start the command again as a script, for the sake of module NAME.

    Raises ImportError if that is too late, OSError if there is no script.
    """
    if _begun:
        raise ImportError(f"no module {name} in the native program", name=name)
    if _otherwise is not None:
        _otherwise()
    import _pyrunc

    _pyrunc.start_script()
    raise AssertionError("execve returned")


def need_script() -> None:
    """Go over to the script, if this is the native program: what comes next wants libraries."""
    if NATIVE:
        to_script("")


def task(name: str) -> tuple[str, ...]:
    """Return the command line by which the script does task NAME for the native program, and nothing else.

    The task is an option of the interpreter's, before the script: no word of a command line of ours can ask for it.
    boot.py knows the tasks.  Raises OSError if there is no script.
    """
    import _pyrunc

    interpreter, script = _pyrunc.script()
    return interpreter, "-ISXutf8", "-X", f"task={name}", script
