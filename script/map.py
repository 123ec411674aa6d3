#!/usr/bin/env python3
"""Write docs/map.md: every file of the package in its room, by the first line of what it says of itself.

script/map.py            writes it
script/map.py --check    fails if it is not what the files say
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PACKAGE, TARGET = HERE / "runtime/pyrunc", HERE / "docs/map.md"
HEAD = """# Where to find what

<!-- Written by script/map.py from the first line of each file: change that. -->

Below `runtime/pyrunc`, from the bottom layer to the top. [architecture.md](architecture.md) says how the rooms work together.
"""
# From the bottom up, as in docs/architecture.md; "" is the package itself.
ROOMS = (
    "", "linux", "oci", "host", "cgroup", "seccomp", "plan", "run", "run/steps", "criu",
    "container", "container/checks", "container/verbs", "install", "cli", "cli/commands", "helper", "library",
)  # fmt: skip


def subject(path: Path) -> str:
    """Return the first line of PATH's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.partition("\n")[0].replace("|", "\\|")


def document() -> str:
    """Return the whole map.  Raises ValueError for a file in no room."""
    files = {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    lines = [HEAD]
    for room in ROOMS:
        here = PACKAGE / room
        inside = sorted(path for path in files if path.parent == here)
        files -= set(inside)
        lines.append(f"\n## {room or 'pyrunc'}\n\n{subject(here / '__init__.py')}\n\n| file | subject |\n|---|---|\n")
        lines += [f"| `{path.name}` | {subject(path)} |\n" for path in inside]
    if files:
        raise ValueError(f"in no room: {sorted(map(str, files))}")
    return "".join(lines)


def main() -> int:
    """Write the map, or compare it."""
    made = document()
    if "--check" in sys.argv[1:]:
        return int(made != TARGET.read_text())
    TARGET.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
