"""Lists of processors and of memory nodes, such as 0-3,7: the kernel's own notation (cpuset(7), "List format")."""

from __future__ import annotations

from pyrunc.oci.convert import string, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.convert import Converter

NUMBER_MAX = 8191  # a kernel is built for 8192 processors at most, and for fewer nodes
WORD = 8


def _part(text: str) -> tuple[int, int] | None:
    """Return the first and the last number of one part of a list; None if it is none."""
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not all(half.isascii() and half.isdigit() and len(half) <= len(str(NUMBER_MAX)) for half in (first, last)):
        return None
    low, high = int(first), int(last)
    return (low, high) if low <= high <= NUMBER_MAX else None


def number_list(example: str) -> Converter:
    """Return a converter of lists, whose message shows EXAMPLE."""

    def convert(value: object, at: str) -> str:
        text = string(value, at)
        for part in text.split(",") if text else ():
            if _part(part.strip()) is None:
                hint = f'numbers from 0 to {NUMBER_MAX} and ranges, such as "{example}"'
                raise wrong(value, "a list of numbers", at, hint)
        return text

    return convert


def mask(text: str) -> bytes:
    """Return the list TEXT, which a converter has passed, as bits: number n is bit n, in whole words of 64."""
    bits = 0
    for part in text.split(","):
        found = _part(part.strip())
        if found is not None:
            low, high = found
            bits |= (1 << high + 1) - (1 << low)
    words = (bits.bit_length() + 63) // 64
    return bits.to_bytes(words * WORD, "little")


def text(bits: bytes) -> str:
    """Return BITS as a list again, the shortest one."""
    numbers = {n for n in range(len(bits) * 8) if bits[n // 8] >> n % 8 & 1}
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n for n in numbers if n + 1 not in numbers)
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in zip(starts, ends, strict=True))
