"""Many containers at once, in sequence, and in random order with commands that are killed; a small share of script/load.

`script/load --runtime PYRUNC` has the whole, and --growth what each command costs beside many containers; docs/reliability.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "script/load"
pytestmark = [pytest.mark.pyrunc_only("others hang, or leave something"), pytest.mark.slow_vm, pytest.mark.timeout(400)]


def load(binary, *flags):
    words = [sys.executable, str(SCRIPT), "--runtime", binary, *flags]
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_twentieth(binary):
    done = load(binary, "--share", "0.05")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("load: 0 faults\n")


def test_what_a_command_costs_does_not_grow(binary):
    """But for `list`, which looks at each container: by so many system calls for each, and no more."""
    done = load(binary, "--growth", "--share", "0.04")
    assert done.returncode == 0, done.stdout
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| `")]
    calls = {row[0].strip("`"): [int(cell.split()[0]) for cell in row[1:]] for row in rows}
    assert set(calls) == {"run", "state", "exec", "ps", "update", "list", "delete --force"}
    listed = calls.pop("list")
    assert listed[-1] - listed[0] <= (20 - 1) * 16, listed
    for name, found in calls.items():
        assert max(found) - min(found) <= 0.05 * max(found) + 12, (name, found)
