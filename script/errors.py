#!/usr/bin/env python3
"""Write docs/errors.md from the code: every message, where in config.json it points, and what it says to do.

script/errors.py            writes it
script/errors.py --check    fails if it is not what the code says
"""

from __future__ import annotations

import ast
import errno
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parents[1]
PACKAGE = HERE / "runtime/pyrunc"
TARGET = HERE / "docs/errors.md"
KINDS = ("ConfigError", "UnsupportedError", "StateError", "HookError", "OpError", "UsageError", "PyruncError")
HEAD = """# Errors

<!-- Written by script/errors.py from the code: change that. -->

Every error is one line: what went wrong, and in parentheses where config.json asked for it and what to do. `...` stands
for what is known only then: a name, a path, a number, the kernel's own words.

- An error of a step that the kernel refuses says before the message what was being done ("unable to start container
  process: error mounting ..."), and points to the field that asked for the step, if the table has no place of its own.
- A value of the wrong type or out of its range is told as "expected ..., found ...", and what to do depends on both
  (`oci/remedies.py`): put it in quotes, without quotes, in brackets, the nearest right word.
- `check` tells its findings in the same words.

"""
SYSTEM = """
## What the kernel refuses

A system call that fails without words of ours gets this hint, by call and errno (`run/hints.py`); a call that is not here
gets that of the errno. Of a cgroup file, `cgroup/reasons.py` says which rule the value breaks.

| call | errno | what to do |
|---|---|---|
"""


class Told(NamedTuple):
    """One place in the code that makes an error: its module and line, its kind, message, pointer, and hint."""

    module: str
    line: int
    kind: str
    message: str
    pointer: str
    hint: str | None


class _Module(ast.NodeVisitor):
    """Collects the errors that one module makes."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        """Go through TREE, of module NAME."""
        self.name, self.found = name, list[Told]()
        own = [each for each in tree.body if isinstance(each, ast.Assign)]
        self.scopes: list[dict[str, ast.expr]] = [
            {target.id: each.value for each in own for target in each.targets if isinstance(target, ast.Name)}
        ]
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Know what a function's own names have been given."""
        scope: dict[str, ast.expr] = {}
        for each in ast.walk(node):
            if isinstance(each, ast.Assign) and len(each.targets) == 1:
                target = each.targets[0]
                if isinstance(target, ast.Name):
                    scope[target.id] = each.value
                elif isinstance(target, ast.Tuple) and isinstance(each.value, ast.Tuple):
                    pairs = zip(target.elts, each.value.elts, strict=False)
                    scope |= {left.id: right for left, right in pairs if isinstance(left, ast.Name)}
        self.scopes.append(scope)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Call(self, node: ast.Call) -> None:
        """Note an error that is made here."""
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or not node.args:
            return
        keywords = {each.arg: each.value for each in node.keywords}
        if node.func.id in KINDS:
            hint = keywords.get("hint")
            said = None if hint is None else self.text(hint)
            place = self.text(keywords["pointer"]) if "pointer" in keywords else ""
            self.found.append(Told(self.name, node.lineno, node.func.id, self.text(node.args[0]), place, said))

    def text(self, node: ast.expr, depth: int = 0) -> str:
        """Return what NODE says, with "..." for what is known only when it runs."""
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(self.text(each, depth) for each in node.values)
        if isinstance(node, ast.FormattedValue):
            return self.text(node.value, depth) if isinstance(node.value, ast.Name) and node.value.id.isupper() else "..."
        if isinstance(node, ast.BinOp):
            return self.text(node.left, depth) + self.text(node.right, depth)
        if isinstance(node, ast.BoolOp):
            return " / ".join(self.text(each, depth) for each in node.values)
        if isinstance(node, ast.IfExp):
            return f"{self.text(node.body, depth)} / {self.text(node.orelse, depth)}"
        if isinstance(node, ast.Name) and depth < 3:
            value = next((scope[node.id] for scope in reversed(self.scopes) if node.id in scope), None)
            return "..." if value is None else self.text(value, depth + 1)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "suggestion":
            return f"did you mean ...? / {self.text(node.args[2], depth)}"
        return "..."


def errors() -> list[Told]:
    """Return every error that the code makes, by module and line."""
    found: list[Told] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found += _Module(str(path.relative_to(PACKAGE)), ast.parse(path.read_text())).found
    return found


def document() -> str:
    """Return the text of docs/errors.md."""
    lines = [HEAD]
    module = ""
    for each in errors():
        if each.module != module:
            module = each.module
            lines.append(f"\n## {module}\n\n| message | place | what to do |\n|---|---|---|\n")
        lines.append(f"| {_cell(each.message)} | {_cell(each.pointer)} | {_cell(_shown(each.hint))} |\n")
    return "".join(lines) + SYSTEM + "".join(_system())


def _shown(hint: str | None) -> str:
    """Return HINT for a reader: one that depends on the cause says so."""
    return "depends on the cause" if hint == "..." else hint or ""


def _system() -> list[str]:
    """Return the rows of the hints by system call."""
    sys.path.insert(0, str(PACKAGE.parent))
    from pyrunc.run import hints

    rows = [f"| `{call}` | {errno.errorcode[code]} | {_cell(text)} |\n" for (call, code), text in sorted(hints.HINTS.items())]
    of_any = sorted({**hints.DEFAULTS, **hints.EVERYWHERE}.items())
    rows += [f"| any | {errno.errorcode[code]} | {_cell(text)} |\n" for code, text in of_any]
    return [*rows, f"| any | any other | {_cell(hints.ANY)} |\n"]


def _cell(text: str) -> str:
    """Return TEXT for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def main() -> int:
    """Write the document, or compare it; return the status."""
    text = document()
    if sys.argv[1:] == ["--check"]:
        return int(TARGET.read_text() != text)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
