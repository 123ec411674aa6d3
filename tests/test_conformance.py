"""spec/conformance.toml: no place of config.json without a row, no row without a test, no test that is not there."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
from pathlib import Path

import pytest

from pyrunc import errors

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "spec/schema/config.json"
DOCUMENTS = ("runtime.md", "runtime-linux.md", "config.md", "config-linux.md", "features.md", "features-linux.md")
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "REQUIRED"}
KEYS = {"id", "section", "level", "text", "status", "tests"}
COMPOUND = ("allOf", "anyOf", "oneOf")

_spec = importlib.util.spec_from_file_location("conformance", ROOT / "script/conformance.py")
conformance = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conformance)
TABLE = conformance.load()
ROWS = {row["id"]: row for row in TABLE["requirement"]} | TABLE["pointers"]


def parts(node: dict, root: dict) -> list[dict]:
    """Return NODE of schema ROOT and all that it refers to or consists of."""
    found, todo = [], [node]
    while todo:
        part = todo.pop()
        found.append(part)
        if "$ref" in part:
            target = root
            for step in part["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            todo.append(target)
        todo += [each for key in COMPOUND for each in part.get(key, ())]
    return found


def places(node: dict, root: dict, at: str = "") -> set[str]:
    """Return the pointers to all values below NODE of schema ROOT, with N for an index and KEY for a name.

    Lists and maps of plain values are values themselves: their contents are `at` and `at/KEY`.
    """
    found: set[str] = set()
    for part in parts(node, root):
        for name, child in part.get("properties", {}).items():
            found |= places(child, root, f"{at}/{name}")
        named = [part["additionalProperties"]] if isinstance(part.get("additionalProperties"), dict) else []
        for child in [*named, *part.get("patternProperties", {}).values()]:
            found |= places(child, root, f"{at}/KEY")
        if isinstance(part.get("items"), dict):
            below = places(part["items"], root, f"{at}/N")
            found |= below - {f"{at}/N"}
    return found or {at}


@functools.cache
def functions_in(path: str) -> set[str]:
    """Return the names of the tests in the file at PATH."""
    file = ROOT / path
    body = ast.parse(file.read_text()).body if file.is_file() else []
    return {node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_walk_finds_every_kind_of_place():
    schema = {
        "properties": {
            "plain": {"type": "string"},
            "list": {"items": {"type": "string"}},
            "map": {"additionalProperties": {"type": "string"}},
            "pattern": {"patternProperties": {".": {"$ref": "#/$defs/pair"}}},
            "rows": {"items": {"$ref": "#/$defs/pair"}},
            "both": {"allOf": [{"$ref": "#/$defs/pair"}, {"properties": {"third": {}}}]},
            "closed": {"additionalProperties": False, "properties": {"in": {}}},
        },
        "$defs": {"pair": {"properties": {"one": {}, "two": {"items": {"type": "integer"}}}}},
    }
    expected = "/plain /list /map/KEY /pattern/KEY/one /pattern/KEY/two /rows/N/one /rows/N/two"
    assert places(schema, schema) == {*expected.split(), "/both/one", "/both/two", "/both/third", "/closed/in"}


def test_every_place_of_the_schema_has_a_row_and_no_row_another():
    schema = json.loads(SCHEMA.read_text())
    assert places(schema, schema) == set(TABLE["pointers"])


def test_no_two_demands_have_one_id():
    assert len({row["id"] for row in TABLE["requirement"]}) == len(TABLE["requirement"])


def test_documents_stand_in_order_and_none_is_missing():
    names = [row["id"].partition("/")[0] for row in TABLE["requirement"]]
    assert tuple(dict.fromkeys(names)) == DOCUMENTS
    assert names == sorted(names, key=DOCUMENTS.index)


def test_rows_say_what_they_have_to():
    """A status, the class of the error where it is refused, the reason where a SHOULD is not followed."""
    for name, row in ROWS.items():
        needed = KEYS if "id" in row else {"status", "tests"}
        extra = {"done": set(), "refused": {"error"}, "otherwise": {"note"}}[row["status"]]
        assert needed | extra <= row.keys() <= needed | extra | {"note"}, name
        assert row.get("level", "MUST") in LEVELS, name
        assert row["status"] != "otherwise" or row.get("level", "").startswith("SHOULD"), name
        assert "error" not in row or row["error"] in errors.__all__, name


def test_every_row_has_tests():
    assert [name for name, row in ROWS.items() if not row["tests"] or len(set(row["tests"])) != len(row["tests"])] == []


def test_every_named_test_exists():
    named = {node.partition("::")[::2] for row in ROWS.values() for node in row["tests"]}
    assert sorted("::".join(node) for node in named if node[1] not in functions_in(node[0])) == []


REPORT = """<testsuites><testsuite>
<testcase classname="integration.test_a" name="test_x[1]"><skipped/></testcase>
<testcase classname="integration.test_a" name="test_x[2]"/>
<testcase classname="integration.test_a" name="test_y"><skipped/></testcase>
<testcase classname="tests.test_b" name="test_z[a]"/>
<testcase classname="tests.test_b" name="test_z[b]"><failure/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (["integration/test_a.py::test_x"], ""),
        (["integration/test_a.py::test_y", "integration/test_a.py::test_x"], ""),
        (["integration/test_a.py::test_y"], "none of its tests passed"),
        (["integration/test_a.py::test_gone"], "none of its tests passed"),
        (["integration/test_a.py::test_x", "tests/test_b.py::test_z"], "tests/test_b.py::test_z failed"),
    ],
)
def test_a_row_passes_with_its_tests(tmp_path, nodes, said):
    """Given reports of test runs, a row without a passing test is found, and one with a failing test."""
    (tmp_path / "report.xml").write_text(REPORT)
    outcomes = conformance.outcomes([str(tmp_path / "report.xml")])
    table = {"requirement": [{"id": "x.md/row", "tests": nodes}], "pointers": {}}
    assert conformance.unproven(table, outcomes) == ([f"x.md/row: {said}"] if said else [])


def test_the_page_is_what_the_script_makes():
    assert conformance.PAGE.read_text() == conformance.page(TABLE), "run script/conformance.py"
