"""What is decided without a look at the machine, decided a few times in the process that is dumped.

Not imported: native/build.py compiles it, and program.py runs it at its end. So the interpreter has specialized the code
of parser and planner (PEP 659) and filled its cache of methods, which every command would else do by itself, writing to pages of
its own. The machines are made up, and what comes out is thrown away: nothing of the build's machine gets into the dump.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

TIMES = 3  # code is specialized after it has run a few times
SPECIALIZED = 20  # for certain

modules = sys.modules
parsing, jsonio, build, text = (modules[f"pyrunc.{name}"] for name in ("oci.parsing", "jsonio", "plan.build", "plan.text"))
HostFacts, Request = modules["pyrunc.host.facts"].HostFacts, modules["pyrunc.plan.request"].Request
default_config = modules["pyrunc.oci.default"].default_config
cli = modules["pyrunc.cli.parse"]
cgroups, paths = modules["pyrunc.host.cgroups"], modules["pyrunc.cgroup.paths"]

V1 = ("cpuset", "cpu,cpuacct", "blkio", "memory", "devices", "freezer", "pids")
ON_V1 = "".join(f"{30 + i} 24 0:{27 + i} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n" for i, name in enumerate(V1))
ON_V2 = "28 23 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
OWN_V1 = "".join(f"{12 - i}:{name}:/engine\n" for i, name in enumerate(V1))
MACHINES = ((ON_V1, OWN_V1), (ON_V2, "0::/engine\n"))
BuiltinFunction = type(len)
Function, LOOKUP = type(lambda: None), (lambda: __name__).__code__
JOINS = ("mount", "uts", "ipc", "network", "pid", "cgroup")


def decide(mounts: str, own: str) -> None:
    """Plan a container and a process in it, on a machine with MOUNTS whose cgroups we are in are OWN."""
    facts = HostFacts(kernel=(6, 1), last_cap=40, apparmor=False, cgroups=cgroups.parse(mounts, own))
    document = default_config(unified="cgroup2" in mounts)
    for wait in (True, False):
        asked = Request(id="box", bundle="/bundle", rootfs="/bundle/rootfs", wait=wait, seccomp_cache="/run/cache")
        config = parsing.parse(jsonio.dumps(document).encode())
        build.build(config, facts, asked)
    where = paths.writable(facts.cgroups, paths.places(facts.cgroups, "", asked.id))
    process = parsing.parse_process(jsonio.dumps(document["process"]).encode())
    build.build_exec(process, JOINS, where, config.linux, facts, asked)


def look_up(module: ModuleType) -> None:
    """Look a name of MODULE up until the interpreter has given its dictionary the number by which it knows it."""
    probe = Function(LOOKUP.replace(), vars(module))
    for _ in range(SPECIALIZED):
        probe()


def read(*argv: str) -> None:
    """Read command line ARGV."""
    general, place = cli.parse_general(list(argv))
    cli.parse_command(list(argv), place, general)


def compile_constructors(cls: type) -> None:
    """Compile those of the records below CLS."""
    for each in cls.__subclasses__():
        record.compile_constructor(each)
        compile_constructors(each)


def know_words(module: ModuleType) -> None:
    """Let the functions of MODULE, one in C, make what they know their arguments' names by; none gets as far as being called."""
    for each in vars(module).values():
        if type(each) is BuiltinFunction:
            try:
                each(**{"no such argument": None})
            except TypeError:
                continue


record = modules["pyrunc.record"]
compile_constructors(record.Record)
sys._clear_type_cache()  # a name in it is written to when another takes its place
for each in [each for name, each in modules.items() if name.startswith("pyrunc")]:
    look_up(each)
for name in ("posix", "_signal", "select", "time"):
    know_words(modules[name])
for _ in range(TIMES):
    for command in ("create", "run"):
        read("--root", "/root", "--log", "/log", "--log-format", "json", command, "--bundle", "/box", "--pid-file", "/id", "box")
    for command in ("start", "state", "kill", "delete"):
        read("--root", "/root", command, "box")
    for machine in MACHINES:
        decide(*machine)
