"""Lists of processors and of memory nodes, such as 0-3,7: the kernel's own notation (cpuset(7), "List format")."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER_MAX = 8191  # a kernel is built for 8192 processors at most, and for fewer nodes
DIGITS_MAX = 4
WORD = 8


def _shaped(value: str) -> bool:
    """Return whether VALUE is written as a list; whether its numbers make sense is for `errors` to say."""
    halves = [half for part in value.split(",") for half in part.strip(" ").split("-", 1)]
    return not value or all(half.isascii() and half.isdigit() and len(half) <= DIGITS_MAX for half in halves)


number_list = text("a list of numbers such as 0-3,7", _shaped)


def errors(value: str, at: str) -> Iterator[ConfigError]:
    """Yield an error for a range of list VALUE, found AT, that runs backwards or too far."""
    for low, high in _ranges(value):
        if not low <= high <= NUMBER_MAX:
            hint = f"numbers from 0 to {NUMBER_MAX}, the smaller one first"
            yield ConfigError(f'"{value}" has no such range: {low}-{high}', pointer=at, hint=hint)


def _ranges(value: str) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of each part of list VALUE."""
    for part in value.split(",") if value else ():
        first, dash, last = part.strip(" ").partition("-")
        yield int(first), int(last if dash else first)


def mask(value: str) -> bytes:
    """Return the list VALUE, which has no errors, as bits: number n is bit n, in whole words of 64."""
    bits = 0
    for low, high in _ranges(value):
        bits |= (1 << high + 1) - (1 << low)
    words = (bits.bit_length() + 63) // 64
    return bits.to_bytes(words * WORD, "little")


def shown(bits: bytes) -> str:
    """Return BITS as a list again, the shortest one."""
    numbers = {n for n in range(len(bits) * 8) if bits[n // 8] >> n % 8 & 1}
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n for n in numbers if n + 1 not in numbers)
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in zip(starts, ends, strict=True))
