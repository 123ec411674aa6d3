"""script/suite.py adds up what the tox environments report, and never passes when nothing ran."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "script/suite.py"
SKIPS = "SKIPPED [2] tests/test_a.py:1: no such device"
UNIT = f"=== short test summary info ===\n{SKIPS}\n=== 5 passed, 2 skipped in 1.20s ==="


@pytest.fixture
def suite(tmp_path: Path):
    """Return a function that runs the suite where tox says what each environment is given."""

    def run(*arguments: str, timeout: float | None = None, **said: tuple[int, str]) -> subprocess.CompletedProcess[str]:
        tox = tmp_path / ".cache/tox/bin/tox"
        tox.parent.mkdir(parents=True, exist_ok=True)
        cases = "".join(
            f"{name}) cat <<'END'\n{text}\nEND\nexit {status};;\n" for name, (status, text) in said.items()
        )
        tox.write_text(f'#!/bin/sh\ncase "$3" in\n{cases}esac\n')
        tox.chmod(0o755)
        command = [sys.executable, str(SUITE), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=timeout)

    return run


def test_counts_are_summed_and_reasons_shown(suite):
    done = suite(
        "lint",
        "unit",
        "vm",
        lint=(0, "fine"),
        unit=(0, UNIT),
        vm=(0, "===== 3 passed in 100.00s (0:01:40) ====="),
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[-1] == "8 passed, 0 failed, 2 skipped"
    assert f"unit: {SKIPS}" in lines


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ((1, "=== 1 failed, 4 passed, 1 error in 2.00s ==="), "4 passed, 2 failed, 0 skipped"),
        ((1, "a traceback, and no summary"), "0 passed, 1 failed, 0 skipped"),
        ((0, "=== 5 skipped in 0.10s ==="), "0 passed, 1 failed, 5 skipped"),
        ((0, "=== no tests ran in 0.01s ==="), "0 passed, 1 failed, 0 skipped"),
        ((3, "=== 4 passed in 0.10s ==="), "4 passed, 1 failed, 0 skipped"),
    ],
)
def test_what_fails_or_does_not_run_fails(suite, said, last):
    done = suite("unit", unit=said)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == last


def test_a_linter_counts_as_one_failure(suite):
    done = suite("lint", "unit", lint=(1, "E501"), unit=(0, UNIT))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "5 passed, 1 failed, 2 skipped")


def test_quick_leaves_the_virtual_machine_out(suite):
    fine = (0, "=== 1 passed in 0.10s ===")
    done = suite("--quick", lint=(0, ""), type=(0, ""), unit=fine, integration=fine, script=fine, vm=(1, ""))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "3 passed, 0 failed, 0 skipped")


def test_what_makes_no_containers_runs_side_by_side(suite, tmp_path: Path):
    """Each of the two waits for the other."""
    os.mkfifo(tmp_path / "meet")
    said = f"END\n{{}} {tmp_path}/meet\ncat <<'END'\n{{}}"
    done = suite("lint", "unit", lint=(0, said.format("echo fine >", "")), unit=(0, said.format("read word <", UNIT)), timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "5 passed, 0 failed, 2 skipped")
