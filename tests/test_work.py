"""Who works on a container: one alone, several side by side, nobody who has ended, and nobody who waits for us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrunc.container import work
from pyrunc.errors import StateError
from pyrunc.host import tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNTIME = Path(__file__).parents[1] / "runtime"
# Works on the directory of its first argument; the words that come in say what to do next.
OTHER = """
import subprocess, sys
from pyrunc.container import work
mine = work.begin_new(sys.argv[1], "checkpoint")
print("at work", flush=True)
for line in sys.stdin:
    if line == "share\\n":
        mine.share()
    elif line == "close\\n":
        mine.close()
    elif line == "hook\\n":
        child = subprocess.Popen(["sleep", "60"], stdin=-3, stdout=-3)
        mine.waits_for(child.pid)
    elif line == "wait\\n":
        print(child.wait(), flush=True)
        mine.close()
        continue
    elif line.startswith("run "):
        code = "from pyrunc.container import work; work.begin(%r, 'start')" % sys.argv[1]
        argv = ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, code]  # as a hook does
        print(subprocess.run(argv).returncode)
    print("done", flush=True)
"""


class Other:
    """Another command, at work on a container."""

    def __init__(self, directory: Path) -> None:
        environment = {"PYTHONPATH": str(RUNTIME), "PATH": os.environ["PATH"]}
        argv = [sys.executable, "-c", OTHER, str(directory)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.hears() == "at work"

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def does(self, word: str) -> str:
        self.tell(word)
        return self.hears()


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    monkeypatch.setattr(work, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(work, "PATIENCE_SECONDS", 0.05)
    made = Other(tmp_path)
    yield made
    made.process.kill()
    made.process.communicate()


def began(directory: Path) -> None:
    working = work.begin(str(directory), "start")
    working.close()


def test_one_who_is_alone_is_waited_for_and_named(other: Other, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=rf"another command.*checkpoint \(pid {other.process.pid}\)") as caught:
        work._begin(str(tmp_path), "start", 0, seconds=0.1)
    assert "delete --force" in caught.value.hint
    assert other.does("close") == "done"
    began(tmp_path)


def test_one_who_shares_keeps_nobody_out(other: Other, tmp_path: Path) -> None:
    assert other.does("share") == "done"
    began(tmp_path)
    assert [each.verb for each in work.others(str(tmp_path))] == ["checkpoint"]


def test_one_who_was_killed_keeps_nobody_out(other: Other, tmp_path: Path) -> None:
    other.process.kill()
    other.process.wait()
    assert work.others(str(tmp_path)) == []
    began(tmp_path)


def test_one_who_waits_for_us_keeps_us_not_out(other: Other) -> None:
    assert other.does("run it") == "0"


def test_by_force_ends_what_the_other_waits_for(other: Other, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "WAIT_SECONDS", 30)
    assert other.does("hook") == "done"
    other.tell("wait")
    working = work.begin_by_force(str(tmp_path), "delete")
    assert other.hears() == "-9"
    assert working is not None
    working.close()


def test_by_force_at_last_nobody_is_waited_for(other: Other, tmp_path: Path) -> None:
    working = work.begin_by_force(str(tmp_path), "delete")
    assert working is not None
    assert len(work.others(str(tmp_path))) == 1
    working.close()
    assert len(work.others(str(tmp_path))) == 1


def test_a_line_that_is_none_means_nothing(tmp_path: Path) -> None:
    pid = os.getppid()
    (tmp_path / "lock").write_text(f"\n{pid} {tasks.start_time(pid)} create alo\nx y z a b c\n1 2\n")
    began(tmp_path)


def test_what_is_deleted_is_gone(tmp_path: Path) -> None:
    working = work.begin_new(str(tmp_path), "create")
    assert working is not None
    (tmp_path / "lock").unlink()
    assert working.gone()
    assert work.begin_new(str(tmp_path / "absent"), "create") is None
    with pytest.raises(StateError, match="does not exist"):
        work.begin(str(tmp_path), "start")
    working.close()
