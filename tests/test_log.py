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


@pytest.fixture
def heard(tmp_path):
    """Return a descriptor that stands for a person's standard error, and a function that returns what was said there."""
    fd = os.open(tmp_path / "said", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield fd, (tmp_path / "said").read_text
    os.close(fd)


def test_without_a_log_a_person_hears_warnings_and_nothing_else(heard: Written):
    fd, text = heard
    log = Log(person=fd, head="pyrunc run")
    log.debug("d")
    log.error("e")
    log.warning("a hook said:\n\x1b[2Jgone")
    assert text() == "pyrunc run: warning: a hook said:\\n\\x1b[2Jgone\n"


def test_with_a_log_warnings_go_there(written: Written, heard: Written):
    Log(written[0], person=heard[0]).warning("w")
    assert 'level=warning msg="w"' in written[1]()
    assert heard[1]() == ""


def test_a_log_that_cannot_be_written_fails_nobody(heard: Written):
    full = os.open("/dev/full", os.O_WRONLY)
    log = Log(full, "json", debugging=True, person=heard[0], head="pyrunc delete")
    log.debug("d")
    log.warning("w")
    log.warning("again")
    log.error("e")
    os.close(full)
    assert heard[1]().splitlines() == [
        "pyrunc delete: warning: the log cannot be written: no space left on device",
        "pyrunc delete: warning: w",
        "pyrunc delete: warning: again",
    ]


def test_nobody_who_hears_it_fails_nobody():
    read, write = os.pipe()
    os.close(read)
    log = Log(write, person=write)
    log.warning("w")
    log.error("e")
    os.close(write)
    Log(write, person=write).warning("to descriptors that are closed")
