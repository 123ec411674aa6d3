"""Sizes and durations as runc's options take them: 50M, 1.5g; 5s, 500ms, 1m30s."""

from __future__ import annotations

from pyrunc.errors import UsageError

SIZES = {letter: 1024**power for power, letter in enumerate("bkmgtp")}
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "ns": 1e-9}
INT64_MAX = (1 << 63) - 1
BASES = {"0x": 16, "0b": 2, "0o": 8}  # as a whole number in Go may begin; with a zero alone it is octal too
DIGITS_MAX = 70  # a sign, a base and 64 binary digits


def _is_decimal(text: str) -> bool:
    """Return whether TEXT is digits with at most one dot among them."""
    return text.isascii() and text.replace(".", "", 1).isdigit()


def _is_exponent(text: str) -> bool:
    """Return whether TEXT is a whole number with a sign or without, and not so long that it is no size any more."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return digits.isascii() and digits.isdigit() and len(digits) < len("100")


def size(text: str, option: str) -> int:
    """Return the bytes that TEXT, the value of OPTION, stands for; -1 is -1.  Units are powers of 1024.

    Raises UsageError.
    """
    if text == "-1":
        return -1
    word = text.strip().lower()
    for ending in ("ib", "b", ""):
        if word.endswith(ending) and (not ending or word[: -len(ending)][-1:] in (*SIZES, *"0123456789.", " ")):
            word = word[: len(word) - len(ending)]
            break
    letter = word[-1:] if word[-1:] in SIZES and word[-1:] != "b" else ""
    number = word[: len(word) - len(letter)].rstrip(" ")
    mantissa, e, exponent = number.partition("e")
    if not _is_decimal(mantissa.removeprefix("+")) or (e and not _is_exponent(exponent)):
        raise UsageError(f'invalid value "{text}" for {option}', hint="a size such as 52428800, 50M or 1.5g; -1 is unlimited")
    factor = SIZES[letter or "b"]
    found = int(number) * factor if number.isdigit() else float(number) * factor
    if found > INT64_MAX:
        raise UsageError(f'invalid value "{text}" for {option}', hint="too large: -1 is unlimited")
    return int(found)


def number(text: str, option: str, *, signed: bool) -> int:
    """Return the whole number that TEXT, the value of OPTION, is; below zero only if SIGNED.  Raises UsageError."""
    digits = text.removeprefix("-") if signed else text
    if not (digits.isascii() and digits.isdigit()) or int(digits[:30]) > INT64_MAX:
        hint = "a whole number" + ("; -1 is unlimited" if signed else "")
        raise UsageError(f'invalid value "{text}" for {option}', hint=hint)
    return int(text)


def integer(text: str, option: str) -> int:
    """Return the whole number that TEXT, the value of OPTION, is, in any base that Go's flags take: 16, 0x10, 020, 0o20, 0b10000.

    Raises UsageError.
    """
    digits = text.lstrip("+-")
    base = BASES.get(digits[:2].lower(), 8 if digits[:1] == "0" else 10)
    try:
        if len(text) - len(digits) > 1 or not (digits.isascii() and digits.replace("_", "0").isalnum()) or len(text) > DIGITS_MAX:
            raise ValueError
        found = int(text, base)
    except ValueError:
        found = INT64_MAX + 1
    if abs(found) > INT64_MAX:
        raise UsageError(f'invalid value "{text}" for {option}', hint="a whole number")
    return found


def seconds(text: str, option: str) -> float:
    """Return the seconds that TEXT, the value of OPTION, is: numbers with units, one after another.

    Raises UsageError, for what is not above zero too.
    """
    total, rest = 0.0, text
    while rest:
        end = next((i for i, letter in enumerate(rest) if letter not in "0123456789."), len(rest))
        stop = next((i for i, letter in enumerate(rest[end:], end) if letter in "0123456789."), len(rest))
        if not _is_decimal(rest[:end]) or rest[end:stop] not in SECONDS:
            raise UsageError(f'invalid value "{text}" for {option}', hint="a duration such as 5s, 500ms or 1m30s")
        total += float(rest[:end]) * SECONDS[rest[end:stop]]
        rest = rest[stop:]
    if total <= 0:
        raise UsageError(f"{option}: duration interval must be greater than 0", hint="such as 5s")
    return total
