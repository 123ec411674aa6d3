"""Protocol Buffers' encoding, as much of it as CRIU's messages need (protobuf.dev, "Encoding").

A message is a dict by field name; a table says for each name its number and
kind.  A field whose value is None is left out, a list is a repeated field.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INT, BOOL, TEXT = "int", "bool", "text"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
WORD = (1 << 64) - 1
VARINT_MAX = 10  # bytes


def encode(table: dict[str, tuple[int, Any]], message: dict[str, Any]) -> bytes:
    """Return MESSAGE as bytes.  Raises KeyError for a field that TABLE does not have."""
    out = b""
    for name, value in message.items():
        number, kind = table[name]
        for each in value if isinstance(value, list) else [value]:
            if each is None:
                continue
            if kind in (INT, BOOL):
                out += _varint(number << 3 | VARINT) + _varint(int(each) & WORD)  # negative: two's complement
                continue
            data = each.encode("utf-8", "surrogateescape") if kind == TEXT else encode(kind, each)
            out += _varint(number << 3 | BYTES) + _varint(len(data)) + data
    return out


def decode(table: dict[str, tuple[int, Any]], data: bytes) -> dict[str, Any]:
    """Return the message in DATA, without fields that TABLE does not have.

    Raises ValueError if it is cut off or no message at all.
    """
    names = {number: (name, kind) for name, (number, kind) in table.items()}
    found: dict[str, Any] = {}
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        name, kind = names.get(key >> 3, ("", None))
        value, place = _value(data, place, key & 7)
        if not name or isinstance(value, int) != (kind in (INT, BOOL)):
            continue
        if isinstance(value, int):
            found[name] = bool(value) if kind == BOOL else _signed(value)
        else:
            found[name] = str(value, "utf-8", "replace") if kind == TEXT else decode(kind, value)
    return found


def _value(data: bytes, place: int, wire: int) -> tuple[int | bytes, int]:
    """Return the value of type WIRE at PLACE of DATA, and the place behind it."""
    if wire == VARINT:
        return _read_varint(data, place)
    if wire == BYTES:
        size, place = _read_varint(data, place)
    elif wire in (FIXED64, FIXED32):
        size = 8 if wire == FIXED64 else 4
    else:
        raise ValueError(f"unknown wire type {wire}")
    if place + size > len(data):
        raise ValueError("a field is cut off")
    return data[place : place + size], place + size


def _varint(number: int) -> bytes:
    """Return NUMBER, seven bits to a byte, the low ones first."""
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Return the number at PLACE of DATA, and the place behind it."""
    number = 0
    for index, byte in enumerate(data[place : place + VARINT_MAX]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & WORD, place + index + 1
    raise ValueError("a number is cut off")


def _signed(word: int) -> int:
    """Return the number that 64-bit WORD stands for."""
    return word - (1 << 64) if word >> 63 else word
