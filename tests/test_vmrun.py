"""integration/vm/vmrun: how long a guest is waited for, and when it is started again.

The machine is a process of ours that is told by QEMU's own arguments where to write.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

VM = Path(__file__).parents[1] / "integration/vm"
# Counts its runs in file ME, and does what there is to do in the first, or in every other.
MACHINE = """
import os, sys, time
status, out, err = (int(word.split(",")[0][3:]) for word in sys.argv if word.startswith("fd="))
me, first, later = sys.argv[1:4]
runs = os.stat(me).st_size
os.write(os.open(me, os.O_WRONLY | os.O_APPEND), b".")
say = lambda text: os.write(out, text.encode())
end = lambda number: os.write(status, b"%d\\n" % number) and sys.exit()
alive = lambda: os.write(status, b"\\n")
exec(later if runs else first)
"""
GOOD = "alive(); say('fine\\n'); end(0)"
HANGS = "alive(); say('a.py ..'); time.sleep(100)"


def load(name: str) -> ModuleType:
    """Return the program NAME, which has no suffix, as a module."""
    loader = SourceFileLoader(name, str(VM / name))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    found = module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(found)
    finally:
        sys.dont_write_bytecode = before
    return found


vmrun, run = load("vmrun"), load("run")


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary):
    """Return a function that runs a machine, and returns its status, how often it ran, and what was said."""
    monkeypatch.setattr(vmrun, "BOOT", 2)
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    (tmp_path / "runs").touch()
    (tmp_path / "console").write_text("the console\n")

    def watch(first: str, later: str = GOOD, **more: object) -> tuple[int, int, str]:
        options = {"command": ["true"], "timeout": 60.0, "stall": 1.0, "failed": None, **more}
        command = [sys.executable, "-c", MACHINE, str(tmp_path / "runs"), first, later]
        status = vmrun.watched(Namespace(console=str(tmp_path / "console"), **options), command)
        said = b"".join(capfdbinary.readouterr()).decode()
        return status, (tmp_path / "runs").stat().st_size, said

    return watch


def test_one_that_ends(watched):
    status, runs, said = watched("alive(); say('output\\n'); end(3)")
    assert (status, runs) == (3, 1)
    assert "output" in said
    assert "vmrun" not in said


def test_one_that_stalls_is_started_again(watched):
    status, runs, said = watched(HANGS)
    assert (status, runs) == (0, 2)
    assert "the guest stalled: nothing was heard for 1 s" in said
    assert re.search(r"last heard:\n +a\.py \.\.\n", said)
    assert "fine" in said


def test_but_once(watched):
    status, runs, said = watched(HANGS, HANGS)
    assert (status, runs) == (124, 2)
    assert "the console" in said


def test_and_not_if_something_has_failed(watched):
    status, runs, said = watched("alive(); say('integration/test_a.py ..F.'); time.sleep(100)", failed=run.FAILED)
    assert (status, runs) == (124, 1)
    assert "test_a.py ..F." in said


def test_nor_if_it_has_told_its_status(watched):
    assert watched("alive(); os.write(status, b'1\\n'); time.sleep(100)")[:2] == (1, 1)


def test_one_that_goes_on_talking(watched):
    talk = "alive(); [(say('.'), time.sleep(0.2)) for _ in range(10)]; end(0)"
    assert watched(talk)[:2] == (0, 1)


def test_no_sign_of_life(watched):
    status, runs, said = watched("time.sleep(100)")
    assert (status, runs) == (0, 2)
    assert "the guest gave no sign of life: nothing was heard for 2 s" in said


def test_its_time_is_over(watched):
    status, runs, said = watched(HANGS, stall=None, timeout=1.5)
    assert (status, runs) == (124, 1)
    assert "the guest timed out\n" in said


def test_the_second_has_what_is_left(watched):
    """Of all the time that there is."""
    status, runs, said = watched(HANGS, "alive(); [(say('.'), time.sleep(0.2)) for _ in range(100)]", timeout=3.0)
    assert (status, runs) == (124, 2)
    assert "the guest timed out\n" in said


def test_one_that_dies(watched):
    status, runs, said = watched("alive(); sys.exit()")
    assert (status, runs) == (125, 1)
    assert "the guest ended without a status" in said


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("integration/test_a.py ..F.", True),
        ("integration/engines/test_cri.py E", True),
        ("..s.F....                [ 12%]", True),
        ("integration/test_a.py ..sxR.                [ 12%]", False),
        ("....", False),
        ("collected 30 items", False),
        ("FFFF is no progress", False),
        ("vmrun: Everything", False),
    ],
)
def test_what_shows_that_a_test_has_failed(line: str, failed: bool):
    assert (re.search(run.FAILED, f"first\n{line}\nlast", re.MULTILINE) is not None) == failed
