"""The command line: every option of the table, where it may stand, and what is said about what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cli.parse import Arguments, parse_command, parse_general
from pyrunc.cli.table import GLOBAL, HELP, PS_OPTION, ROWS, Command, Option, commands
from pyrunc.errors import UsageError

COMMANDS = commands()
EACH = [(command, option) for command in COMMANDS for option in (*command.options, HELP)]


def parse(*argv: str) -> Arguments:
    words = list(argv)
    general, place = parse_general(words)
    return parse_command(words, place, general)


def refused(*argv: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    return caught.value


def sample(option: Option) -> tuple[str, object]:
    """Return a value for OPTION, as it is written and as it is kept."""
    if option.choices:
        return option.choices[-1], option.choices[-1]
    return ("7", 7) if option.number else ("value", "value")


def positional(command: Command) -> list[str]:
    """Return as many arguments as COMMAND needs; a command with a rest gets something for that too."""
    names = [f"arg{i}" for i in range(len(command.positional) - command.optional)]
    return names + (["rest"] if command.rest == "COMMAND" else [])


def ways(option: Option) -> list[tuple[list[str], object]]:
    """Return every way to write OPTION, with the value that it has then."""
    found = []
    for name in option.names:
        for dashes in ("-", "--"):
            word = dashes + name
            if option.metavar:
                text, kept = sample(option)
                kept = [kept] if option.repeat else kept
                found += [([word, text], kept), ([f"{word}={text}"], kept)]
            else:
                found += [([word], True), ([f"{word}=true"], True), ([f"{word}=0"], False)]
    return found


@pytest.mark.parametrize(("command", "option"), EACH, ids=[f"{c.name}-{o.key}" for c, o in EACH])
def test_every_option_in_every_form(command: Command, option: Option):
    arguments = positional(command)
    for words, value in ways(option):
        before = parse(command.name, *words, *arguments)
        if option.key == "help":
            assert before.general.get("help", False) is value
            continue
        assert before.options == {option.key: value}
        if not command.rest and arguments:
            assert parse(command.name, *arguments, *words) == before
        elif command.rest == "COMMAND":
            assert parse(command.name, arguments[0], *words, *arguments[1:]) == before


@pytest.mark.parametrize("option", GLOBAL, ids=[option.key for option in GLOBAL])
def test_general_options_stand_before_the_command(option: Option):
    for words, value in ways(option):
        general, place = parse_general([*words, "state", "box"])
        assert general == {option.key: value}
        assert place == len(words)
    if option.metavar:
        assert "unknown option" in str(refused("state", "box", *ways(option)[0][0]))


@pytest.mark.parametrize(
    ("argv", "options", "arguments", "rest"),
    [
        (["kill", "box"], {}, ("box",), ()),
        (["kill", "box", "KILL"], {}, ("box", "KILL"), ()),
        (["kill", "box", "KILL", "--all"], {"all": True}, ("box", "KILL"), ()),
        (["kill", "--", "-box"], {}, ("-box",), ()),
        (["delete", "box", "-f", "--force=false"], {"force": False}, ("box",), ()),
        (["run", "--bundle", "a", "box", "--bundle=b"], {"bundle": "b"}, ("box",), ()),
        (["run", "--bundle", "", "box"], {"bundle": ""}, ("box",), ()),
        (["run", "--bundle=a=b", "box"], {"bundle": "a=b"}, ("box",), ()),
        (["run", "--bundle", "--detach", "box"], {"bundle": "--detach"}, ("box",), ()),
        (["state", "-"], {}, ("-",), ()),
        (["exec", "box", "ls", "-l", "--tty"], {}, ("box",), ("ls", "-l", "--tty")),
        (["exec", "-t", "box", "ls", "--", "-l"], {"tty": True}, ("box",), ("ls", "--", "-l")),
        (["exec", "box", "--", "--tty"], {}, ("box",), ("--tty",)),
        (["exec", "--", "box", "--tty"], {}, ("box",), ("--tty",)),
        (["exec", "box", "-t", "--", "-t", "--"], {"tty": True}, ("box",), ("-t", "--")),
        (["exec", "-e", "A=1", "--env", "B=", "-env=C=3", "box", "id"], {"env": ["A=1", "B=", "C=3"]}, ("box",), ("id",)),
        (["exec", "-g", "1", "-g", "2", "box", "id"], {"additional_gids": [1, 2]}, ("box",), ("id",)),
        (["exec", "--process", "p.json", "box"], {"process": "p.json"}, ("box",), ()),
        (["ps", "box"], {}, ("box",), ()),
        (["ps", "box", "-o", "pid,comm", "--sort=x"], {}, ("box",), ("-o", "pid,comm", "--sort=x")),
        (["ps", "-f", "json", "box", "-ef"], {"format": "json"}, ("box",), ("-ef",)),
        (["ps", "box", "--", "-ef"], {}, ("box",), ("-ef",)),
        (["list", "-q"], {"quiet": True}, (), ()),
        (["plan"], {}, (), ()),
        (["plan", "bundle", "--json"], {"json": True}, ("bundle",), ()),
    ],
)
def test_lines(argv: list[str], options: dict, arguments: tuple, rest: tuple):
    found = parse(*argv)
    assert (found.command, found.options, found.positional, found.rest) == (argv[0], options, arguments, rest)

SHIM_WORDS = ["--root", "R", "--log", "B/log.json", "--log-format", "json"]


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        ("create --bundle B --pid-file F ID", {"bundle": "B", "pid_file": "F"}, ()),
        ("create --bundle B --pid-file F --console-socket S ID", {"bundle": "B", "pid_file": "F", "console_socket": "S"}, ()),
        (
            "create --bundle B --pid-file F --no-pivot --no-new-keyring ID",
            {"bundle": "B", "pid_file": "F", "no_pivot": True, "no_new_keyring": True},
            (),
        ),
        ("start ID", {}, ()),
        ("exec --process P --detach --pid-file F ID", {"process": "P", "detach": True, "pid_file": "F"}, ()),
        (
            "exec --process P --console-socket S --detach --pid-file F ID",
            {"process": "P", "console_socket": "S", "detach": True, "pid_file": "F"},
            (),
        ),
        ("kill ID 15", {}, ("15",)),
        ("kill --all ID 9", {"all": True}, ("9",)),
        ("pause ID", {}, ()),
        ("resume ID", {}, ()),
        ("ps --format json ID", {"format": "json"}, ()),
        ("update --resources - ID", {"resources": "-"}, ()),
        ("delete ID", {}, ()),
        ("delete --force ID", {"force": True}, ()),
    ],
)
@pytest.mark.parametrize("systemd", [False, True])
def test_what_containerd_says(words: str, options: dict, rest: tuple, systemd: bool):
    """Collected by integration/engines/recorder.py from containerd 1.6's shim, for ctr and the CRI."""
    general = {"root": "R", "log": "B/log.json", "log_format": "json", **({"systemd_cgroup": True} if systemd else {})}
    found = parse(*SHIM_WORDS, *(["--systemd-cgroup"] if systemd else []), *words.split())
    assert (found.general, found.options, found.positional) == (general, options, ("ID", *rest))


MOBY = "--root /run/moby --log /b/log.json --log-format json"  # what containerd's shim puts first
DOCKER = {
    f"{MOBY} create --bundle /b --pid-file /b/init.pid ID": {"bundle": "/b", "pid_file": "/b/init.pid"},
    f"--debug {MOBY} create --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty.sock ID": {
        "bundle": "/b", "pid_file": "/b/init.pid", "console_socket": "/tmp/pty.sock",
    },
    f"{MOBY} --systemd-cgroup create --bundle /b --pid-file /b/init.pid --no-pivot --no-new-keyring ID": {
        "bundle": "/b", "pid_file": "/b/init.pid", "no_pivot": True, "no_new_keyring": True,
    },
    f"{MOBY} start ID": {},
    f"{MOBY} exec --process /tmp/p --detach --pid-file /b/1 ID": {"process": "/tmp/p", "detach": True, "pid_file": "/b/1"},
    f"{MOBY} exec --process /tmp/p --console-socket /tmp/s --detach --pid-file /b/1.pid ID": {
        "process": "/tmp/p", "console_socket": "/tmp/s", "detach": True, "pid_file": "/b/1.pid",
    },
    f"{MOBY} update --resources - ID": {"resources": "-"},
    f"{MOBY} ps --format json ID": {"format": "json"},
    f"{MOBY} pause ID": {},
    f"{MOBY} resume ID": {},
    f"{MOBY} kill ID 9": {},
    f"{MOBY} kill --all ID 9": {"all": True},
    f"{MOBY} delete --force ID": {"force": True},
    f"{MOBY} delete ID": {},
}


@pytest.mark.parametrize("line", DOCKER)
def test_what_docker_calls(line: str):
    """As recorded by a runtime that wrote its arguments down (integration/engines/recorder.py)."""
    found = parse(*line.split())
    assert found.options == DOCKER[line]
    assert found.positional[0] == "ID"
    assert found.general["root"] == "/run/moby"


def test_how_docker_asks_for_the_version():
    assert parse_general(["--version"])[0] == {"version": True}


CREATE = "create --bundle B --pid-file F"


@pytest.mark.parametrize(
    ("line", "general", "options"),
    [
        (f"--log-format=json --log L {CREATE} box", {"log_format": "json", "log": "L"}, {"bundle": "B", "pid_file": "F"}),
        (f"--systemd-cgroup --debug --log-format=json --log=L {CREATE} --console-socket S box", None, None),
        (f"--log-format=json --log L {CREATE} --preserve-fds 1 box", None, {"bundle": "B", "pid_file": "F", "preserve_fds": 1}),
        (
            "--log-format=json --log L exec --pid-file F --process P --detach --tty --console-socket S box",
            None,
            {"pid_file": "F", "process": "P", "detach": True, "tty": True, "console_socket": "S"},
        ),
        ("--systemd-cgroup exec --pid-file F --process P --detach --preserve-fds 2 box", {"systemd_cgroup": True}, None),
        ("--debug start box", {"debug": True}, {}),
        ("kill box 37", {}, {}),
        ("pause box", {}, {}),
        ("resume box", {}, {}),
        ("delete --force box", {}, {"force": True}),
        ("update --resources=R box", {}, {"resources": "R"}),
        (f"--debug {CREATE} --console-socket S buildah-buildah1", {"debug": True}, None),
        ("state buildah-buildah1", {}, {}),
        ("delete buildah-buildah1", {}, {}),
    ],
)
def test_what_podman_conmon_and_buildah_write(line: str, general: dict | None, options: dict | None):
    """As collected from Podman 4.3, conmon 2.1 and buildah 1.28 (integration/engines); None: only that it is understood."""
    found = parse(*line.split())
    assert found.command in line.split()
    assert found.positional[0] in ("box", "buildah-buildah1")
    assert found.rest == ()
    assert general in (None, found.general)
    assert options in (None, found.options)


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["fly"], "No help topic for 'fly': unknown command", "pyrunc --help lists the commands"),
        (["state", "--fly", "box"], "unknown option --fly", "--help lists the options"),
        (["state", "box", "-x=1"], "unknown option -x", "--help lists the options"),
        (["--fly", "state", "box"], "unknown option --fly", "--help lists the options"),
        (["state", "---help"], "unknown option ---help", "--help lists the options"),
        (["create", "box", "--bundle"], "option --bundle needs a value", "write --bundle DIR"),
        (["create", "-b"], "option -b needs a value", "write -b DIR"),
        (["--root"], "option --root needs a value", "write --root DIR"),
        (["state"], "pyrunc state takes ID: 0 were given", "pyrunc state --help"),
        (["state", "a", "b"], "pyrunc state takes ID: 2 were given", "pyrunc state --help"),
        (["kill", "a", "b", "c"], "pyrunc kill takes ID SIGNAL: 3 were given", "pyrunc kill --help"),
        (["list", "a"], "pyrunc list takes no arguments: 1 were given", "pyrunc list --help"),
        (["exec"], "pyrunc exec takes ID: 0 were given", "pyrunc exec --help"),
        (["list", "--format", "xml"], 'invalid value "xml" for --format', "one of table, json"),
        (["run", "--preserve-fds", "-1", "box"], 'invalid value "-1" for --preserve-fds', "a number"),
        (["run", "--preserve-fds=٣", "box"], 'invalid value "٣" for --preserve-fds', "a number"),
        (["run", "--preserve-fds=" + "9" * 5000, "box"], f'invalid value "{"9" * 5000}" for --preserve-fds', "a number"),
        (["exec", "-g", "wheel", "box"], 'invalid value "wheel" for -g', "a number"),
        (
            ["run", "--detach=maybe", "box"],
            '--detach=maybe: "maybe" is neither true nor false',
            "write true or false, or nothing",
        ),
    ],
)
def test_what_is_wrong(argv: list[str], message: str, hint: str):
    error = refused(*argv)
    assert (error.message, error.hint) == (message, hint)


@pytest.mark.parametrize(
    ("argv", "about"),
    [([], ""), (["help"], ""), (["help", "run"], "run"), (["run", "-h"], "run"), (["run", "a", "b", "c", "--help"], "run")],
)
def test_asking_for_help(argv: list[str], about: str):
    found = parse(*argv)
    assert found.general["help"] is True
    assert found.command == about


def test_the_table_is_consistent():
    """No two options of a command share a name or a key, and what may be missing stands last."""
    assert [command.name for command in COMMANDS] == list(ROWS)
    for options in (GLOBAL, *((*command.options, HELP) for command in COMMANDS)):
        names = [name for option in options for name in option.names]
        assert len(names) == len(set(names))
        assert len({option.key for option in options}) == len(options)
    for command in COMMANDS:
        assert command.optional <= len(command.positional)
        assert command.rest in ("", "COMMAND", PS_OPTION)
        assert not command.example or parse(*command.example.split()[1:]).command == command.name


WORDS = st.one_of(
    st.sampled_from([*ROWS, "--", "-", "", "box", "help", "--fly", "-x=1"]),
    st.sampled_from([f"--{name}" for command in COMMANDS for option in command.options for name in option.names]),
    st.text(max_size=4),
)


@given(st.lists(WORDS, max_size=7))
def test_any_words(argv: list[str]):
    """Parsed, or refused by a UsageError."""
    try:
        found = parse(*argv)
    except UsageError:
        return
    assert found.command == "" or found.command in argv
