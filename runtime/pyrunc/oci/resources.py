"""/linux/resources (config-linux.md, "Control groups")."""

from __future__ import annotations

from pyrunc.oci.convert import (
    INT64,
    MAJOR,
    MINOR,
    UINT16,
    UINT32,
    UINT64,
    array,
    boolean,
    integer,
    mapping,
    one_of,
    record,
    string,
    text,
)
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:

    from pyrunc.oci.convert import Converter

# config-linux.md, "Huge page limits".


class Memory(Record):
    """Limits in bytes; -1 is none."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernelTCP: int | None = None
    swappiness: int | None = None
    disableOOMKiller: bool = False
    useHierarchy: bool | None = None
    checkBeforeUpdate: bool = False


class CPU(Record):
    """Shares are relative, quota, burst and runtime are microseconds per period."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtimeRuntime: int | None = None
    realtimePeriod: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class Pids(Record):
    """Number of tasks."""

    limit: int | None = None


class WeightDevice(Record):
    """The weight of one block device."""

    major: int
    minor: int
    weight: int | None = None
    leafWeight: int | None = None


class ThrottleDevice(Record):
    """A rate for one block device, in bytes or operations per second."""

    major: int
    minor: int
    rate: int


class BlockIO(Record):
    """Limits for block devices."""

    weight: int | None = None
    leafWeight: int | None = None
    weightDevice: tuple[WeightDevice, ...] = ()
    throttleReadBpsDevice: tuple[ThrottleDevice, ...] = ()
    throttleWriteBpsDevice: tuple[ThrottleDevice, ...] = ()
    throttleReadIOPSDevice: tuple[ThrottleDevice, ...] = ()
    throttleWriteIOPSDevice: tuple[ThrottleDevice, ...] = ()


class HugepageLimit(Record):
    """Bytes of huge pages of one size, such as 2MB."""

    pageSize: str
    limit: int


class NetworkPriority(Record):
    """The priority of one interface."""

    name: str
    priority: int


class Network(Record):
    """net_cls and net_prio, which only version 1 has."""

    classID: int | None = None
    priorities: tuple[NetworkPriority, ...] = ()


class Rdma(Record):
    """Limits of one RDMA device."""

    hcaHandles: int | None = None
    hcaObjects: int | None = None


class DeviceRule(Record):
    """Allow or deny access to devices; None for major or minor is all of them."""

    allow: bool
    type: str = ""
    major: int | None = None
    minor: int | None = None
    access: str = ""


class Resources(Record):
    """What a cgroup limits."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    blockIO: BlockIO | None = None
    hugepageLimits: tuple[HugepageLimit, ...] = ()
    network: Network | None = None
    rdma: dict[str, Rdma] = {}  # noqa: RUF012 - records do not change
    unified: dict[str, str] = {}  # noqa: RUF012


_int64, _uint64 = integer(INT64), integer(UINT64)
_major, _minor = integer(MAJOR), integer(MINOR)
_uint32, _uint16 = integer(UINT32), integer(UINT16)


def _page_size(value: str) -> bool:
    """Return whether VALUE is written as the kernel's files for huge pages are: 64KB, 2MB, 1GB."""
    number = value[:-2]
    return value[-2:] in ("KB", "MB", "GB") and number.isascii() and number.isdigit() and number[0] != "0"


def _rates() -> Converter:
    """Return the converter of throttled devices."""
    return array(record(ThrottleDevice, "major minor rate", major=_major, minor=_minor, rate=_uint64))


resources = record(
    Resources,
    "",
    devices=array(
        record(
            DeviceRule,
            "allow",
            allow=boolean,
            type=one_of("a", "b", "c", "u", "p", ""),
            major=integer((-1, MAJOR[1])),  # -1 is every one, as Docker writes it
            minor=integer((-1, MINOR[1])),
            access=string,
        )
    ),
    memory=record(
        Memory,
        "",
        limit=_int64,
        reservation=_int64,
        swap=_int64,
        kernel=_int64,
        kernelTCP=_int64,
        swappiness=_uint64,
        disableOOMKiller=boolean,
        useHierarchy=boolean,
        checkBeforeUpdate=boolean,
    ),
    cpu=record(
        CPU,
        "",
        shares=_uint64,
        quota=_int64,
        burst=_uint64,
        period=_uint64,
        realtimeRuntime=_int64,
        realtimePeriod=_uint64,
        cpus=string,
        mems=string,
        idle=_int64,
    ),
    pids=record(Pids, "", limit=_int64),
    blockIO=record(
        BlockIO,
        "",
        weight=_uint16,
        leafWeight=_uint16,
        weightDevice=array(
            record(WeightDevice, "major minor", major=_major, minor=_minor, weight=_uint16, leafWeight=_uint16)
        ),
        throttleReadBpsDevice=_rates(),
        throttleWriteBpsDevice=_rates(),
        throttleReadIOPSDevice=_rates(),
        throttleWriteIOPSDevice=_rates(),
    ),
    hugepageLimits=array(
        record(HugepageLimit, "pageSize limit", pageSize=text("a size such as 2MB", _page_size), limit=_uint64)
    ),
    network=record(
        Network,
        "",
        classID=_uint32,
        priorities=array(record(NetworkPriority, "name priority", name=string, priority=_uint32)),
    ),
    rdma=mapping(record(Rdma, "", hcaHandles=_uint32, hcaObjects=_uint32)),
    unified=mapping(string),
)
