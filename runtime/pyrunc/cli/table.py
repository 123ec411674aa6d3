"""Every command and option, once: the fast parser, argparse and the documentation all read this.

A row is made when it is asked for: to make all of them would take every command 0.2 ms.
"""

from __future__ import annotations

from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


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
    _flag("let systemd make the cgroups; cgroupsPath is then SLICE:PREFIX:NAME", "systemd-cgroup"),
    Option(
        ("cgroup-manager",),
        "cgroupfs (the default), systemd, as --systemd-cgroup, or disabled: create and run make no cgroups",
        "MANAGER",
        choices=("cgroupfs", "systemd", "disabled"),
    ),
    Option(
        ("rootless",),
        "go on without cgroups that this user may not write, if neither a limit nor cgroupsPath asks for them (default: auto)",
        "MODE",
        choices=("auto", "true", "false"),
    ),
    Option(("criu",), "the program that checkpoint and restore use (default: criu on $PATH)", "FILE"),
    _flag("print the version", "version", "v"),
    HELP,
)


def _bundle() -> Option:
    """Return the option that create, run and spec share."""
    return Option(("bundle", "b"), "bundle directory (default: the current one)", "DIR")


def _format() -> Option:
    """Return the option that list and ps share."""
    return Option(("format", "f"), "output format (default: table)", "FORMAT", choices=("table", "json"))


def _regex() -> Option:
    """Return the option that kill and delete share."""
    return _flag("ID is a regular expression: all containers in whose ids it is found", "regex", "r")


def _pidfd() -> Option:
    """Return the option that create, run and exec share."""
    return Option(("pidfd-socket",), "send a pidfd of the process to this socket", "SOCKET")


def _creation() -> tuple[Option, ...]:
    """Return the options that create and run share."""
    return (
        _bundle(),
        _pidfd(),
        Option(("console-socket",), "send the terminal's master to this socket", "SOCKET"),
        Option(("pid-file",), "write the pid of the init to FILE", "FILE"),
        _flag("change the root without pivot_root(2), which a root file system in a ramdisk does not allow", "no-pivot"),
        _flag("do not make a session keyring", "no-new-keyring"),
        Option(("preserve-fds",), "hand N open descriptors to the process, from number 3 on", "N", number=True),
    )


def _limits() -> tuple[Option, ...]:
    """Return the options of update."""
    return (
        Option(("resources", "r"), 'take a document like "resources" of config.json from FILE, or - for standard input', "FILE"),
        Option(("blkio-weight",), "weight for block devices, from 10 to 1000", "N"),
        Option(("cpu-period",), "length of the period that the quota is for, in microseconds", "N"),
        Option(("cpu-quota",), "microseconds of processor time in a period; -1 is unlimited", "N"),
        Option(("cpu-burst",), "microseconds that may be saved up beyond the quota", "N"),
        Option(("cpu-share",), "share of processor time, relative to other cgroups", "N"),
        Option(("cpu-rt-period",), "length of the period that the realtime runtime is for, in microseconds", "N"),
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


def _criu() -> tuple[Option, ...]:
    """Return the options that checkpoint and restore share."""
    return (
        Option(("image-path",), "directory of the image (default: ./checkpoint)", "DIR"),
        Option(("work-path",), "directory for CRIU's logs (default: that of the image)", "DIR"),
        _flag("allow open TCP connections", "tcp-established"),
        Option(
            ("network-lock",),
            "by what the network is locked meanwhile (default: iptables)",
            "METHOD",
            choices=("iptables", "nftables", "skip"),
        ),
        _flag("allow Unix sockets whose other end is outside", "ext-unix-sk"),
        _flag("allow a terminal that belongs to the caller", "shell-job"),
        _flag("allow file locks", "file-locks"),
        Option(
            ("manage-cgroups-mode",),
            "what CRIU does about cgroups (default: soft)",
            "MODE",
            choices=("soft", "full", "strict", "ignore", "none"),
        ),
        Option(("empty-ns",), "namespace to restore empty; there is only network, and it always is", "NAMESPACE", repeat=True),
        _flag("remove pages from the image once a later image has them, or they are restored", "auto-dedup"),
        _flag("restore a page of memory when it is first used, by userfaultfd(2)", "lazy-pages"),
    )


ROWS: dict[str, Callable[[], Command]] = {
    "create": lambda: Command(
        "create",
        "create a container, ready to start",
        options=_creation(),
        example="pyrunc create -b /bundle web",
    ),
    "start": lambda: Command("start", "start a created container", example="pyrunc start web"),
    "run": lambda: Command(
        "run",
        "create and start a container, and wait for its end",
        options=(
            *_creation(),
            _flag("return as soon as it runs", "detach", "d"),
            _flag("do not delete it when it ends", "keep"),
            _flag("do not become the parent of the container's orphaned processes", "no-subreaper"),
        ),
        example="pyrunc run -b /bundle web",
    ),
    "state": lambda: Command("state", "print the state of a container", example="pyrunc state web"),
    "kill": lambda: Command(
        "kill",
        "send a signal to a container (default: TERM, unless the image names another)",
        ("ID", "SIGNAL"),
        (_flag("send it to all processes", "all", "a"), _regex()),
        optional=1,
        example="pyrunc kill web KILL",
    ),
    "delete": lambda: Command(
        "delete",
        "delete a stopped container",
        options=(_flag("kill the container first; succeed if there is none", "force", "f"), _regex()),
        example="pyrunc delete --force web",
    ),
    "list": lambda: Command(
        "list",
        "list containers",
        (),
        (_format(), _flag("print ids only", "quiet", "q")),
        example="pyrunc list --format json",
    ),
    "exec": lambda: Command(
        "exec",
        "run another process in a container",
        ("ID",),
        (
            Option(("process", "p"), 'run what FILE describes, a document like "process" of config.json', "FILE"),
            Option(("cwd",), "working directory in the container", "DIR"),
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
            Option(("preserve-fds",), "hand N open descriptors to the process, from number 3 on", "N", number=True),
            _flag("run in a paused container, too", "ignore-paused"),
            Option(("cgroup",), "cgroup below the container's", "[CONTROLLERS:]PATH", repeat=True),
            _pidfd(),
        ),
        rest="COMMAND",
        example="pyrunc exec -t web sh",
    ),
    "ps": lambda: Command(
        "ps",
        "show the processes of a container",
        ("ID",),
        (_format(),),
        rest=PS_OPTION,
        example="pyrunc ps web -o pid,comm",
    ),
    "update": lambda: Command(
        "update",
        "change the limits of a container",
        options=_limits(),
        example="pyrunc update --memory 50M web",
    ),
    "events": lambda: Command(
        "events",
        "print statistics at an interval, and each time that memory runs out",
        options=(
            Option(("interval",), "time between two statistics (default: 5s)", "DURATION"),
            _flag("print the statistics once, and end", "stats"),
        ),
        example="pyrunc events --stats web",
    ),
    "mounts": lambda: Command(
        "mounts",
        "add mounts to a running container, remove or list them: ACTION is add, remove or list, FILE an array as config.json's",
        ("ACTION", "ID", "FILE"),
        (_format(),),
        optional=1,
        example="pyrunc mounts add web mounts.json",
    ),
    "pause": lambda: Command("pause", "suspend a container", example="pyrunc pause web"),
    "resume": lambda: Command("resume", "resume a paused container", example="pyrunc resume web"),
    "checkpoint": lambda: Command(
        "checkpoint",
        "save a running container to files, and delete it",
        options=(
            *_criu(),
            Option(("parent-path",), "an earlier image, relative to --image-path", "DIR"),
            _flag("let the container go on", "leave-running"),
            _flag("save its memory only, and let it go on", "pre-dump"),
            Option(("page-server",), "send memory to this page server; with --lazy-pages, serve memory there", "ADDRESS:PORT"),
            Option(("status-fd",), "write a zero byte to FD when lazy pages can be fetched", "FD"),
            _flag("leave out TCP connections that are not established yet", "tcp-skip-in-flight", "skip-in-flight"),
            _flag("allow files that were deleted while open, by links to them", "link-remap"),
        ),
        example="pyrunc checkpoint --image-path /image web",
    ),
    "restore": lambda: Command(
        "restore",
        "restore a container that checkpoint has saved",
        options=(
            *_criu(),
            _bundle(),
            Option(("console-socket",), "send the terminal's master to this socket", "SOCKET"),
            Option(("pid-file",), "write the pid of the init to FILE", "FILE"),
            _flag("return as soon as it runs", "detach", "d"),
            _flag("bring TCP connections back closed", "tcp-close"),
            _flag("do not become the parent of the container's orphaned processes", "no-subreaper"),
            _flag("accepted for runc's sake: CRIU always uses pivot_root(2)", "no-pivot"),
            Option(("lsm-profile",), "use this security profile instead of the saved one", "TYPE:NAME"),
            Option(("lsm-mount-context",), "give its mounts this SELinux context", "CONTEXT"),
        ),
        example="pyrunc restore --image-path /image -b /bundle web",
    ),
    "spec": lambda: Command(
        "spec",
        "write a config.json to start from",
        (),
        (_bundle(), _flag("write it for an ordinary user", "rootless")),
        example="pyrunc spec -b /bundle",
    ),
    "features": lambda: Command("features", "print as JSON what this runtime can do", (), example="pyrunc features"),
    "check": lambda: Command(
        "check",
        "list all that is wrong with a bundle (status 2), and what this host lacks for it (status 1)",
        ("BUNDLE",),
        (_flag("print a JSON document", "json"),),
        optional=1,
        example="pyrunc check /bundle",
    ),
    "plan": lambda: Command(
        "plan",
        "print what create would do to this machine, without doing it",
        ("BUNDLE",),
        (
            _flag("print a JSON document", "json"),
            _flag("print how create would undo all of it, if the last step failed", "undo"),
            _flag("add what each step is for", "explain"),
            _flag("count the steps that each part of config.json asks for", "summary"),
            Option(("html",), "write a page to click through into FILE, or to standard output for -", "FILE"),
        ),
        optional=1,
        example="pyrunc plan /bundle",
    ),
    "install": lambda: Command(
        "install",
        "register pyrunc with an engine: containerd, docker, podman or cri-o",
        ("ENGINE",),
        (
            _flag("show the change, and do not make it", "dry-run"),
            _flag("undo the registration", "remove"),
            _flag("make it the engine's default runtime", "default"),
            Option(("name",), "the engine's name for it (default: pyrunc)", "NAME"),
            Option(("path",), "the program to register (default: this one, as it was called)", "FILE"),
            Option(("destdir",), "read and write the engine's files below DIR, to make a package", "DIR"),
        ),
        example="pyrunc install docker --dry-run",
    ),
}


def commands() -> tuple[Command, ...]:
    """Return all commands."""
    return tuple(row() for row in ROWS.values())
