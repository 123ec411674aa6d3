"""Races: an attacker lets a directory and a link change places, as fast as it goes, while something is tried again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pyrunc.errors import OpError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS, TRIES = 1.5, 1000  # a race goes on for so long, and until there were so many tries
NAMES = 300  # of what is made: each is made in the one place and in the other
AT_MOST = 30.0  # seconds, on a machine that is busy with other things


def by_turns(directory: Path, target: Path) -> tuple[Path, Path]:
    """Make, in DIRECTORY, a directory and a link to TARGET; return both, to change places."""
    one, other = directory / "here", directory / "there"
    one.mkdir(exist_ok=True)
    other.symlink_to(target)
    return one, other


def tried(make: Callable[[Path, str], object], root: Path, tries: int = TRIES) -> int:
    """MAKE one thing after the other in ROOT's directory `here`, for a while and at least TRIES times; return how often."""
    begun, count = time.monotonic(), 0
    while (passed := time.monotonic() - begun) < SECONDS or (count < tries and passed < AT_MOST):
        try:
            make(root, f"/here/made{count % NAMES}")
        except (OSError, OpError):
            pass  # as it must, where the link loops or what was found is gone
        count += 1
    return count
