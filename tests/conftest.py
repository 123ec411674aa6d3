"""What the unit tests share.  None needs root, a network or another program than Python."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the directory of the project."""
    return CHECKOUT
