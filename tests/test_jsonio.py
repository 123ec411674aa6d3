"""JSON, stricter than Python's own: what is refused, how the place is told, and that what is written can be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.errors import ConfigError
from pyrunc.jsonio import dumps, loads

GRAMMAR = "the document must be JSON (RFC 8259) in UTF-8"


def message(text: bytes | str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert "\n" not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "invalid JSON at line 1 column 1: Expecting value"),
        ("  \n ", "invalid JSON at line 2 column 2: Expecting value"),
        ("{", "invalid JSON at line 1 column 2: Expecting property name enclosed in double quotes"),
        ('{"a": 1,\n "b": tru}', "invalid JSON at line 2 column 7: Expecting value"),
        ('{"a": 1,\n\n  "b" 2}', "invalid JSON at line 3 column 7: Expecting ':' delimiter"),
        ("[1 2]", "invalid JSON at line 1 column 4: Expecting ',' delimiter"),
        ('["a]', "invalid JSON at line 1 column 2: Unterminated string starting at"),
        ('["\\x"]', "invalid JSON at line 1 column 3: Invalid \\escape"),
        ('["\\u12"]', "invalid JSON at line 1 column 4: Invalid \\uXXXX escape"),
        ('["a\tb"]', "invalid JSON at line 1 column 4: Invalid control character at"),
        ('["a\x00b"]', "invalid JSON at line 1 column 4: Invalid control character at"),
        ("{} {}", "invalid JSON at line 1 column 4: Extra data"),
        ("{}x", "invalid JSON at line 1 column 3: Extra data"),
        ("[01]", "invalid JSON at line 1 column 3: Expecting ',' delimiter"),
        ("[NaN]", "invalid JSON: NaN is not JSON"),
        ("[Infinity]", "invalid JSON: Infinity is not JSON"),
        ("[-Infinity]", "invalid JSON: -Infinity is not JSON"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),  # half a surrogate pair, encoded
        (b'["\xc0\xaf"]', "not UTF-8 at byte 2"),  # an overlong slash
        ('["\\ud800"]', "a string holds half a surrogate pair"),
        ('{"a": ["\\udfff"]}', "a string holds half a surrogate pair"),
        ('{"\\ud800": 1}', "a string holds half a surrogate pair"),
        ('{"a": 1, "a": 2}', 'key "a" stands twice in one object'),
        ('[{"b": {"c": 1, "d": 2, "c": 1}}]', 'key "c" stands twice in one object'),
        ('{"a": 1, "\\u0061": 2}', 'key "a" stands twice in one object'),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_refused(text: bytes | str, expected: str):
    assert message(text).removesuffix(": column 1 (char 0)") == f"config.json: {expected}"


@pytest.mark.parametrize("text", ['["\\u0000"]', '{"a": {"b\\u0000": 1}}'])
def test_no_string_holds_nul(text: str):
    """No system call takes one: what follows it would be lost."""
    assert "NUL" in message(text)


@pytest.mark.parametrize("text", ["[" + "9" * 5000 + "]", "[-" + "1" * 5000 + "]"])
def test_numbers_of_thousands_of_digits(text: str):
    found = message(text)
    assert found == "config.json: a number has more than 4300 digits"
    assert len(found) < 300


def test_a_byte_order_mark_is_told():
    assert "UTF-8" in str(loads_error(b"\xef\xbb\xbf{}"))


def loads_error(text: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    return caught.value


def test_the_hint_and_the_name():
    with pytest.raises(ConfigError) as caught:
        loads("[", "process.json")
    assert str(caught.value) == f"process.json: invalid JSON at line 1 column 2: Expecting value ({GRAMMAR})"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" \t\r\n{} \n", {}),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('"\N{GRINNING FACE}"'.encode(), "\N{GRINNING FACE}"),
        ('{"a": {"b": 1}, "c": {"b": 1}}', {"a": {"b": 1}, "c": {"b": 1}}),
        ("[18446744073709551615, -1, 1.5, 1e3, true, false, null]", [(1 << 64) - 1, -1, 1.5, 1000.0, True, False, None]),
        ("[" * 200 + "]" * 200, None),
    ],
)
def test_accepted(text: bytes | str, value: object):
    assert loads(text) == value or value is None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), 1 << 64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4),
    max_leaves=20,
)


@given(value=VALUES, indent=st.sampled_from([0, 2, 4]))
def test_what_is_written_can_be_read(value: object, indent: int):
    text = dumps(value, indent)
    assert text.isascii()
    assert loads(text) == value
    assert json.loads(text) == value
    assert indent or "\n" not in text


@pytest.mark.parametrize(
    ("value", "indent", "text"),
    [
        ({"a": [1, True, None], "b": {}}, 0, '{"a":[1,true,null],"b":{}}'),
        ({"a": [1, 2], "b": [], "c": {}}, 2, '{\n  "a": [\n    1,\n    2\n  ],\n  "b": [],\n  "c": {}\n}'),
        (("x", 'q"\\\n'), 0, '["x","q\\"\\\\\\n"]'),
        (1.5, 0, "1.5"),
    ],
)
def test_how_it_is_written(value: object, indent: int, text: str):
    assert dumps(value, indent) == text


@given(st.binary(max_size=60))
def test_any_bytes(text: bytes):
    """Read, or refused by a ConfigError: and what is read, json reads too, and the same."""
    try:
        value = loads(text)
    except ConfigError:
        return
    assert json.loads(text) == value
