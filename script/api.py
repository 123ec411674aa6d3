#!/usr/bin/env python3
"""Write docs/api.md: every name of the library, from the docstrings.

script/api.py            writes it
script/api.py --check    fails if it is not what the code says
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PACKAGE, TARGET = HERE / "runtime/pyrunc", HERE / "docs/api.md"
HEAD = """# Reference of the library

<!-- Written by script/api.py from the docstrings: change these. -->

Names of `pyrunc`; [library.md](library.md) is the tutorial. Sizes are in bytes, times in seconds, unless something else is said.
Every path may be a str or a Path. All of it may be used from several threads at once; an object is best left to one of them.
"""
# Heading -> the names below it, as NAME in FILE.
PARTS = {
    "Bundles": ("Bundle library/bundle.py", "plan library/bundle.py", "check library/bundle.py", "features library/bundle.py"),
    "Containers": ("Container library/container.py", "Process library/process.py", "State library/state.py"),
    "Terminals": ("Terminal library/terminal.py",),
    "Streams": ("Stream library/streams.py",),
    "asyncio: pyrunc.aio": ("Container aio.py", "Process aio.py"),
    "The helper": ("close library/channel.py",),
    "Errors": ("PyruncError errors.py",),
    "What check returns": ("Report container/verbs/check.py", "Finding container/verbs/check.py"),
    "What plan returns": ("Plan plan/op.py", "Op plan/op.py"),
}
# Classes that lend what they have to public ones, and are not named themselves.
BASES = {"Waited": "library/process.py", "_Waited": "aio.py", "Held": "library/held.py"}
PROTOCOL = ("__enter__", "__aenter__")


def find(name: str, file: str) -> tuple[ast.stmt, list[ast.stmt]]:
    """Return what defines NAME in FILE, and all that is beside it.  Raises StopIteration if nothing does."""
    body = ast.parse((PACKAGE / file).read_text()).body
    return next(node for node in body if _name(node) == name), body


def _name(node: ast.stmt) -> str:
    """Return the name that NODE defines; "" for none."""
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.target)
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return getattr(node, "name", "")


def text(node: ast.AST) -> str:
    """Return the docstring of NODE as paragraphs."""
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return (ast.get_docstring(node) or "").replace("|", "\\|") + "\n"


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, owner: str) -> str:
    """Return how function NODE, of class OWNER, is called."""
    arguments = ast.parse(ast.unparse(node)).body[0].args  # type: ignore[attr-defined]  # a copy
    if owner and not _is(node, "staticmethod"):
        arguments.args = arguments.args[1:]
    before = "await " if isinstance(node, ast.AsyncFunctionDef) and not _yields(node) else ""
    name = owner if node.name == "__init__" else f"{owner}.{node.name}" if owner else node.name
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {ast.unparse(node.returns)}"
    return f"{before}{name}({ast.unparse(arguments)}){returns}"


def _is(node: ast.FunctionDef | ast.AsyncFunctionDef, decorator: str) -> bool:
    """Return whether NODE has DECORATOR."""
    return any(ast.unparse(each) == decorator for each in node.decorator_list)


def _yields(node: ast.AST) -> bool:
    """Return whether NODE is a generator."""
    return any(isinstance(each, ast.Yield) for each in ast.walk(node))


def members(node: ast.ClassDef) -> Iterator[tuple[ast.stmt, list[ast.stmt]]]:
    """Yield what class NODE has, and then what its bases lend, each with all that is beside it."""
    for each in node.body:
        yield each, node.body
    for base in node.bases:
        name = ast.unparse(base)
        if name in BASES:
            lender, _ = find(name, BASES[name])
            assert isinstance(lender, ast.ClassDef)
            yield from members(lender)


def attributes(node: ast.ClassDef) -> Iterator[str]:
    """Yield a line for each public attribute of class NODE."""
    for each, _ in members(node):
        if isinstance(each, ast.AnnAssign) and not _name(each).startswith("_"):
            value = f" = {ast.unparse(each.value)}" if each.value is not None else ""
            yield f"- `{_name(each)}: {ast.unparse(each.annotation)}{value}`\n"
        if isinstance(each, ast.FunctionDef) and _is(each, "property"):
            assert each.returns is not None
            yield f"- `{each.name}: {ast.unparse(each.returns)}`: {text(each)}"
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            for one in each.body:
                target = ast.unparse(one.target) if isinstance(one, ast.AnnAssign) else "self._"
                if isinstance(one, ast.AnnAssign) and not target.startswith("self._"):
                    yield f"- `{target.removeprefix('self.')}: {ast.unparse(one.annotation)}`\n"


def of_class(node: ast.ClassDef, prefix: str) -> Iterator[str]:
    """Yield what is to be said of class NODE, whose name stands behind PREFIX."""
    yield f"\n### {prefix}{node.name}\n\n{text(node)}"
    found = list(attributes(node))
    if found:
        yield "\n" + "".join(found)
    seen: set[str] = set()
    for each, _ in members(node):
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) or _is(each, "property") or each.name in seen:
            continue
        seen.add(each.name)
        is_made = each.name == "__init__" and node.name == "Bundle"
        if is_made or each.name in PROTOCOL or not each.name.startswith("_"):
            yield f"\n#### `{signature(each, prefix + node.name)}`\n\n{text(each)}"


def errors() -> Iterator[str]:
    """Yield what is to be said of the errors below PyruncError."""
    for node in ast.parse((PACKAGE / "errors.py").read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name != "PyruncError":
            yield f"\n### {node.name}\n\n{text(node)}"


def document() -> str:
    """Return the whole reference."""
    parts = [HEAD]
    for heading, names in PARTS.items():
        parts.append(f"\n## {heading}\n")
        for each in names:
            name, file = each.split()
            node, body = find(name, file)
            if isinstance(node, ast.ClassDef):
                parts += of_class(node, "aio." if file == "aio.py" else "")
            elif isinstance(node, ast.FunctionDef):
                parts.append(f"\n### `{signature(node, '')}`\n\n{text(node)}")
            else:
                after = body[body.index(node) + 1]
                assert isinstance(after, ast.Expr)
                assert isinstance(after.value, ast.Constant)
                parts.append(f"\n### `{ast.unparse(node)}`\n\n{after.value.value!s}\n")
        if heading == "Errors":
            parts += errors()
    return "".join(parts)


def main() -> int:
    """Write the reference, or compare it."""
    made = document()
    if "--check" in sys.argv[1:]:
        return int(not TARGET.exists() or made != TARGET.read_text())
    TARGET.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
