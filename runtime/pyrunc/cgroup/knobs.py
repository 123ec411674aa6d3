"""The knob table: each resource of config-linux.md, its file in version 1 and its file in version 2.

Everything that differs between the versions stands in this one table, and in
the few conversions below it.  Order matters, and is the table's: memory before
memory+swap, period before quota, the cpus before anything runs on them.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrunc.oci.resources import Memory, Resources, ThrottleDevice, WeightDevice

SHARES_MIN, SHARES_MAX = 2, 262144
WEIGHT_MIN, WEIGHT_MAX = 1, 10000
BLKIO_MIN, BLKIO_MAX = 10, 1000


class Write(Record):
    """Write `value` to `file` of the container's cgroup with `controller`, because of `pointer`."""

    controller: str
    file: str
    value: str
    pointer: str


class Knob(Record):
    """One row: where the value stands, and where it goes.

    `v1` and `v2` are (controller, file, conversion); None where the version
    has no such thing and the value is refused.  Zero means unset, as with
    runc, unless `zero` says that it is a value of its own.
    """

    path: str
    v1: tuple[str, str, Callable[[int], str]] | None
    v2: tuple[str, str, Callable[[int], str]] | None
    zero: bool = False


def plain(value: int) -> str:
    """Write the number."""
    return str(value)


def or_max(value: int) -> str:
    """Version 2 says "max" where version 1 says -1."""
    return "max" if value < 0 else str(value)


def weight(shares: int) -> str:
    """Map shares [2..262144] to weight [1..10000] linearly, as the kernel's documentation of both ranges does."""
    shares = min(max(shares, SHARES_MIN), SHARES_MAX)
    return str(WEIGHT_MIN + (shares - SHARES_MIN) * (WEIGHT_MAX - WEIGHT_MIN) // (SHARES_MAX - SHARES_MIN))


def io_weight(value: int) -> str:
    """Map a blkio weight [10..1000] to io.weight [1..10000]."""
    return str(WEIGHT_MIN + (value - BLKIO_MIN) * (WEIGHT_MAX - WEIGHT_MIN) // (BLKIO_MAX - BLKIO_MIN))


KNOBS = (
    Knob("cpu/realtimePeriod", ("cpu", "cpu.rt_period_us", plain), None),
    Knob("cpu/realtimeRuntime", ("cpu", "cpu.rt_runtime_us", plain), None),
    Knob("cpu/shares", ("cpu", "cpu.shares", plain), ("cpu", "cpu.weight", weight)),
    Knob("cpu/idle", ("cpu", "cpu.idle", plain), ("cpu", "cpu.idle", plain)),
    Knob("pids/limit", ("pids", "pids.max", or_max), ("pids", "pids.max", or_max)),
    Knob("memory/limit", ("memory", "memory.limit_in_bytes", plain), ("memory", "memory.max", or_max)),
    Knob("memory/reservation", ("memory", "memory.soft_limit_in_bytes", plain), ("memory", "memory.low", or_max)),
    Knob("memory/kernelTCP", ("memory", "memory.kmem.tcp.limit_in_bytes", plain), None),
    Knob("memory/swappiness", ("memory", "memory.swappiness", plain), None, zero=True),
    Knob("blockIO/weight", ("blkio", "blkio.weight", plain), ("io", "io.weight", io_weight)),
    Knob("blockIO/leafWeight", ("blkio", "blkio.leaf_weight", plain), None),
    Knob("network/classID", ("net_cls", "net_cls.classid", plain), None),
)
THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)
ROOT = "/linux/resources"


def writes(resources: Resources, *, unified: bool) -> list[Write]:
    """Return what RESOURCES ask for, in order, for the hierarchy that has the limits.

    Raises ConfigError or UnsupportedError for what this version of cgroups
    cannot do, or what makes no sense.
    """
    found = list(_cpuset(resources))
    found += _table(resources, unified)
    found += _bandwidth(resources, unified)
    if resources.memory is not None:
        found += _memory(resources.memory, unified)
    found += _block(resources, unified)
    found += _lists(resources, unified)
    return found


def _table(resources: Resources, unified: bool) -> Iterator[Write]:
    """Yield what stands in the table."""
    for knob in KNOBS:
        group, _, name = knob.path.partition("/")
        section = getattr(resources, group)
        value = None if section is None else getattr(section, name)
        if value is None or (value == 0 and not knob.zero):
            continue
        column = knob.v2 if unified else knob.v1
        pointer = f"{ROOT}/{knob.path}"
        if column is None:
            version = "2" if unified else "1"
            raise UnsupportedError(f"{name} does not exist in cgroup version {version}", pointer=pointer)
        controller, file, convert = column
        yield Write(controller, file, convert(value), pointer)


def _cpuset(resources: Resources) -> Iterator[Write]:
    """Memory nodes before processors: both are the same in the two versions."""
    if resources.cpu is not None:
        for name, value in (("mems", resources.cpu.mems), ("cpus", resources.cpu.cpus)):
            if value:
                yield Write("cpuset", f"cpuset.{name}", value, f"{ROOT}/cpu/{name}")


def _bandwidth(resources: Resources, unified: bool) -> Iterator[Write]:
    """CFS bandwidth: two files in version 1, one line in version 2."""
    cpu = resources.cpu
    if cpu is None:
        return
    at = f"{ROOT}/cpu"
    if unified and (cpu.quota or cpu.period):
        limit = "max" if not cpu.quota or cpu.quota < 0 else str(cpu.quota)
        yield Write("cpu", "cpu.max", f"{limit} {cpu.period}" if cpu.period else limit, f"{at}/quota")
    elif not unified:
        if cpu.period:
            yield Write("cpu", "cpu.cfs_period_us", str(cpu.period), f"{at}/period")
        if cpu.quota:
            yield Write("cpu", "cpu.cfs_quota_us", str(cpu.quota), f"{at}/quota")
    if cpu.burst is not None:
        yield Write("cpu", "cpu.max.burst" if unified else "cpu.cfs_burst_us", str(cpu.burst), f"{at}/burst")


def _memory(memory: Memory, unified: bool) -> Iterator[Write]:
    """Swap counts memory and swap together in version 1 and in the configuration, swap alone in version 2."""
    at = f"{ROOT}/memory"
    limit, swap = memory.limit or 0, memory.swap or 0
    if limit > 0 and 0 < swap < limit:
        raise ConfigError(
            f"swap ({swap}) is memory and swap together, and below the memory limit ({limit})",
            pointer=f"{at}/swap",
            hint="raise it to the limit at least",
        )
    if not unified:
        if swap:
            yield Write("memory", "memory.memsw.limit_in_bytes", str(swap), f"{at}/swap")
        elif limit == -1:
            yield Write("memory", "memory.memsw.limit_in_bytes", "-1", f"{at}/limit")
        if memory.disableOOMKiller:
            yield Write("memory", "memory.oom_control", "1", f"{at}/disableOOMKiller")
        return
    if swap == -1 or (limit == -1 and not swap):
        yield Write("memory", "memory.swap.max", "max", f"{at}/swap")
    elif swap > 0:
        if limit <= 0:
            hint = "set memory.limit too: version 2 limits swap alone, which is their difference"
            raise ConfigError("swap is limited, and memory is not", pointer=f"{at}/swap", hint=hint)
        yield Write("memory", "memory.swap.max", str(swap - limit), f"{at}/swap")


def _block(resources: Resources, unified: bool) -> Iterator[Write]:
    """Weights and rates of single block devices."""
    block = resources.blockIO
    if block is None:
        return
    at = f"{ROOT}/blockIO"
    for index, row in enumerate(block.weightDevice):
        yield from _device_weights(row, f"{at}/weightDevice/{index}", unified)
    for name, v1, v2 in THROTTLES:
        rows: tuple[ThrottleDevice, ...] = getattr(block, name)
        for index, rate in enumerate(rows):
            device = f"{rate.major}:{rate.minor}"
            pointer = f"{at}/{name}/{index}"
            if unified:
                yield Write("io", "io.max", f"{device} {v2}={rate.rate or 'max'}", pointer)
            else:
                yield Write("blkio", v1, f"{device} {rate.rate}", pointer)


def _device_weights(row: WeightDevice, at: str, unified: bool) -> Iterator[Write]:
    """The weight, and in version 1 the leaf weight, of one device."""
    device = f"{row.major}:{row.minor}"
    if row.weight:
        value = io_weight(row.weight) if unified else str(row.weight)
        controller, file = ("io", "io.weight") if unified else ("blkio", "blkio.weight_device")
        yield Write(controller, file, f"{device} {value}", f"{at}/weight")
    if row.leafWeight:
        if unified:
            raise UnsupportedError("leafWeight does not exist in cgroup version 2", pointer=f"{at}/leafWeight")
        yield Write("blkio", "blkio.leaf_weight_device", f"{device} {row.leafWeight}", f"{at}/leafWeight")


def _lists(resources: Resources, unified: bool) -> Iterator[Write]:
    """Huge pages, RDMA, network priorities, and the files that `unified` names itself."""
    for index, page in enumerate(resources.hugepageLimits):
        at = f"{ROOT}/hugepageLimits/{index}"
        if not page.pageSize.isalnum():
            raise ConfigError(f'"{page.pageSize}" is no page size', pointer=f"{at}/pageSize", hint="such as 2MB")
        for kind in ("", ".rsvd"):
            file = f"hugetlb.{page.pageSize}{kind}." + ("max" if unified else "limit_in_bytes")
            yield Write("hugetlb", file, str(page.limit), f"{at}/limit")
    for name, limit in resources.rdma.items():
        parts = (("hca_handle", limit.hcaHandles), ("hca_object", limit.hcaObjects))
        line = " ".join(f"{key}={value}" for key, value in parts if value is not None)
        yield Write("rdma", "rdma.max", f"{name} {line}", f"{ROOT}/rdma/{name}")
    if resources.network is not None:
        for index, priority in enumerate(resources.network.priorities):
            at = f"{ROOT}/network/priorities/{index}"
            if unified:
                raise UnsupportedError("priorities do not exist in cgroup version 2", pointer=at)
            yield Write("net_prio", "net_prio.ifpriomap", f"{priority.name} {priority.priority}", at)
    for file, value in resources.unified.items():
        at = f"{ROOT}/unified/{file}"
        if not unified:
            raise UnsupportedError("unified needs cgroup version 2, and this host has version 1", pointer=at)
        if "/" in file or "." not in file or file.startswith("."):
            raise ConfigError(f'"{file}" is no file of a cgroup', pointer=at, hint='such as "memory.high"')
        controller = file.partition(".")[0]
        for line in value.splitlines():
            yield Write("" if controller == "cgroup" else controller, file, line, at)
