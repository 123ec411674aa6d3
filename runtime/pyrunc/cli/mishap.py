"""An error that nobody has put in words, in words: which call, on what, and what to do.  Loaded only when there is one."""

from __future__ import annotations

import errno as codes
import sys

from pyrunc import handover
from pyrunc.linux.abi import noted
from pyrunc.run import hints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

PACKAGE = __file__.rpartition("/cli/")[0]
MODULES = (".py", ".pyc", ".so")
NULL_AFTER = sys.version_info >= (3, 13)  # whether what is called is loaded before its NULL
UNLOADED = "cannot load a part of this program"


def told(error: OSError) -> str:
    """Return what failed with ERROR: a system call, by its name as far as that can be found out, and the file."""
    reason = (error.strerror or str(error)).lower()
    path = str(error.filename or "")
    if not handover.NATIVE and (path.startswith(PACKAGE) or path.endswith(MODULES)):  # the dump loads nothing
        text, call = UNLOADED, ""
    else:
        call = noted(error).removesuffix("(2)") or _call(error)
        text = " ".join(part for part in (call, path) if part)
        if error.filename2:
            text += f" {error.filename2}"
    hint = hints.hint(call, error.errno or 0)
    return f"{text}: {reason}" + (f" ({hint})" if hint else "") if text else reason + (f" ({hint})" if hint else "")


def unloaded(error: ImportError) -> str:
    """Return what could not be loaded, by ERROR; a library says why itself (dlopen(3))."""
    reason = str(error)
    hint = hints.EVERYWHERE[codes.EMFILE] if "oo many open files" in reason else "is the installation whole?"
    return f"{UNLOADED}: {reason} ({hint})"


def _call(error: Exception) -> str:
    """Return the name of the function, written in C, that has raised ERROR; "" if the interpreter does not tell."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return _called(trace.tb_frame.f_code, trace.tb_lasti) if trace is not None else ""


def _called(code: CodeType, at: int) -> str:
    """Return the name of what the instruction of CODE at offset AT calls, by the instructions before it."""
    try:
        from dis import get_instructions
    except (ImportError, OSError):
        return ""  # the native program has it not, and it is too late for the script, or there is none

    names: list[str] = []
    last = ""  # what the instruction before has loaded
    chained = False  # whether an attribute that is loaded now is one of what is called
    for each in get_instructions(code):
        if each.offset > at:
            break
        attribute = each.opname == "LOAD_ATTR" and "NULL" not in each.argrepr
        if attribute and chained:
            names[-1] = str(each.argval)
        elif each.opname == "LOAD_METHOD" or (each.opname.startswith("LOAD_") and "NULL" in each.argrepr):
            names.append(str(each.argval))  # what is called is loaded with NULL, or by its object
        elif each.opname in ("MAKE_FUNCTION", "PUSH_NULL"):
            names.append(last if NULL_AFTER and each.opname == "PUSH_NULL" else "")  # "": of Python's own, no system call
        elif each.opname.startswith("CALL") and each.offset < at and names:
            names.pop()
        last = str(each.argval) if each.opname.startswith("LOAD_") else ""
        chained = (each.opname.startswith("LOAD_GLOBAL") and "NULL" in each.argrepr) or (chained and attribute)
    return next((name.rpartition(".")[2] for name in reversed(names) if name), "")
