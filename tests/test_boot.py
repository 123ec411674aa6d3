"""The image of a command's modules: made once, taken if whole, current and ours, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.boot import HEAD, head

INTERPRETER = sys.executable  # whose images `head` is for
MARK = '\n\nimport sys\nsys.stderr.write("changed\\n")\n'
Run = Callable[[], str]


@pytest.fixture
def package(checkout: Path, tmp_path: Path) -> Path:
    """Return a copy of the package."""
    shutil.copytree(checkout / "runtime/pyrunc", tmp_path / "pyrunc", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyrunc/__pycache__").mkdir()
    return tmp_path / "pyrunc"


@pytest.fixture
def run(package: Path) -> Run:
    """Return a function that asks for the state of a container that is not there, and returns what was said."""
    program = f"import sys; sys.path.insert(0, {str(package.parent)!r}); from pyrunc.boot import main; main()"

    def state() -> str:
        command = [INTERPRETER, "-I", "-S", "-c", program, "--root", str(package.parent), "state", "absent"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    return state


def image(package: Path) -> Path:
    (found,) = (package / "__pycache__").glob("state.*.image")
    return found


def test_it_is_made_once_and_says_the_same(package: Path, run: Run):
    first = run()
    assert first.startswith("pyrunc state failed: container does not exist (there is no absent below ")
    made = image(package).stat()
    assert made.st_mode & 0o022 == 0
    assert run() == first
    assert (image(package).stat().st_ino, image(package).stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_it_is_really_used(package: Path, run: Run):
    """A source of the same size and time is not read again."""
    run()
    source = package / "container/verbs/state.py"
    before = source.stat()
    text = source.read_bytes()
    source.write_bytes(b"x" * len(text))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.rmtree(source.parent / "__pycache__", ignore_errors=True)
    assert run().startswith("pyrunc state failed: container does not exist (there is no absent below ")


def test_a_changed_source_counts(package: Path, run: Run):
    run()
    source = package / "container/verbs/state.py"
    source.write_text(source.read_text() + MARK)
    assert run().startswith("changed\n")
    assert run().startswith("changed\n")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_one_that_others_may_write_is_not_run(package: Path, run: Run, mode: int):
    """Nor is it trusted in part: what it holds would run as root."""
    run()
    planted = image(package).read_bytes()[HEAD:].replace(b"does not exist", b"planted by foe")
    planted = head(planted) + planted
    image(package).write_bytes(planted)
    assert "planted" in run()
    image(package).write_bytes(planted)
    image(package).chmod(mode)
    assert "planted" not in run()


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 5000])
def test_a_damaged_one_is_thrown_away(package: Path, run: Run, damage: bytes):
    first = run()
    image(package).write_bytes(damage)
    assert run() == first
    whole = image(package)
    assert whole.stat().st_size > 10_000
    whole.write_bytes(whole.read_bytes()[:-7])
    assert run() == first


@pytest.mark.parametrize("place", [0, 3, 4, 7, 8, 15, 16, 17, 40, 4096, 30000, -1])
def test_one_bit_of_damage_is_enough(package: Path, run: Run, place: int):
    """What marshal would obey, or crash on, is not even read."""
    first = run()
    whole = image(package).read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 4
    image(package).write_bytes(damaged)
    assert run() == first
    assert image(package).read_bytes() == whole


def test_zeros_in_the_middle(package: Path, run: Run):
    first = run()
    whole = image(package).read_bytes()
    image(package).write_bytes(whole[:4096] + b"\0" * 20000 + whole[24096:])
    assert run() == first
    assert image(package).read_bytes() == whole


def test_one_that_cannot_be_read_or_replaced(package: Path, run: Run):
    first = run()
    path = image(package)
    path.unlink()
    path.mkdir()
    assert run() == first
    assert [found.name for found in path.parent.glob("*.image*")] == [path.name]


def test_a_read_only_installation_is_only_slower(package: Path, run: Run):
    shutil.rmtree(package / "__pycache__")
    (package / "__pycache__").touch()  # so that nobody can write below it, not even root
    assert run().startswith("pyrunc state failed: container does not exist (there is no absent below ")
