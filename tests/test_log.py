"""Log lines, as engines read them back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

import pytest

from pyrunc.log import Log

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def written(tmp_path):
    """Return a function that opens a log and one that reads what was written there."""
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield fd, (tmp_path / "log").read_text
    os.close(fd)


Written = tuple[int, Callable[[], str]]


def test_json(written: Written):
    fd, text = written
    log = Log(fd, "json", debugging=True)
    log.error('say "no"\n')
    log.warning("w")
    log.debug("d")
    rows = [json.loads(line) for line in text().splitlines()]
    assert [(row["level"], row["msg"]) for row in rows] == [("error", 'say "no"\n'), ("warning", "w"), ("debug", "d")]
    assert all(re.fullmatch(TIME, row["time"]) for row in rows)


def test_text(written: Written):
    fd, text = written
    Log(fd).error('say "no"\nor not')
    assert re.fullmatch(rf'time="{TIME}" level=error msg="say \\"no\\"\\nor not"\n', text())


def test_debug_lines_only_when_asked(written: Written):
    fd, text = written
    Log(fd).debug("nothing")
    assert text() == ""


def test_nowhere():
    Log().error("nobody hears it")


def test_odd_names_are_written_all_the_same(written: Written):
    """A path that is not UTF-8 is in an error as surrogates."""
    fd, text = written
    Log(fd, "json").error(os.fsdecode(b"/a\xff"))
    Log(fd, "text").error(os.fsdecode(b"/a\xff"))
    assert text().count("\n") == 2
    assert json.loads(text().splitlines()[0])["msg"] == "/a\udcff"
