"""Races: an attacker lets a directory and a link change places, as fast as it goes, while something is tried again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pyrunc.errors import OpError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS, TRIES = 1.5, 1000  # how long a race goes on, and how many tries it must have seen


def by_turns(directory: Path, target: Path) -> tuple[Path, Path]:
    """Make, in DIRECTORY, a directory and a link to TARGET; return both, to change places."""
    one, other = directory / "here", directory / "there"
    one.mkdir(exist_ok=True)
    other.symlink_to(target)
    return one, other


def tried(make: Callable[[Path, str], object], root: Path, seconds: float = SECONDS) -> int:
    """MAKE one thing after the other in ROOT's directory `here`, for so many SECONDS; return how many tries there were."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            make(root, f"/here/made{count}")
        except (OSError, OpError):
            pass  # as it must, where the link loops or what was found is gone
        count += 1
    return count
