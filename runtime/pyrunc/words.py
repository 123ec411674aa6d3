"""The nearest right word to a wrong one.  Loaded only to say what is wrong; imports nothing, as it may be after a fork."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

BEGUN = 4  # letters that make a word recognisable
WORD_MAX = 64  # longer ones are no slip of anybody's


def nearest(word: str, known: Iterable[str]) -> str:
    """Return which of KNOWN the WORD is likely to stand for, upper and lower case alike; "" if none is near.

    That is a longer one that begins so, or one that a slip of the fingers in each three letters makes of it.
    """
    if not word or len(word) > WORD_MAX:
        return ""
    asked = word.strip().lower()
    by_lower = {each.lower(): each for each in sorted(known)}
    longer = [each for each in by_lower if len(asked) >= BEGUN and each.startswith(asked)]
    if longer:
        return by_lower[min(longer, key=len)]
    near = [(slips(asked, each), each) for each in by_lower if abs(len(each) - len(asked)) <= _most(asked)]
    return next((by_lower[each] for count, each in sorted(near) if count <= _most(asked)), "")


def _most(word: str) -> int:
    """Return how many slips WORD may have: with more it would be another."""
    return max(1, len(word) // 3)


def slips(word: str, other: str) -> int:
    """Return how many letters have to be added, left out, changed or exchanged with their neighbour to make OTHER of WORD."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        before, above, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            least = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                least = min(least, above[j - 2] + 1)
            row.append(least)
    return row[-1]


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint that names the nearest of KNOWN to WORD, and OTHERWISE says what to do without one."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else otherwise
