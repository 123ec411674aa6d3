"""The tables of `list` and `ps`."""

from __future__ import annotations

import pytest

from pyrunc.cli.commands import ps
from pyrunc.cli.commands.list import table
from pyrunc.errors import PyruncError

PS = """\
UID          PID    PPID CMD
root           1       0 init 12
root          12       1 sh
nobody       123      12 cat 1
"""


@pytest.mark.parametrize(
    ("found", "lines"),
    [([12], ["root          12       1 sh"]), ([1, 123], [PS.splitlines()[1], PS.splitlines()[3]]), ([], []), ([99], [])],
)
def test_ps_keeps_the_header_and_the_containers_processes(found: list[int], lines: list[str]):
    assert ps.chosen(PS, found) == "\n".join([PS.splitlines()[0], *lines]) + "\n"


def test_ps_finds_the_column_anywhere():
    assert ps.chosen("COMMAND PID\nsh 7\n8 9\n\n", [7, 8]) == "COMMAND PID\nsh 7\n"


@pytest.mark.parametrize("text", ["", "COMMAND\nsh\n", "PIDS\n7\n"])
def test_ps_without_a_pid_column(text: str):
    with pytest.raises(PyruncError) as caught:
        ps.chosen(text, [7])
    assert caught.value.message.startswith("couldn't find PID field in ps output")


def test_list_aligns_its_columns():
    row = {"id": "a-rather-long-name", "pid": 7, "status": "running", "bundle": "/b", "created": "now", "owner": "root"}
    lines = table([row, {**row, "id": "b", "pid": 0}]).splitlines()
    assert lines[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    for name, value in (("PID", "7"), ("STATUS", "running"), ("OWNER", "root")):
        assert lines[1].index(value) == lines[0].index(name)
    assert not any(line.endswith(" ") for line in lines)
