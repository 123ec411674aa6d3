"""Lists of numbers as the kernel reads them: processors and nodes (admin-guide/kernel-parameters.rst, "cpu lists")."""

from __future__ import annotations

MOST = 1 << 16  # more has no machine


def members(text: str) -> set[int] | None:
    """Return the numbers in TEXT, such as "0-3,8"; None if it is no list.  "all" and "N", which depend on the machine, are {}."""
    found: set[int] = set()
    for part in text.replace(",", " ").split():
        if part.lower() == "all":
            continue
        span, _, stride = part.partition(":")
        first, dash, last = span.partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            return None
        low, high = int(first), int(last or first)
        used, slash, group = stride.partition("/")
        if high < low or high > MOST or (":" in part and not (slash and _is_number(used) and _is_number(group))):
            return None
        size, taken = (int(group), int(used)) if stride else (1, 1)
        if not 0 < taken <= size:
            return None
        found |= {number for number in range(low, high + 1) if (number - low) % size < taken}
    return found


def _is_number(text: str) -> bool:
    """Return whether TEXT is a number in digits."""
    return text.isascii() and text.isdigit()
