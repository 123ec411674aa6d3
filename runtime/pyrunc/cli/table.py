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
    Option(("root",), "directory for the state of containers (default: /run/pyrunc, or $XDG_RUNTIME_DIR/pyrunc)", "DIR"),
    Option(("log",), "append log lines to FILE; errors go to standard error too", "FILE"),
    Option(("log-format",), "format of log lines (default: text)", "FORMAT", choices=("text", "json")),
    _flag("log debug lines too", "debug"),
    _flag("let systemd make the cgroups, as a scope named by cgroupsPath slice:prefix:name", "systemd-cgroup"),
    Option(
        ("rootless",),
        "tolerate cgroups that may not be written, where no limit and no cgroupsPath asks for them (default: auto)",
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
_LIMITS = (
    Option(("resources", "r"), 'take a document like "resources" of config.json from FILE, or - for standard input', "FILE"),
    Option(("blkio-weight",), "weight for block devices, from 10 to 1000", "N"),
    Option(("cpu-period",), "microseconds in which the quota may be used up", "N"),
    Option(("cpu-quota",), "microseconds of processor time in a period; -1 is unlimited", "N"),
    Option(("cpu-burst",), "microseconds that may be saved up beyond the quota", "N"),
    Option(("cpu-share",), "processor time relative to other cgroups", "N"),
    Option(("cpu-rt-period",), "microseconds in which the realtime runtime may be used up", "N"),
    Option(("cpu-rt-runtime",), "microseconds of realtime processor time in a period", "N"),
    Option(("cpu-idle",), "1: run only when nothing else does; 0: as usual", "N"),
    Option(("cpuset-cpus",), "processors to use, such as 0-3,7", "LIST"),
    Option(("cpuset-mems",), "memory nodes to use", "LIST"),
    Option(("memory",), "limit of memory, such as 50M; -1 is unlimited", "SIZE"),
    Option(("memory-reservation",), "memory that is kept for it when others want more", "SIZE"),
    Option(("memory-swap",), "limit of memory and swap together; -1 is unlimited", "SIZE"),
    Option(("kernel-memory",), "ignored: kernels do not limit it any more", "SIZE"),
    Option(("kernel-memory-tcp",), "memory for TCP buffers (version 1)", "SIZE"),
    Option(("pids-limit",), "number of processes and threads; -1 is unlimited", "N"),
    Option(("l3-cache-schema",), "parts of the cache to use, such as L3:0=7f0;1=1f (resctrl)", "SCHEMA"),
    Option(("mem-bw-schema",), "percentage of memory bandwidth, such as MB:0=20;1=70 (resctrl)", "SCHEMA"),
)
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
    Command("update", "change the limits of a container", options=_LIMITS, example="pyrunc update --memory 50M web"),
    Command(
        "events",
        "print out-of-memory events and, once in an interval, statistics",
        options=(
            Option(("interval",), "time between two statistics (default: 5s)", "DURATION"),
            _flag("print the statistics once, and end", "stats"),
        ),
        example="pyrunc events --stats web",
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
