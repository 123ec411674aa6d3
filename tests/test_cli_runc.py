"""Whatever runc's help names, and go-runc (which containerd's shim is made of) writes, is taken."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from pyrunc.cli.parse import Arguments, parse_command, parse_general
from pyrunc.cli.table import GLOBAL, HELP, Option, commands

BY_NAME = {command.name: command for command in commands()}
RUNC = shutil.which("runc")
BY_NAME = {command.name: command for command in commands()}
FLAG = re.compile(r"^   --(?P<name>[\w-]+)(?P<value> value)?(?:, -(?P<short>\w)(?: value)?)?  ", re.MULTILINE)
COMMAND = re.compile(r"^   (\w+)(?:, (\w))?  ", re.MULTILINE)

# What the help of 1.1 does not show: hidden, or newer (its change log, 1.2 to 1.5).
ALSO = {
    "create": ("pidfd-socket",),
    "run": ("pidfd-socket", "keep"),
    "exec": ("pidfd-socket", "ignore-paused"),
    "update": ("cpu-burst", "cpu-idle", "kernel-memory", "kernel-memory-tcp"),
    "kill": ("all",),
    "checkpoint": ("tcp-skip-in-flight", "link-remap"),
}
# Which runc lets stand more than once, one value each.
REPEATED = {"exec": ("env", "additional-gids", "cap", "cgroup"), "checkpoint": ("empty-ns",), "restore": ("empty-ns",)}
# Commands that runc has and we do not, with the reason.
NOT_OURS = {"init": "runc's own second half: there is none here", "help": "no command of the table"}


def help_of(*words: str) -> str:
    return subprocess.run([str(RUNC), *words, "--help"], capture_output=True, text=True, check=True).stdout


def options_in(text: str) -> list[re.Match[str]]:
    return list(FLAG.finditer(text.partition("OPTIONS:\n")[2]))


def known(command: str) -> dict[str, Option]:
    options = (*BY_NAME[command].options, HELP) if command else GLOBAL
    return {name: option for option in options for name in option.names}


needs_runc = pytest.mark.skipif(RUNC is None, reason="runc is not installed")


@needs_runc
def test_every_command_of_runcs():
    named = {name for name, _ in COMMAND.findall(help_of().partition("COMMANDS:\n")[2].partition("GLOBAL")[0])}
    assert len(named) > 15, named


@needs_runc
@pytest.mark.parametrize("command", ["", *BY_NAME])
def test_every_option_in_runcs_help(command: str):
    """By its name, its letter, and whether a value follows."""
    if command in ("check", "plan", "install", "mounts"):
        pytest.skip("runc has no such command")
    ours = known(command)
    for found in options_in(help_of(*filter(None, [command]))):
        name = found["name"]
        assert name in ours, f"{command} --{name} is missing"
        assert bool(ours[name].metavar) == bool(found["value"]), f"{command} --{name}: value or none"
        assert not found["short"] or found["short"] in ours[name].names, f"{command} -{found['short']} is missing"


@needs_runc
def test_the_pattern_finds_options():
    """So that the test above cannot pass by finding nothing."""
    assert {found["name"] for found in options_in(help_of())} >= {"debug", "log", "root", "criu", "version"}
    found = {match["name"]: (bool(match["value"]), match["short"]) for match in options_in(help_of("exec"))}
    assert found["env"] == (True, "e")
    assert found["tty"] == (False, "t")
    assert found["pid-file"] == (True, None)
    assert len(options_in(help_of("update"))) == 15


@pytest.mark.parametrize(("command", "name"), [(command, name) for command, names in ALSO.items() for name in names])
def test_options_that_its_help_does_not_show(command: str, name: str):
    assert name in known(command)


@pytest.mark.parametrize(("command", "names"), REPEATED.items())
def test_options_that_may_stand_more_than_once(command: str, names: tuple[str, ...]):
    assert {option.names[0] for option in BY_NAME[command].options if option.repeat} == set(names)


# go-runc: what each of its functions writes with every option set, and what must come of it.
SHIM = ["--root", "/run/containerd/runc/k8s.io", "--log", "/b/log.json", "--log-format", "json"]
EVERY = [*SHIM[:2], "--debug", *SHIM[2:], "--systemd-cgroup", "--rootless=false"]
GENERAL = {"root": SHIM[1], "log": "/b/log.json", "log_format": "json"}
RESTORE = ["--image-path", "/i", "--work-path", "/w", "--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks"]
RESTORE += ["--manage-cgroups-mode", "soft", "--empty-ns", "network", "--detach", "--pid-file", "/p", "--console-socket", "/s"]
LINES = {
    "list": ["list", "--format=json"],
    "state": ["state", "id"],
    "create": [*"create --bundle /b --pid-file /p --console-socket /s --no-pivot --no-new-keyring --preserve-fds 2 id".split()],
    "run": [*"run --bundle /b --pid-file /p --no-pivot --no-new-keyring --detach --preserve-fds 1 id".split()],
    "start": ["start", "id"],
    "exec": [*"exec --process /tmp/runc-process1 --console-socket /s --detach --pid-file /p id".split()],
    "exec, preserved": [*"exec --process /p --detach --preserve-fds 1 id".split()],
    "delete": ["delete", "id"],
    "delete, force": ["delete", "--force", "id"],
    "kill": ["kill", "id", "15"],
    "kill, all": ["kill", "--all", "id", "9"],
    "stats": ["events", "--stats", "id"],
    "events": ["events", "--interval=5s", "id"],
    "pause": ["pause", "id"],
    "resume": ["resume", "id"],
    "ps": ["ps", "--format", "json", "id"],
    "top": ["ps", "--format", "table", "id", "-ef"],
    "update": ["update", "--resources", "-", "id"],
    "features": ["features"],
    "checkpoint": ["checkpoint", *RESTORE[:12], "--page-server", "h:1", "--parent-path", "/q", "--lazy-pages", "--status-fd", "3"]
    + ["--leave-running", "--leave-running", "id"],
    "pre-dump": ["checkpoint", *RESTORE[:4], "--pre-dump", "id"],
    "restore": ["restore", *RESTORE, "--no-pivot", "-no-subreaper", "--lsm-profile", "a:b", "--bundle", "/b", "id"],
}


def parse(words: list[str]) -> Arguments:
    general, place = parse_general(words)
    return parse_command(words, place, general)


@pytest.mark.parametrize("line", LINES)
def test_what_go_runc_writes(line: str):
    words = LINES[line]
    found = parse(SHIM + words)
    assert (found.command, found.general) == (words[0], GENERAL)
    assert found.positional == (() if words[0] in ("list", "features") else ("id", *(words[-1:] if words[0] == "kill" else [])))
    assert found.rest == (("-ef",) if line == "top" else ())
    for option in known(words[0]).values():
        written = [word for word in words if word[0] == "-" and word.lstrip("-").partition("=")[0] in option.names]
        assert (option.key in found.options) == bool(written), f"{option.names}: {written}, {found.options}"
    everything = parse(EVERY + words)
    assert everything.options == found.options
    assert everything.general == {**GENERAL, "debug": True, "systemd_cgroup": True, "rootless": "false"}


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["exec", "--cgroup", "cpu:a", "--cgroup=pids:b", "id", "true"], {"cgroup": ["cpu:a", "pids:b"]}),
        (["create", "-pidfd-socket=/s", "id"], {"pidfd_socket": "/s"}),
        (["delete", "--force", "--force", "id"], {"force": True}),
        (["kill", "--all=false", "id"], {"all": False}),
        (["run", "-no-subreaper", "-keep=true", "id"], {"no_subreaper": True, "keep": True}),
    ],
)
def test_forms(words: list[str], options: dict[str, object]):
    assert parse(words).options == options


def test_h_is_help():
    assert parse(["h", "run"]) == parse(["help", "run"])
