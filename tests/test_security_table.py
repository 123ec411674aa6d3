"""docs/security.md has a table of attacks: each row has a test, and one that shows that the test catches what it should."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
ROOM = HERE / "integration/security"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
# Rows that others have fallen for, those that only Python could, and those of our own threat model.
KEYS = [*map(str, range(1, 26)), *(f"P{number}" for number in range(1, 12)), *(f"T{number}" for number in range(1, 11))]


def rows() -> dict[str, list[str]]:
    """Return the columns of each row by its key."""
    text = (HERE / "docs/security.md").read_text().partition("## Attacks, guards, tests\n")[2].partition("\n# ")[0]
    lines = (line.strip().strip("|") for line in text.splitlines() if line.startswith("| "))
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in cells if row[0] != "row"}


def present() -> set[tuple[str, str]]:
    """Return file and name of every test in the room."""
    found = set()
    for path in ROOM.glob("test_*.py"):
        functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
        found |= {(path.name, function.name) for function in functions if function.name.startswith("test_")}
    return found


def test_each_row_is_there_once_in_order():
    assert list(rows()) == KEYS


@pytest.mark.parametrize("key", KEYS)
def test_each_row_names_its_tests(key: str):
    _, guard, tried, caught, *_ = rows()[key]
    assert guard
    for column in (tried, caught):
        named = NAMED.findall(column)
        assert named
        assert set(named) <= present(), set(named) - present()


def test_what_shows_that_a_test_bites_has_a_row():
    """So that no row is forgotten where there is a proof."""
    text = " ".join(" ".join(row) for row in rows().values())
    named = set(NAMED.findall(text))
    assert {each for each in present() if each[1].endswith(("_bites", "_bite"))} <= named


def test_the_harness_of_the_naive_ways_is_used():
    """Each file expects to catch something."""
    without = [path.name for path in ROOM.glob("test_*.py") if "caught()" not in path.read_text()]
    assert sorted(without) == ["test_swapped.py", "test_tracing.py"]  # whose proofs run the attack where it may
