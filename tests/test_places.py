"""On which lines the values of a document stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.oci import places

DOCUMENT = """{
  "ociVersion": "1.3.0",
  "process": {"args": ["a", "}\\"],"],
    "cwd" : "/"},
  "a/b~c": [
    1,

    {"x": null}
  ],
  "empty": {}, "none": []
}
"""


@pytest.mark.parametrize(
    ("pointer", "lines"),
    [
        ("", (1, 11)),
        ("/ociVersion", (2, 2)),
        ("/process", (3, 4)),
        ("/process/args", (3, 3)),
        ("/process/args/1", (3, 3)),
        ("/process/cwd", (4, 4)),
        ("/a~1b~0c", (5, 9)),
        ("/a~1b~0c/0", (6, 6)),
        ("/a~1b~0c/1/x", (8, 8)),
        ("/none", (10, 10)),
    ],
)
def test_each_value_has_its_lines(pointer: str, lines: tuple[int, int]):
    assert places.of(DOCUMENT)[pointer] == lines


def pointers(value: Any, pointer: str = "") -> list[str]:
    """Return the pointers of VALUE's parts, by another way."""
    found = [pointer]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += pointers(each, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return found


KEYS = st.text(alphabet=st.characters(exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
)


@given(JSON, st.sampled_from([None, 0, 2]))
def test_every_value_is_found(value: Any, indent: int | None):
    text = json.dumps(value, indent=indent)
    found = places.of(text)
    assert sorted(found) == sorted(pointers(value))
    assert found[""] == (1, text.count("\n") + 1)


@given(JSON)
def test_what_stands_on_its_lines_is_it(value: Any):
    text = json.dumps({"first": 1, "it": value, "last": 2}, indent=1)
    first, last = places.of(text)["/it"]
    lines = "\n".join(text.split("\n")[first - 1 : last]).rstrip(",")
    assert json.loads("{" + lines + "}") == {"it": value}
