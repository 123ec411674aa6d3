"""The layers hold: imports point down, never up, never to a sibling, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "runtime/pyrunc"

# From the bottom up; docs/architecture.md says what each is for.
LAYERS = (
    {"errors", "record", "jsonio", "log"},
    {"linux"},
    {"oci", "host"},
    {"cgroup", "seccomp"},
    {"plan"},
    {"run"},
    {"criu"},
    {"container", "install"},
    {"cli"},
    {"image"},
    {"boot"},
)
FOUNDATION = LAYERS[0]  # may use each other
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name without `pyrunc.`, packages by theirs."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path, *, at_start: bool = False) -> set[str]:
    """Return which of our modules the file imports, wherever in it; AT_START: as it is imported itself."""
    tree = ast.parse(path.read_text(), str(path))
    nodes = list(ast.walk(tree))
    if at_start:
        nodes = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import hides its layer"
            base = node.module or ""
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix("pyrunc.")
                if base.partition(".")[0] == "pyrunc":
                    found.add(inner if inner in MODULES else base.removeprefix("pyrunc").removeprefix("."))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {name.removeprefix("pyrunc.") for name in names if name.startswith("pyrunc.")}
    return found


def test_every_part_has_a_layer():
    parts = {name.partition(".")[0] for name in MODULES} - {"", "__main__"}
    assert parts == set(LAYER_OF)


@pytest.mark.parametrize("name", [name for name in MODULES if name and name != "__main__"])
def test_imports_point_down(name: str):
    part = name.partition(".")[0]
    for other in imports(MODULES[name]):
        target = other.partition(".")[0]
        if not target or target == part or {part, target} <= FOUNDATION:
            continue
        assert LAYER_OF[target] < LAYER_OF[part], f"{name} imports {other}, which is not below it"


def test_no_circles():
    graph = {name: imports(path, at_start=True) for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, "circular imports: " + " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in graph[name] - {name}:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
