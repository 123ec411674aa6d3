"""/process (config.md, "Process")."""

from __future__ import annotations

from pyrunc.oci.convert import (
    ID_MAX,
    UINT64,
    absolute,
    array,
    boolean,
    integer,
    one_of,
    record,
    string,
    strings,
)
from pyrunc.oci.lists import number_list
from pyrunc.record import Record

RLIMITS = tuple(
    f"RLIMIT_{name}"
    for name in "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK".split()
)
POLICIES = tuple(f"SCHED_{name}" for name in "OTHER FIFO RR BATCH ISO IDLE DEADLINE".split())
SCHEDULER_FLAGS = tuple(
    f"SCHED_FLAG_{name}"
    for name in "RESET_ON_FORK RECLAIM DL_OVERRUN KEEP_POLICY KEEP_PARAMS UTIL_CLAMP_MIN UTIL_CLAMP_MAX".split()
)
IO_CLASSES = tuple(f"IOPRIO_CLASS_{name}" for name in "RT BE IDLE".split())


class ConsoleSize(Record):
    """Size of the terminal, in characters."""

    height: int
    width: int


class User(Record):
    """Who the process is; `umask` is None where the runtime chooses."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additionalGids: tuple[int, ...] = ()


class Capabilities(Record):
    """The five sets of capabilities(7), by CAP_ names."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(Record):
    """One limit of getrlimit(2)."""

    type: str
    hard: int
    soft: int


class IOPriority(Record):
    """ioprio_set(2)."""

    class_: str
    priority: int = 0


class Scheduler(Record):
    """sched_setattr(2)."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class ExecCPUAffinity(Record):
    """CPU lists for a process that exec adds, before and after it joins the cgroup."""

    initial: str = ""
    final: str = ""


class Process(Record):
    """What runs in the container."""

    cwd: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    terminal: bool = False
    consoleSize: ConsoleSize | None = None
    user: User = User()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    noNewPrivileges: bool = False
    apparmorProfile: str = ""
    selinuxLabel: str = ""
    oomScoreAdj: int | None = None
    ioPriority: IOPriority | None = None
    scheduler: Scheduler | None = None
    execCPUAffinity: ExecCPUAffinity | None = None


identifier = integer((0, ID_MAX))
_uint64 = integer(UINT64)

process = record(
    Process,
    "cwd",
    cwd=absolute,
    args=strings,
    env=strings,
    terminal=boolean,
    consoleSize=record(ConsoleSize, "height width", height=integer((0, 65535)), width=integer((0, 65535))),
    user=record(
        User, "", uid=identifier, gid=identifier, umask=integer((0, 0o777)), additionalGids=array(identifier)
    ),
    capabilities=record(
        Capabilities,
        "",
        bounding=strings,
        effective=strings,
        inheritable=strings,
        permitted=strings,
        ambient=strings,
    ),
    rlimits=array(record(Rlimit, "type hard soft", type=one_of(*RLIMITS), hard=_uint64, soft=_uint64)),
    noNewPrivileges=boolean,
    apparmorProfile=string,
    selinuxLabel=string,
    oomScoreAdj=integer((-1000, 1000)),
    ioPriority=record(IOPriority, "class_", class_=one_of(*IO_CLASSES), priority=integer((0, 7))),
    scheduler=record(
        Scheduler,
        "policy",
        policy=one_of(*POLICIES),
        nice=integer((-20, 19)),
        priority=integer((0, 99)),
        flags=array(one_of(*SCHEDULER_FLAGS)),
        runtime=_uint64,
        deadline=_uint64,
        period=_uint64,
    ),
    execCPUAffinity=record(ExecCPUAffinity, "", initial=number_list, final=number_list),
)
