"""A few changed configurations of real engines, created by pyrunc and by runc: who refuses what the other takes is explained.

`script/fuzz --compare RUNC --runtime PYRUNC` has more of them, from other seeds; docs/reliability.md.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from integration import verdicts
from tests.schemas import needs_shared

SEED, COUNT = 7, 60


def version() -> tuple[int, ...]:
    """Return the version of runc on this machine."""
    said = subprocess.run(["runc", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return tuple(int(word) for word in said.split("-")[0].split("+")[0].split(".")[:2])


def test_what_is_explained_is_a_row_of_the_document():
    rows = (Path(__file__).parents[1] / "docs/differences.md").read_text().splitlines()
    kinds = [why for who in verdicts.EXPLAINED.values() for _, why in who] + [verdicts.BY_THEIRS, verdicts.FILTERED]
    assert [why for why in kinds if not any(row.startswith(f"| {why}") for row in rows)] == []


@needs_shared
@pytest.mark.pyrunc_only("it is what pyrunc is compared with")
@pytest.mark.slow_vm
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("runc") is None or version() < (1, 4), reason="runc before 1.4 takes and refuses other things")
def test_verdicts_agree(binary):
    assert verdicts.compare(shutil.which("runc"), binary, COUNT, SEED) == 0
