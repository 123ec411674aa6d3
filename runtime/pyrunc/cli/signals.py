"""Signals by name (signal(7)), without the enum that Python's signal module builds."""

from __future__ import annotations

import _signal

from pyrunc.errors import UsageError

NUMBERS = {
    name[3:]: value
    for name, value in vars(_signal).items()
    if name.startswith("SIG") and not name.startswith("SIG_") and isinstance(value, int)
}
MAX = 64


def number(text: str) -> int:
    """Return the number of the signal that TEXT means: 15, TERM, SIGTERM, sigterm, RTMIN+3.

    Raises UsageError.
    """
    if text.isascii() and text.isdigit():
        if len(text) < 4 and 0 <= int(text) <= MAX:
            return int(text)
        raise UsageError(f'unknown signal "{text}"', hint=f"a number up to {MAX}, or a name such as TERM")
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    value = NUMBERS.get(base)
    if value is not None and sign and base in ("RTMIN", "RTMAX") and offset.isascii() and offset.isdigit() and len(offset) < 3:
        value = value + int(offset) if sign == "+" else value - int(offset)
        if NUMBERS["RTMIN"] <= value <= NUMBERS["RTMAX"]:
            return value
    elif value is not None and not sign:
        return value
    from pyrunc.words import suggestion

    hint = suggestion(name, NUMBERS, f"a number up to {MAX}, or a name such as TERM")
    raise UsageError(f'unknown signal "{text}"', hint=hint)
