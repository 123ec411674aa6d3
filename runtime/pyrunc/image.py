"""Make the images that boot.py starts commands from.

Loading an image is a part of every command's time, and what it holds is a part
of the memory of a container's init, so what only a reader or a checker wants
is left out: docstrings, columns, annotations of functions, imports for types.
"""

from __future__ import annotations
import __future__

import marshal
import posix
import sys
from _frozen_importlib_external import SourceFileLoader
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    # name, path below HERE, time of change (ns), size, is a package, code
    Item = tuple[str, str, int, int, bool, CodeType]

HERE = __file__.rpartition("/")[0]
AS_STRINGS = __future__.annotations.compiler_flag
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST, without the time that ast takes


def make(name: str, path: str, head: Callable[[bytes], bytes]) -> None:
    """Import command NAME from its files, note the order, and write its image, after its HEAD, to PATH if we may."""
    order = _imported([f"pyrunc.cli.commands.{name}"])
    try:
        _keep(path, head, [module for module in order if module.__name__.startswith("pyrunc.")])
    except OSError:
        return  # a read-only or foreign installation: it only stays slower


def collect(names: list[str]) -> list[Item]:
    """Import modules NAMES, with all that they import of ours, and return them as items, in the order in which they ran."""
    modules = [sys.modules["pyrunc"], *_imported(names)]
    return [_item(module, "pyrunc") for module in modules if module.__name__.partition(".")[0] == "pyrunc"]


def _imported(names: list[str]) -> list[ModuleType]:
    """Import modules NAMES from their files; return those that ran, in their order."""
    order: list[ModuleType] = []
    usual = SourceFileLoader.exec_module

    def noting(loader: SourceFileLoader, module: ModuleType) -> None:
        """Run MODULE as usual, then note that it is done."""
        usual(loader, module)
        order.append(module)

    SourceFileLoader.exec_module = noting  # type: ignore[method-assign, assignment]
    try:
        for name in names:
            __import__(name)
    finally:
        SourceFileLoader.exec_module = usual  # type: ignore[method-assign]
    return order


def _keep(path: str, head: Callable[[bytes], bytes], modules: list[ModuleType]) -> None:
    """Write the image of MODULES, with its HEAD, to PATH, atomically."""
    if posix.access(path.rpartition("/")[0], posix.W_OK) is False:
        return
    body = marshal.dumps([_item(module) for module in modules])
    data = head(body) + body
    before = pthread_sigmask(SIG_BLOCK, valid_signals())  # no draft stays
    try:
        _replace(path, data)
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _replace(path: str, data: bytes) -> None:
    """Let PATH hold DATA, at once: a reader finds the old or the new, whole.  Raises OSError."""
    draft = f"{path}.{posix.getpid()}"
    if posix.access(draft, posix.F_OK):
        posix.unlink(draft)  # of a process that was killed
    fd = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o644)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        posix.rename(draft, path)
    except OSError:
        posix.unlink(draft)
        raise


def _item(module: ModuleType, directory: str = HERE) -> Item:
    """Return MODULE as an image holds it; its code names its file below DIRECTORY."""
    source = str(module.__file__)
    place = source.removeprefix(f"{HERE}/")
    found = posix.stat(source)
    with open(source, "rb") as file:
        code = lean(file.read(), f"{directory}/{place}")
    return (module.__name__, place, found.st_mtime_ns, found.st_size, hasattr(module, "__path__"), code)


def lean(source: bytes, name: str) -> CodeType:
    """Compile module SOURCE, called NAME, without what running it does not need; line numbers stay."""
    tree = compile(source, name, "exec", ONLY_AST | AS_STRINGS, dont_inherit=True)
    _strip(tree)
    code: CodeType = compile(tree, name, "exec", AS_STRINGS, dont_inherit=True, optimize=2)
    return code


def _strip(node: Any) -> None:
    """Take out of NODE, and of all below it, what is left out."""
    if hasattr(node, "col_offset"):
        node.col_offset = node.end_col_offset = -1  # none, to the compiler
        node.end_lineno = node.lineno
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            value[:] = [kept for item in value for kept in _kept(item)]
            for item in value:
                if hasattr(item, "_fields"):
                    _strip(item)
        elif field == "returns" or (field == "annotation" and node.__class__.__name__ == "arg"):
            setattr(node, field, None)
        elif hasattr(value, "_fields"):
            _strip(value)


def _kept(item: Any) -> list[Any]:
    """Return what stays of ITEM of a list: nothing of what only a type checker reads."""
    kind = item.__class__.__name__
    if kind == "ImportFrom" and item.module == "__future__":
        return []  # the flag says it, and importing that module takes 0.2 ms
    if kind == "If" and getattr(item.test, "id", "") == "TYPE_CHECKING":
        return list(item.orelse)
    return [item]
