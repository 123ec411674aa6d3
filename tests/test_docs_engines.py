"""docs/engines.md: its `pyrunc install` commands are run, and what it shows is what is written."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pyrunc.cli.main import main
from pyrunc.install.engines import ENGINES
from tests.engine_files import FILES, PROGRAM, Machine

TEXT = (Path(__file__).parents[1] / "docs/engines.md").read_text()
COMMANDS = [line.split()[1:] for line in TEXT.splitlines() if line.startswith("    pyrunc install ")]


def blocks(section: str) -> list[str]:
    """Return the indented blocks of SECTION, without their indent."""
    lines = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    text = "\n".join(line[4:] if line.startswith("    ") else "\0" for line in lines)
    return [block.strip("\n") for block in text.split("\0") if block.strip()]


def test_every_command_in_turn(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert len(COMMANDS) >= 6
    for words in COMMANDS:
        given = [word for word in words if word != "/tmp/package"]  # a directory of the test's instead
        given = [word for word in given if word != "--destdir"] + ["--destdir", str(tmp_path)]
        program = [] if "--path" in given else ["--path", PROGRAM]
        assert main([*given, *program]) == 0, words
        out = capfd.readouterr().out
        assert "nothing to do" not in out, f"{words}: {out}"
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {FILES[engine][1:] for engine in ("podman", "containerd", "cri-o")}


def test_what_is_shown_of_crio_is_what_is_written(tmp_path: Path):
    Machine(tmp_path).add("cri-o", default=True)
    shown = "\n".join(blocks("CRI-O"))
    assert tomllib.loads(shown) == tomllib.loads((tmp_path / FILES["cri-o"][1:]).read_text())


def test_the_table_names_every_engine_and_file():
    for name, engine in ENGINES.items():
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {engine.title} |")]
        assert f"`{FILES[name]}`" in row
        assert engine.restart.partition(" (")[0] in row or name == "podman"
