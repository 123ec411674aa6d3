"""docs/security.md lists every error of the kernel's that run/ lets pass, and every call that waits, with the reason or the end.

The source is walked: a handler from which execution goes on lets its error pass.
"""

from __future__ import annotations

import ast
import errno
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parents[1]
PACKAGE = HERE / "runtime/pyrunc"
WAITING = frozenset(
    "accept connect poll receive recv recv_until_filtered recvmsg select send_and_get_reply sigwaitinfo sleep waitpid".split()
)
# What waits without one of these calls: by read(2) of a fifo, or by going round.
OTHER_WAITS = {
    "cgroup.fs.signal_all",
    "container.verbs.start._go",
    "run.steps.listener.Listener.offer",
    "run.steps.listener.Listener.wait",
    "run.steps.start.wait_for_start",
    "seccomp.apart._all",
}
GO_ON = {"return", "continue", "break", "fall"}


def table(title: str) -> dict[str, list[str]]:
    """Return the rows of the table below heading TITLE: the first column, without its quotes, to the others."""
    text = (HERE / "docs/security.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("` "): row[1:] for row in rows}


def functions(room: str) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield every node below ROOM of the package with the dotted name of its function, and its module's."""
    for path in sorted((PACKAGE / room).rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield from _walk(ast.parse(path.read_text()), module, module)


def _walk(node: ast.AST, name: str, module: str) -> Iterator[tuple[str, ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        inner = f"{name}.{child.name}" if isinstance(child, ast.FunctionDef | ast.ClassDef) else name
        yield inner, child, module
        yield from _walk(child, inner, module)


def ends(body: list[ast.stmt]) -> set[str]:
    """Return how BODY may end: "raise", one of GO_ON."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.Raise):
            return found | {"raise"}
        if isinstance(statement, ast.Return | ast.Continue | ast.Break):
            return found | {type(statement).__name__.lower()}
        if isinstance(statement, ast.If):
            both = ends(statement.body) | (ends(statement.orelse) if statement.orelse else {"fall"})
            if "fall" not in both:
                return found | both
            found |= both - {"fall"}
    return found | {"fall"}


def caught(handler: ast.ExceptHandler) -> list[str]:
    """Return the names of the exceptions of HANDLER."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [ast.unparse(kind) if kind is not None else "BaseException" for kind in kinds]


def errnos(handler: ast.ExceptHandler, module: str) -> set[str]:
    """Return the errno names that HANDLER compares an error's with; a constant of MODULE stands for what it holds."""
    found: set[str] = set()
    for compare in (node for node in ast.walk(handler) if isinstance(node, ast.Compare)):
        if not ast.unparse(compare.left).endswith(".errno"):
            continue
        for node in ast.walk(compare.comparators[0]):
            if isinstance(node, ast.Attribute) and node.attr.startswith("E"):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and node.id.isupper():
                values = getattr(importlib.import_module(f"pyrunc.{module}"), node.id)
                found |= {errno.errorcode[value] for value in values}
    return found


def let_pass(room: str) -> dict[str, set[str]]:
    """Return what each function of ROOM lets pass."""
    found: dict[str, set[str]] = {}
    for name, node, module in functions(room):
        if isinstance(node, ast.ExceptHandler) and ends(node.body) & GO_ON:
            kinds = caught(node)
            narrowed = errnos(node, module) if kinds == ["OSError"] else set()
            found.setdefault(name.partition(".")[2], set()).update(narrowed or kinds)
    return found


def test_every_error_that_is_let_pass_is_told():
    told = {place: set(row[0].split(", ")) for place, row in table("Errors that are let pass").items()}
    assert told == let_pass("run")


def test_every_reason_is_given():
    assert all(len(row[1]) > 10 for row in table("Errors that are let pass").values())


def test_no_error_is_let_pass_by_another_way():
    """contextlib.suppress would not be seen here."""
    for path in (PACKAGE / "run").rglob("*.py"):
        assert "suppress(" not in path.read_text(), path


def test_every_wait_is_told():
    waits = set(OTHER_WAITS)
    for name, node, _ in functions(""):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            builds = called == "poll" and isinstance(node.func, ast.Name)  # an object to wait with
            if called in WAITING and not builds:
                waits.add(name)
    assert set(table("Waits")) == waits


def test_the_walk_sees_what_it_should():
    source = """
def f():
    try:
        g()
    except OSError as error:
        if error.errno == errno.ENOENT:
            return 1
        raise
    except ValueError:
        raise KeyError from None
    except FileNotFoundError:
        pass
"""
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    assert [bool(ends(handler.body) & GO_ON) for handler in handlers] == [True, False, True]
    assert errnos(handlers[0], "") == {"ENOENT"}
