"""Values in GVariant's text format, for org.systemd.property.* annotations.

The part of it that properties of units are written in: booleans, strings,
numbers with or without a type before them, and arrays of these.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TYPES = {
    "byte": ("y", (0, 1 << 8)),
    "int16": ("n", (-(1 << 15), 1 << 15)),
    "uint16": ("q", (0, 1 << 16)),
    "int32": ("i", (-(1 << 31), 1 << 31)),
    "uint32": ("u", (0, 1 << 32)),
    "int64": ("x", (-(1 << 63), 1 << 63)),
    "uint64": ("t", (0, 1 << 64)),
}
BY_SIGNATURE = {signature: (signature, limits) for signature, limits in TYPES.values()}
HINT = "such as true, 'text', uint64 5 or ['a', 'b']"


def parse(text: str, at: str) -> tuple[str, Any]:
    """Return D-Bus signature and value of TEXT, which stands AT a pointer.  Raises ConfigError."""
    try:
        return _value(text.strip())
    except ValueError:
        raise ConfigError(f"invalid value {text!r} of a systemd property", pointer=at, hint=HINT) from None


def _value(text: str) -> tuple[str, Any]:
    """Return signature and value of TEXT.  Raises ValueError."""
    if text in ("true", "false"):
        return "b", text == "true"
    if text[:1] in ("'", '"'):
        return "s", _string(text)
    if text[:1] == "@":
        signature, _, rest = text[1:].partition(" ")
        return _as(signature, rest.strip())
    if text[:1] == "[":
        return _array(text, "")
    word, _, rest = text.partition(" ")
    if word in TYPES:
        return _number(rest.strip(), *TYPES[word])
    return _number(text, *TYPES["int32"])


def _as(signature: str, text: str) -> tuple[str, Any]:
    """Return TEXT as a value of SIGNATURE.  Raises ValueError."""
    if signature[:1] == "a":
        return _array(text, signature[1:])
    if signature in BY_SIGNATURE:
        return _number(text, *BY_SIGNATURE[signature])
    found = _value(text)
    if found[0] != signature:
        raise ValueError(text)
    return found


def _number(text: str, signature: str, limits: tuple[int, int]) -> tuple[str, int]:
    """Return number TEXT, decimal or hexadecimal, if it lies within LIMITS.  Raises ValueError."""
    value = int(text, 16) if text.startswith("0x") else int(text)
    if not limits[0] <= value < limits[1]:
        raise ValueError(text)
    return signature, value


def _string(text: str) -> str:
    """Return quoted TEXT without quotes and escapes.  Raises ValueError."""
    parts = _split(text)
    if len(parts) != 1 or len(text) < 2 or text[-1] != text[0]:
        raise ValueError(text)
    out, escaped = [], False
    for letter in text[1:-1]:
        if letter == "\\" and not escaped:
            escaped = True
            continue
        out.append(letter)
        escaped = False
    return "".join(out)


def _array(text: str, signature: str) -> tuple[str, list[Any]]:
    """Return array TEXT, of items of SIGNATURE if that is known.  Raises ValueError."""
    if text[:1] != "[" or text[-1:] != "]":
        raise ValueError(text)
    inner = text[1:-1].strip()
    items = [(_as(signature, part) if signature else _value(part)) for part in (_split(inner) if inner else [])]
    kinds = {kind for kind, _ in items} or {signature}
    if len(kinds) != 1 or not (kind := kinds.pop()):
        raise ValueError(text)
    return f"a{kind}", [value for _, value in items]


def _split(text: str) -> list[str]:
    """Split TEXT at the commas that are in no string and in no inner array.  Raises ValueError."""
    parts, quote, depth, start, skip = [], "", 0, 0, False
    for place, letter in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[]":
            depth += 1 if letter == "[" else -1
        elif letter == "," and not depth:
            parts.append(text[start:place].strip())
            start = place + 1
    if quote or depth:
        raise ValueError(text)
    return [*parts, text[start:].strip()]
