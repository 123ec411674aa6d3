"""/linux (config-linux.md)."""

from __future__ import annotations

from pyrunc.oci.convert import (
    INT64,
    MAJOR,
    MINOR,
    UINT32,
    absolute,
    array,
    boolean,
    integer,
    mapping,
    one_of,
    record,
    string,
    strings,
    text,
)
from pyrunc.oci.lists import number_list
from pyrunc.oci.mounts import IDMapping, id_mappings
from pyrunc.oci.process import identifier
from pyrunc.oci.resources import Resources, resources
from pyrunc.oci.seccomp import Seccomp, seccomp
from pyrunc.record import Record

NAMESPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
MEMORY_MODES = tuple(
    f"MPOL_{name}"
    for name in "DEFAULT BIND INTERLEAVE WEIGHTED_INTERLEAVE PREFERRED PREFERRED_MANY LOCAL".split()
)
MEMORY_FLAGS = tuple(f"MPOL_F_{name}" for name in "NUMA_BALANCING RELATIVE_NODES STATIC_NODES".split())


class Namespace(Record):
    """A namespace: new, or, with a path, the one behind that file."""

    type: str
    path: str = ""


class TimeOffset(Record):
    """What a clock of the time namespace is ahead."""

    secs: int = 0
    nanosecs: int = 0


class Device(Record):
    """A device node to make."""

    type: str
    path: str
    major: int | None = None
    minor: int | None = None
    fileMode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Personality(Record):
    """personality(2)."""

    domain: str
    flags: tuple[str, ...] = ()


class NetDevice(Record):
    """An interface of the host's that moves into the container, under another name if there is one."""

    name: str = ""


class IntelRdt(Record):
    """The group of resctrl(5) that the container belongs to, and what that may have of caches and memory bandwidth."""

    closID: str = ""
    schemata: tuple[str, ...] = ()
    l3CacheSchema: str = ""
    memBwSchema: str = ""
    enableMonitoring: bool = False
    enableCMT: bool = False
    enableMBM: bool = False


class MemoryPolicy(Record):
    """set_mempolicy(2)."""

    mode: str
    nodes: str = ""
    flags: tuple[str, ...] = ()


class Linux(Record):
    """Everything that only Linux has."""

    namespaces: tuple[Namespace, ...] = ()
    uidMappings: tuple[IDMapping, ...] = ()
    gidMappings: tuple[IDMapping, ...] = ()
    timeOffsets: dict[str, TimeOffset] = {}  # noqa: RUF012 - records do not change
    devices: tuple[Device, ...] = ()
    netDevices: dict[str, NetDevice] = {}  # noqa: RUF012
    cgroupsPath: str = ""
    resources: Resources | None = None
    rootfsPropagation: str = ""
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = {}  # noqa: RUF012
    maskedPaths: tuple[str, ...] = ()
    readonlyPaths: tuple[str, ...] = ()
    mountLabel: str = ""
    personality: Personality | None = None
    intelRdt: IntelRdt | None = None
    memoryPolicy: MemoryPolicy | None = None


_int64 = integer(INT64)
_path = text("an absolute path", lambda value: value[:1] in ("", "/"))
_bandwidth = text("a line that begins with MB:", lambda value: value[:3] == "MB:" and "\n" not in value)
_PROPAGATION = ("", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable")

linux = record(
    Linux,
    "",
    namespaces=array(record(Namespace, "type", type=one_of(*NAMESPACES), path=_path)),
    uidMappings=id_mappings,
    gidMappings=id_mappings,
    timeOffsets=mapping(record(TimeOffset, "", secs=_int64, nanosecs=integer((0, 999_999_999)))),
    devices=array(
        record(
            Device,
            "type path",
            type=one_of("c", "b", "u", "p"),
            path=absolute,
            major=integer(MAJOR),
            minor=integer(MINOR),
            fileMode=integer(UINT32),
            uid=identifier,
            gid=identifier,
        )
    ),
    netDevices=mapping(record(NetDevice, "", name=string)),
    cgroupsPath=string,
    resources=resources,
    rootfsPropagation=one_of(*_PROPAGATION),
    seccomp=seccomp,
    sysctl=mapping(string),
    maskedPaths=array(absolute),
    readonlyPaths=array(absolute),
    mountLabel=string,
    personality=record(Personality, "domain", domain=one_of("LINUX", "LINUX32"), flags=strings),
    intelRdt=record(
        IntelRdt,
        "",
        closID=string,
        schemata=strings,
        l3CacheSchema=string,
        memBwSchema=_bandwidth,
        enableMonitoring=boolean,
        enableCMT=boolean,
        enableMBM=boolean,
    ),
    memoryPolicy=record(
        MemoryPolicy,
        "mode",
        mode=one_of(*MEMORY_MODES),
        nodes=number_list,
        flags=array(one_of(*MEMORY_FLAGS)),
    ),
)
