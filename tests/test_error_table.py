"""Every error that the code makes says what to do, and docs/errors.md lists them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "script/errors.py"
sys.path.insert(0, str(SCRIPT.parent))
from errors import Told, errors  # noqa: E402

FOUND = errors()
# Errors without a hint of their own, by module and message, each with its reason.
WORDS = "engines look for these words of runc's; which container it is stands on the command line"
WITHOUT = {
    ("container/verbs/kill.py", "container not running"): WORDS,
    ("container/verbs/exec.py", "cannot exec in a stopped container: container not running"): WORDS,
    ("run/steps/copyup.py", 'cannot copy "..." of the directory below: ...'): "by its errno: run/hints.py, copy_up",
}


def name(told: Told) -> str:
    return f"{told.module}:{told.line}"


def test_the_code_is_seen():
    """With what it says, also where a message or a hint has a name of its own."""
    assert len(FOUND) > 300
    assert ("oci/check.py", "a new user namespace needs mappings") in {(each.module, each.message) for each in FOUND}
    hints = {each.hint for each in FOUND if each.module == "cgroup/limits.py"}
    assert "remove the setting, or mount the controller" in hints


@pytest.mark.parametrize("told", FOUND, ids=name)
def test_what_to_do_is_said(told):
    assert told.hint or (told.module, told.message) in WITHOUT


def test_no_reason_is_left_behind():
    lacking = {(each.module, each.message) for each in FOUND if not each.hint}
    assert lacking == WITHOUT.keys()


def test_the_document_is_what_the_code_says():
    """Run script/errors.py."""
    assert subprocess.run([sys.executable, SCRIPT, "--check"], check=False).returncode == 0
