"""What to do about a value of the wrong type, or out of its range.  Loaded only to say what is wrong."""

from __future__ import annotations

from pyrunc.words import suggestion

CHOICE, RANGE = "one of ", "an integer from "
UNQUOTED = ("an integer", "true or false")


def remedy(value: object, expected: str) -> str:
    """Return what to do about VALUE where EXPECTED should stand."""
    if expected.startswith(CHOICE):
        return suggestion(str(value), expected[len(CHOICE) :].split(", "), "write one of these")
    if expected.startswith(UNQUOTED) and isinstance(value, str) and _is_literal(value):
        return "write it without quotes"
    if expected.startswith(RANGE) and value.__class__ is int:
        return "correct it, or remove it"
    if expected == "a string" and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    if expected == "an array" and value.__class__ is str:
        return "put it in brackets: [ ]"
    if expected == "an absolute path" and isinstance(value, str):
        return f'let it begin with "/", such as "/{value.removeprefix("./")}"' if value else 'let it begin with "/"'
    return f"write {expected} there, or remove it"


def _is_literal(text: str) -> bool:
    """Return whether TEXT would be a number, or true or false, without its quotes."""
    return text in ("true", "false") or text.removeprefix("-").isdigit()
