"""The nearest right word to a wrong one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ALIKE = 0.7  # from 0 to 1, as difflib counts: two letters of eight may differ
BEGUN = 4  # letters that make a word recognisable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return which of KNOWN the WORD is likely to stand for, upper and lower case alike; "" if none is near."""
    from difflib import get_close_matches

    by_lower = {each.lower(): each for each in sorted(known)}
    longer = [each for each in by_lower if len(word) >= BEGUN and each.startswith(word.lower())]
    found = sorted(longer, key=len) or get_close_matches(word.lower(), by_lower, n=1, cutoff=ALIKE)
    return by_lower[found[0]] if found else ""


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint that names the nearest of KNOWN to WORD, and OTHERWISE says what to do without one."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else otherwise
