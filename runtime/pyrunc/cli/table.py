"""Every command and option, once: the fast parser, argparse and the documentation all read this."""

from __future__ import annotations

from pyrunc.record import Record


class Option(Record):
    """One option; `metavar` is empty for a flag, `choices` are all values allowed, `repeat` collects them."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    repeat: bool = False
    number: bool = False
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the name under which its value is kept."""
        return self.names[0].replace("-", "_")


class Command(Record):
    """One command; the last `optional` of its `positional` may be missing, `rest` takes all that follows them."""

    name: str
    help: str
    positional: tuple[str, ...] = ("ID",)
    options: tuple[Option, ...] = ()
    rest: str = ""
    optional: int = 0
    example: str = ""


def _flag(help: str, *names: str) -> Option:  # noqa: A002 - argparse's own word
    """Return an option without a value."""
    return Option(names, help)


PS_OPTION = "PS-OPTION"  # what follows the id is for ps(1), dashes and all
HELP = _flag("show help", "help", "h")
GLOBAL = (
    Option(("root",), "directory for the state of containers (default: /run/pyrunc)", "DIR"),
    Option(("log",), "append log lines to FILE; errors go to standard error too", "FILE"),
    Option(("log-format",), "format of log lines (default: text)", "FORMAT", choices=("text", "json")),
    _flag("log debug lines too", "debug"),
    _flag("let systemd make the cgroups, as a scope named by cgroupsPath slice:prefix:name", "systemd-cgroup"),
    Option(
        ("rootless",),
        "tolerate cgroups that may not be written (default: auto; true: not in this version)",
        "MODE",
        choices=("auto", "true", "false"),
    ),
    _flag("print the version", "version", "v"),
    HELP,
)
BUNDLE = Option(("bundle", "b"), "bundle directory (default: the current one)", "DIR")
_CREATION = (
    BUNDLE,
    Option(("console-socket",), "send the terminal's master to this socket", "SOCKET"),
    Option(("pid-file",), "write the pid of the init to FILE", "FILE"),
    _flag("do not use pivot_root(2), as on an initramfs", "no-pivot"),
    _flag("do not make a session keyring", "no-new-keyring"),
    Option(("preserve-fds",), "keep N descriptors from 3 on open", "N", number=True),
)
_FORMAT = Option(("format", "f"), "output format (default: table)", "FORMAT", choices=("table", "json"))
COMMANDS = (
    Command("create", "create a container, ready to start", options=_CREATION, example="pyrunc create -b /bundle web"),
    Command("start", "start a created container", example="pyrunc start web"),
    Command(
        "run",
        "create and start a container, and wait for it",
        options=(
            *_CREATION,
            _flag("return as soon as it runs", "detach", "d"),
            _flag("do not delete it when it ends", "keep"),
            _flag("do not adopt orphaned processes", "no-subreaper"),
        ),
        example="pyrunc run -b /bundle web",
    ),
    Command("state", "print the state of a container", example="pyrunc state web"),
    Command(
        "kill",
        "send a signal (default: the image's stopSignal, or TERM) to a container",
        ("ID", "SIGNAL"),
        (_flag("send it to all processes", "all", "a"),),
        optional=1,
        example="pyrunc kill web KILL",
    ),
    Command(
        "delete",
        "delete a stopped container",
        options=(_flag("kill it first; no error if there is none", "force", "f"),),
        example="pyrunc delete --force web",
    ),
    Command(
        "list",
        "list containers",
        (),
        (_FORMAT, _flag("print ids only", "quiet", "q")),
        example="pyrunc list --format json",
    ),
    Command(
        "exec",
        "run another process in a container",
        ("ID",),
        (
            Option(("process", "p"), "process.json to run", "FILE"),
            Option(("cwd",), "working directory", "DIR"),
            Option(("env", "e"), "set an environment variable", "NAME=VALUE", repeat=True),
            _flag("give it a terminal", "tty", "t"),
            Option(("user", "u"), "user, and group, by number or name", "UID[:GID]"),
            Option(("additional-gids", "g"), "one more group", "GID", repeat=True, number=True),
            _flag("return as soon as it runs", "detach", "d"),
            Option(("pid-file",), "write its pid to FILE", "FILE"),
            Option(("console-socket",), "send the terminal's master to this socket", "SOCKET"),
            Option(("process-label",), "SELinux label", "LABEL"),
            Option(("apparmor",), "AppArmor profile", "PROFILE"),
            _flag("set no_new_privs", "no-new-privs"),
            Option(("cap", "c"), "one more capability", "CAP", repeat=True),
            Option(("preserve-fds",), "keep N descriptors from 3 on open", "N", number=True),
            _flag("also in a paused container", "ignore-paused"),
            Option(("cgroup",), "cgroup below the container's", "[CONTROLLERS:]PATH"),
            Option(("pidfd-socket",), "send its pidfd to this socket", "SOCKET"),
        ),
        rest="COMMAND",
        example="pyrunc exec -t web sh",
    ),
    Command(
        "ps",
        "show the processes of a container",
        ("ID",),
        (_FORMAT,),
        rest=PS_OPTION,
        example="pyrunc ps web -o pid,comm",
    ),
    Command("pause", "suspend a container", example="pyrunc pause web"),
    Command("resume", "resume a paused container", example="pyrunc resume web"),
    Command(
        "spec",
        "write a config.json to start from",
        (),
        (BUNDLE, _flag("for a user who is not root", "rootless")),
        example="pyrunc spec -b /bundle",
    ),
    Command("features", "print what this runtime can do", (), example="pyrunc features"),
    Command(
        "check",
        "list all that is wrong with a bundle, and what this host lacks for it (status 2 and 1)",
        ("BUNDLE",),
        (_flag("as a JSON document", "json"),),
        optional=1,
        example="pyrunc check /bundle",
    ),
    Command(
        "plan",
        "print what create would do to this machine, without doing it",
        ("BUNDLE",),
        (_flag("as a JSON document", "json"),),
        optional=1,
        example="pyrunc plan /bundle",
    ),
)
BY_NAME = {command.name: command for command in COMMANDS}
