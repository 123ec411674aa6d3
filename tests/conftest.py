"""What the unit tests share.  None needs root, a network or another program than Python.

`pytest tests/test_plans.py --update-golden` writes tests/golden/*.plan anew, to be
read as a diff before it is committed.  PYRUNC_SHARED names the directory with the
configs of engines and the specification's own samples (default: `shared`
beside the checkout); tests of those are skipped where it is absent.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

CHECKOUT = Path(__file__).parents[1]
settings.register_profile("unit", deadline=None, derandomize=True, max_examples=60, database=None)
settings.load_profile("unit")
os.umask(0o022)  # whatever the caller's is: images have modes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.plan anew")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the directory of the project."""
    return CHECKOUT
