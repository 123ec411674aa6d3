"""The layers hold: imports point down, never up, never to a sibling, and never in a circle, types included."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "runtime/pyrunc"

# From the bottom up; docs/architecture.md says what each is for.
LAYERS = (
    {"errors", "handover", "record", "jsonio", "log", "words", "commit"},
    {"linux"},
    {"oci", "host"},
    {"cgroup", "seccomp"},
    {"plan"},
    {"run"},
    {"criu"},
    {"container", "install"},
    {"cli"},
    {"helper"},
    {"library"},
    {"aio"},
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


def imports(path: Path) -> set[str]:
    """Return which of our modules the file imports, wherever in it, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
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


# Beside the package, and with circles of their own to fall into.
HARNESS = {
    ".".join(path.relative_to(PACKAGE.parents[1]).with_suffix("").parts): path
    for path in (PACKAGE.parents[1] / "integration").rglob("*.py")
    if path.name != "__init__.py"
}


def harness_imports(path: Path) -> set[str]:
    """Return which modules of the harness the file imports, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & HARNESS.keys()
            found |= inner or ({node.module} & HARNESS.keys())
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of a circle in GRAPH, [] if there is none."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        found: list[str] = []
        if name not in done:
            for other in sorted(graph[name] - {name}):
                if found := visit(other, (*way, name)):
                    return found
            done.add(name)
        return found

    return next((found for name in graph if (found := visit(name, ()))), [])


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_circles():
    """Neither as modules are loaded, nor late, nor for types alone: what knows each other is one subject."""
    assert circle({name: imports(path) for name, path in MODULES.items()}) == []


def test_no_circles_in_the_harness():
    assert len(HARNESS) > 50
    assert circle({name: harness_imports(path) for name, path in HARNESS.items()}) == []


# A room within a layer, and who alone may come into it from outside of it within that layer.
ROOMS = {"run.steps": {"run.calls", "run.context"}, "container.verbs": set()}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_entered_by_its_door(room: str):
    """The machine knows its steps by the table alone; what verbs share knows no verb."""
    layer = room.partition(".")[0]
    for name, path in MODULES.items():
        if name.startswith(f"{layer}.") and not name.startswith(room) and name not in ROOMS[room]:
            entered = {other for other in imports(path) if other.startswith(room)}
            assert not entered, f"{name} imports {sorted(entered)}"


def test_the_map_is_true():
    """docs/map.md lists every file; docs/architecture.md every room, one line each."""
    script = PACKAGE.parents[1] / "script/map.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "write docs/map.md anew: script/map.py"


def test_the_rooms_are_listed():
    text = (PACKAGE.parents[1] / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| (?:\d+|top) \| ((?:`[a-z/]+` ?)+)\|", text, re.M)
    listed = [name.replace("/", ".") for row in rows for name in re.findall(r"`([a-z/]+)`", row)]
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py" and name}
    alone = {name for name in MODULES if "." not in name} - packages - {"", "__main__"}
    assert sorted(listed) == sorted(packages | alone)
