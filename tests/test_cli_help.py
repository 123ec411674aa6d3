"""Help tells about every command and option; it is made from the table that the parser reads."""

from __future__ import annotations

import pytest

from pyrunc import __version__
from pyrunc.cli import help as help_
from pyrunc.cli import version
from pyrunc.cli.table import GLOBAL, HELP, Command, commands
from pyrunc.errors import UsageError


def test_all_commands_and_general_options():
    text = help_.text()
    for command in commands():
        assert f"  {command.name:<12}{command.help}\n" in text
    for option in GLOBAL:
        for name in option.names:
            assert ("--" if len(name) > 1 else "-") + name in text


@pytest.mark.parametrize("command", commands(), ids=[command.name for command in commands()])
def test_one_command(command: Command):
    text = help_.text(command.name)
    flat = " ".join(text.split())
    start = f"NAME: pyrunc {command.name} - {command.help} usage: pyrunc [GLOBAL OPTIONS] {command.name} [OPTIONS]"
    assert flat.startswith(" ".join(start.split()))
    for option in (*command.options, HELP):
        assert " ".join(option.help.split()) in flat
        assert all(f"--{name}" in text or f"-{name}" in text for name in option.names)
        assert all(choice in text for choice in option.choices)
    required = len(command.positional) - command.optional
    usage = flat.partition("usage:")[2]
    for index, name in enumerate(command.positional):
        assert (name if index < required else f"[{name}]") in usage
    assert command.example in flat


def test_an_unknown_command():
    with pytest.raises(UsageError, match="fly"):
        help_.text("fly")


def test_version_has_the_lines_that_engines_read():
    lines = version.text().splitlines()
    assert lines[0] == f"pyrunc version {__version__}"
    assert [line.partition(":")[0] for line in lines[1:]] == ["commit", "spec", "python", "libseccomp"]
    assert lines[2] == "spec: 1.3.0"
