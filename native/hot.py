"""Which objects the usual commands touch, so that these can lie together in the dump.

Not imported: native/build.py compiles it, and native/start.c runs it after program.py, in the first of two runs. In the second
the lists at the end are laid apart: what is written to once a command has forked, what until then, and what is only read.

To CPython even to look at an object is to write to it, as it counts references in the object. So what a function that is called
names is written to. NAMES in the dictionary says which are called (native/hot.txt, by script/hot), with a dash in front if
no longer once the command has forked. All this is a guess, and need not be more: an object too many costs its few bytes, and
one too few up to a page in each process. In a trace of all that `run` writes to, 98 of 100 objects had been guessed, and for
each of these one more that was not written to.
"""

from __future__ import annotations

import builtins
import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CellType, CodeType, FunctionType, ModuleType
    from typing import Any
else:  # the module `types` is not in the program
    FunctionType, CodeType, ModuleType = type(lambda: None), type((lambda: None).__code__), type(gc)
    CellType = type((lambda value: [lambda: value])(0)[0].__closure__[0])  # noqa: PLC3002

LIMIT = 100  # elements of a collection that is not only looked up in
DEPTH = 3
# Classes that no name leads to.
MADE_IN_C = ("stat_result", "uname_result", "ScandirIterator", "DirEntry", "struct_time", "Struct", "poll")

CONSTRUCTOR = sys.modules["pyrunc.record"].COMPILED
BUILTINS = vars(builtins)
called: set[str] = set()
attributes: set[str] = set()  # names that called functions use
found: dict[int, object] = {}  # by identity
READ: list[object] = []


def parts(value: Any) -> tuple[Iterable[object], int]:
    """Return what is looked at with VALUE, and how many levels further down that is."""
    kind = type(value)
    if kind in (tuple, list, frozenset, set):
        return (value if len(value) <= LIMIT else ()), 1
    if kind is ModuleType:
        return (vars(value),), DEPTH
    if kind is property:
        return (value.fget, value.fset), DEPTH
    if isinstance(value, type):
        return (value.__mro__, vars(value).get("__init__")), DEPTH
    if kind is CellType:
        return gc.get_referents(value), 0
    if kind.__module__.startswith("pyrunc."):
        held = gc.get_referents(value)
        own = [part for part in held if type(part) is dict and len(part) <= LIMIT]
        return [*held, *[each for part in own for each in (*part, *part.values())]], 1
    return (), 0


def is_called(function: FunctionType) -> bool:
    """Return whether FUNCTION is one of those that are called, or the constructor of a record that one of them may make."""
    code = function.__code__
    return code.co_filename == CONSTRUCTOR or f"{function.__globals__.get('__name__')}:{code.co_qualname}" in called


def keep(value: Any, depth: int = 0) -> None:
    """Take VALUE, DEPTH levels down, and what is reached through it by looking at all of its parts."""
    kind = type(value)
    if kind in (staticmethod, classmethod):
        keep(value.__func__)
    if id(value) in found or value is found or (kind is FunctionType and not is_called(value)):
        return
    found[id(value)] = value
    if kind is FunctionType and value.__code__.co_filename == CONSTRUCTOR:
        keep_code(value.__code__, value.__globals__)
    if depth < DEPTH:
        looked_at, deeper = parts(value)
        for each in looked_at:
            keep(each, depth + deeper)


def keep_code(code: CodeType, around: dict[str, Any]) -> None:
    """Take CODE, to which AROUND are the globals, and what it names; of functions in it that are not called, what makes them."""
    found[id(code)] = code
    READ.extend((code.co_consts, code.co_names))
    attributes.update(code.co_names)
    modules = [vars(around[name]) for name in code.co_names if type(around.get(name)) is ModuleType]
    for name in code.co_names:
        keep(name)
        for place in (around, BUILTINS, *modules):
            if name in place:
                keep(place[name])
    for each in (code.co_name, code.co_qualname, *code.co_consts):
        if type(each) is CodeType and f"{around['__name__']}:{each.co_qualname}" in called:
            keep_code(each, around)
        elif type(each) is CodeType:
            keep(each, DEPTH)
            keep(each.co_qualname)
        elif type(each) is not str or " " not in each:  # it is a message, and rarely told
            keep(each)


def keep_function(function: FunctionType) -> None:
    """Take FUNCTION, and what it is called with."""
    for each in (function, function.__name__, function.__qualname__, function.__module__):
        keep(each)
    for each in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *(function.__closure__ or ())):
        keep(each)
    keep(function.__globals__, DEPTH)
    keep_code(function.__code__, function.__globals__)


def touched(names: Iterable[str]) -> list[object]:
    """Return what functions with NAMES write to."""
    for collection in (found, attributes, called):
        collection.clear()  # type: ignore[attr-defined]
    called.update(names)
    for function in FUNCTIONS:
        if is_called(function) and function.__code__.co_filename != CONSTRUCTOR:
            keep_function(function)
    for kind in CLASSES:
        keep(kind.__mro__, DEPTH)  # methods are looked up along these
        if kind.__name__ in MADE_IN_C:
            keep(kind)
    for kind in [kind for kind in CLASSES if id(kind) in found or not kind.__flags__ & HEAP]:
        for name in [name for name in vars(kind) if name in attributes]:
            keep(vars(kind)[name])
    for name in [name for name, module in sys.modules.items() if name.startswith("pyrunc") and hasattr(module, "__path__")]:
        keep(sys.modules[name])  # for imports in functions
    return list(found.values())


HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE
gc.unfreeze()
everything = gc.get_objects()
FUNCTIONS = [each for each in everything if type(each) is FunctionType]
CLASSES = [*{*object.__subclasses__(), *(each for each in everything if isinstance(each, type))}]
AFTER = touched(name for name in globals()["NAMES"] if name[0] != "-")
BEFORE = touched(name.strip("-") for name in globals()["NAMES"])
READ += [BUILTINS, *(kind for kind in CLASSES if id(kind) in found or not kind.__flags__ & HEAP)]
