"""The shared samples: configs that engines wrote for real, and the specification's own good and bad ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("PYRUNC_SHARED") or Path(__file__).parents[2] / "shared")
OTHER_DOCUMENTS = (".exec-process", ".update-resources")
CONFIGS = sorted(
    path for path in SHARED.glob("configs/*/*.json") if not any(other in path.name for other in OTHER_DOCUMENTS)
)
PROCESSES = sorted(SHARED.glob("configs/*/*.exec-process*.json"))
UPSTREAM = SHARED / "oci/schema/test/config"
ABSENT = pytest.mark.skipif(not CONFIGS, reason=f"no samples in {SHARED}: set PYRUNC_SHARED to their directory")


def name(path: Path) -> str:
    """Return what the tests call the sample at PATH: its engine and its file."""
    return f"{path.parent.name}/{path.name}"


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """Return the mark that runs a test of `path` on each of PATHS, or skips it, saying why."""
    if not paths:
        return pytest.mark.parametrize("path", [pytest.param(SHARED, marks=ABSENT)], ids=["absent"])
    return pytest.mark.parametrize("path", paths, ids=name)
