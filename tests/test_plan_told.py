"""`plan` for people: what each step is for, the summary, what a terminal and a file get."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path

import pytest

from pyrunc.cli.main import main
from pyrunc.plan import meaning, summary, text
from pyrunc.plan.op import Op, Plan

CHECKOUT = Path(__file__).parents[1]
HELLO = str(CHECKOUT / "examples/hello")
CALL = re.compile(r"^(?:[\w-]+ = )?(\w+)\(")
MADE = Plan(
    host=(Op("make_cgroup", ((),), "/linux/cgroupsPath"), Op("barrier", ("ready",)), Op("commit"), Op("go", ("ready",))),
    child=(
        Op("mask", ("a",), "/mounts/0"),
        Op("mask", ("b",), "/mounts/0/destination"),
        Op("mask", ("c",), "/mounts/1"),
        Op("barrier", ("ready",)),
        Op("exec_program"),
    ),
)


def calls() -> set[str]:
    """Return every call of the golden plans."""
    lines = [line.strip() for file in (CHECKOUT / "tests/golden").glob("*.plan") for line in file.read_text().splitlines()]
    return {found[1] for line in lines if (found := CALL.match(line))} | {"barrier", "go"}


def test_every_call_of_the_golden_plans_is_explained():
    assert calls() <= set(meaning.MEANING)


def test_nothing_is_explained_that_no_planner_writes():
    planners = "".join(file.read_text() for file in (CHECKOUT / "runtime/pyrunc/plan").rglob("*.py") if file.stem != "meaning")
    assert [call for call in meaning.MEANING if f'"{call}"' not in planners] == []


def test_an_explanation_is_one_sentence():
    for call, (sentence, page) in meaning.MEANING.items():
        assert re.fullmatch(r"[A-Z].*\.", sentence), call
        assert len(sentence) < 120, call
        assert not page or re.fullmatch(r"[a-z_.0-9]+\([1-8]\)", page), call


def test_explained_text_has_each_line_of_the_plain_one():
    plain, explained = text.render(MADE).splitlines(), text.render(MADE, explain=True).splitlines()
    assert [line for line in explained if line in plain] == plain
    assert len(explained) - len(plain) == len(MADE.host) + len(MADE.child)


def test_the_summary_counts_every_step_once():
    lines = summary.render(MADE).splitlines()
    assert lines[0] == "6 steps: 2 on the host side, 4 in the new process; they meet at ready"
    assert lines[3:] == [
        "         2  /mounts/0",
        "   1     1  whatever it says",
        "   1        /linux/cgroupsPath",
        "         1  /mounts/1",
    ]


def test_what_repeats_itself_for_one_part_is_folded():
    rows = [(op.args, more) for _, op, more in summary.folded(MADE) if op.call == "mask"]
    assert rows == [(("a",), 1), (("c",), 0)]


def on_a_terminal(*argv: str, **env: str) -> str:
    """Return what pyrunc ARGV says to a terminal."""
    path = str(CHECKOUT / "runtime")
    program = f"import sys; sys.path.insert(0, {path!r}); from pyrunc.cli.main import main; sys.exit(main(sys.argv[1:]))"
    pid, master = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-I", "-c", program, *argv], {"PATH": "/usr/bin:/bin", **env})
    said = b""
    try:
        while part := os.read(master, 4096):
            said += part
    except OSError:
        pass  # EIO: it has ended
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    return said.decode()


def test_a_terminal_gets_colour_and_no_repetitions(capfd: pytest.CaptureFixture[str]):
    shown = on_a_terminal("plan", HELLO)
    assert "\x1b[1m-- at ready" in shown
    assert " more such" in shown
    assert main(["plan", HELLO]) == 0
    piped = capfd.readouterr().out
    assert "\x1b" not in piped
    assert "more such" not in piped
    assert len(piped.splitlines()) > len(shown.splitlines())


def test_no_colour_where_nobody_wants_it():
    assert "\x1b" not in on_a_terminal("plan", HELLO, NO_COLOR="1")


def test_a_page_goes_to_a_file_or_to_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    file = tmp_path / "plan.html"
    assert main(["plan", "--html", str(file), HELLO]) == 0
    assert main(["plan", "--html", "-", HELLO]) == 0
    assert capfd.readouterr().out == file.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--html", "/absent/plan.html"], "cannot write /absent/plan.html: no such file or directory (name another file, or -"),
        (["--json", "--summary"], "--json and --summary do not go together (take one of them)"),
        (["--undo", "--explain"], "--undo and --explain do not go together"),
    ],
)
def test_what_cannot_be_is_said(options: list[str], message: str, capfd: pytest.CaptureFixture[str]):
    assert main(["plan", *options, HELLO]) == 1
    assert message in capfd.readouterr().err
