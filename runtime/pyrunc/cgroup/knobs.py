"""The knob table: each resource of config-linux.md, its file in version 1 and its file in version 2.

Everything that differs between the versions stands in this one table and in
the conversions that it names (convert.py).  The order of the rows is the order
of the writes to a new cgroup; order.py says what else an update must heed.
docs/resources.md is made from this table by script/resources.py.
"""

from __future__ import annotations

from pyrunc.cgroup import convert
from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci.convert import escape
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyrunc.oci.resources import Resources

ROOT = "/linux/resources"
EACH = "*"


class Write(Record):
    """Write `value` to `file` of the container's cgroup with `controller`, because of `pointer`.

    Where there is no such file, `other` is (file, value) to write instead; if
    `optional`, nothing is lost then.
    """

    controller: str
    file: str
    value: str
    pointer: str
    other: tuple[str, str] = ("", "")
    optional: bool = False


class Column(Record):
    """Where one version has a value: the controller, its file, and the conversion.

    In `file` and `controller` the name of an item stands for "*".  `needs` are
    other fields that the text depends on.  A missing file does no harm when
    the text is `spare` ("*": any); `other` is what older kernels have instead.
    """

    controller: str
    file: str
    text: Callable[[Any, Any, str], str]
    needs: tuple[str, ...] = ()
    spare: str = ""
    other: Column | None = None


class Knob(Record):
    """One row: where the value stands, and where it goes.

    In `path` "*" is each item of a list or an object.  A version without
    columns refuses the value, unless `ignored` says why it may be left out.
    Zero means unset, as with runc, unless `zero` says that it is a value of
    its own; `none` is one more number that means unset.
    """

    path: str
    v1: tuple[Column, ...] = ()
    v2: tuple[Column, ...] = ()
    zero: bool = False
    none: int | None = None
    ignored: str = ""

    def is_unset(self, value: object) -> bool:
        """Return whether VALUE stands for none."""
        return value in ("", self.none) or (value == 0 and not self.zero)


def _same(controller: str, file: str, text: Callable[[Any, Any, str], str], spare: str = "") -> dict[str, Any]:
    """Return both columns of a knob that the versions agree about."""
    column = (Column(controller, file, text, spare=spare),)
    return {"v1": column, "v2": column}


def _throttle(name: str, file: str, text: Callable[[Any, Any, str], str]) -> Knob:
    """Return the row of one kind of throttled devices."""
    path = f"blockIO/{name}/*"
    return Knob(path, (Column("blkio", f"blkio.throttle.{file}_device", convert.rate),), (Column("io", "io.max", text),))


_IO_WEIGHT = Column("io", "io.weight", convert.io_weight)
_IO_WEIGHT_DEVICE = Column("io", "io.weight", convert.device_io_weight)
_BLKIO_WEIGHT = Column("blkio", "blkio.weight", convert.blkio_weight)
_BLKIO_WEIGHT_DEVICE = Column("blkio", "blkio.weight_device", convert.device_weight)
SWAPPINESS = (Column("memory", "memory.swappiness", convert.swappiness),)
GONE = "no kernel since 5.16 limits it"
KNOBS = (
    Knob("cpu/mems", **_same("cpuset", "cpuset.mems", convert.plain)),
    Knob("cpu/cpus", **_same("cpuset", "cpuset.cpus", convert.plain)),
    Knob("cpu/realtimePeriod", (Column("cpu", "cpu.rt_period_us", convert.plain),)),
    Knob("cpu/realtimeRuntime", (Column("cpu", "cpu.rt_runtime_us", convert.plain),)),
    Knob("cpu/shares", (Column("cpu", "cpu.shares", convert.shares),), (Column("cpu", "cpu.weight", convert.weight),)),
    Knob("cpu/idle", **_same("cpu", "cpu.idle", convert.plain, spare="0"), zero=True),
    Knob(
        "cpu/period", (Column("cpu", "cpu.cfs_period_us", convert.plain),), (Column("cpu", "cpu.max", convert.period_max),)
    ),
    Knob(
        "cpu/quota",
        (Column("cpu", "cpu.cfs_quota_us", convert.plain),),
        (Column("cpu", "cpu.max", convert.cpu_max, ("cpu/period",)),),
    ),
    Knob(
        "cpu/burst",
        (Column("cpu", "cpu.cfs_burst_us", convert.plain, spare="0"),),
        (Column("cpu", "cpu.max.burst", convert.plain, spare="0"),),
        zero=True,
    ),
    Knob("pids/limit", **_same("pids", "pids.max", convert.tasks), zero=True),
    Knob(
        "memory/limit",
        (Column("memory", "memory.limit_in_bytes", convert.plain),),
        (Column("memory", "memory.max", convert.or_max),),
    ),
    Knob(
        "memory/swap",
        (Column("memory", "memory.memsw.limit_in_bytes", convert.memory_and_swap, ("memory/limit",), spare="-1"),),
        (Column("memory", "memory.swap.max", convert.swap_alone, ("memory/limit",), spare="max"),),
    ),
    Knob(
        "memory/reservation",
        (Column("memory", "memory.soft_limit_in_bytes", convert.plain),),
        (Column("memory", "memory.low", convert.or_max),),
    ),
    Knob("memory/kernel", ignored=GONE),
    Knob("memory/kernelTCP", (Column("memory", "memory.kmem.tcp.limit_in_bytes", convert.plain),)),
    Knob("memory/swappiness", SWAPPINESS, zero=True, none=convert.SWAPPINESS_UNSET),
    Knob("memory/disableOOMKiller", (Column("memory", "memory.oom_control", convert.yes),)),
    Knob("memory/useHierarchy", ignored="every hierarchy of a kernel since 5.11 is one"),
    Knob("memory/checkBeforeUpdate", ignored="looked at by `update`; a new cgroup uses nothing"),
    Knob(
        "blockIO/weight",
        (Column("blkio", "blkio.bfq.weight", convert.blkio_weight, other=_BLKIO_WEIGHT),),
        (Column("io", "io.bfq.weight", convert.blkio_weight, other=_IO_WEIGHT),),
    ),
    Knob("blockIO/leafWeight", (Column("blkio", "blkio.leaf_weight", convert.blkio_weight),)),
    Knob(
        "blockIO/weightDevice/*/weight",
        (Column("blkio", "blkio.bfq.weight_device", convert.device_weight, other=_BLKIO_WEIGHT_DEVICE),),
        (Column("io", "io.bfq.weight", convert.device_weight, other=_IO_WEIGHT_DEVICE),),
    ),
    Knob(
        "blockIO/weightDevice/*/leafWeight", (Column("blkio", "blkio.leaf_weight_device", convert.device_weight),)
    ),
    _throttle("throttleReadBpsDevice", "read_bps", convert.rbps),
    _throttle("throttleWriteBpsDevice", "write_bps", convert.wbps),
    _throttle("throttleReadIOPSDevice", "read_iops", convert.riops),
    _throttle("throttleWriteIOPSDevice", "write_iops", convert.wiops),
    Knob(
        "hugepageLimits/*/limit",
        # Reserved pages are counted from Linux 5.7 on; what older kernels lack there is no loss of a limit.
        (
            Column("hugetlb", "hugetlb.*.limit_in_bytes", convert.pages),
            Column("hugetlb", "hugetlb.*.rsvd.limit_in_bytes", convert.pages, spare=EACH),
        ),
        (
            Column("hugetlb", "hugetlb.*.max", convert.pages),
            Column("hugetlb", "hugetlb.*.rsvd.max", convert.pages, spare=EACH),
        ),
        zero=True,
    ),
    Knob("rdma/*", **_same("rdma", "rdma.max", convert.handles)),
    Knob("network/classID", (Column("net_cls", "net_cls.classid", convert.plain),)),
    Knob("network/priorities/*", (Column("net_prio", "net_prio.ifpriomap", convert.interface),)),
    Knob("unified/*", (), (Column(EACH, EACH, convert.lines),)),
)


def writes(resources: Resources, *, unified: bool, asked: Resources | None = None) -> list[Write]:
    """Return what RESOURCES ask for, in order, for the hierarchy that has the limits.

    With ASKED, an update, only what that sets and what depends on it: numbers
    are then RESOURCES' (where both are one already), lists ASKED's.
    Raises ConfigError or UnsupportedError for what this version of cgroups
    cannot do, or what makes no sense.
    """
    made: list[Write] = []
    resources = with_swap(resources)
    for knob in KNOBS:
        columns = knob.v2 if unified else knob.v1
        source = resources
        if asked is not None and EACH in knob.path:
            source = asked
        elif asked is not None and not _concerns(knob, columns, asked):
            continue
        for value, owner, name, at in _found(source, knob.path.split("/"), ROOT):
            if knob.is_unset(value) or (knob.ignored and not columns):
                continue
            if not columns:
                raise _missing(knob, at, unified)
            for column in columns:
                made += _writes(column, value, owner, name, at)
    return made


def warnings(resources: Resources | None) -> list[str]:
    """Return what to tell about limits in RESOURCES that no kernel of today has."""
    asked = resources is not None and resources.memory is not None and bool(resources.memory.kernel)
    return [f"kernel memory settings are ignored: {GONE} (at {ROOT}/memory/kernel)"] if asked else []


def with_swap(resources: Resources) -> Resources:
    """Return RESOURCES with swap unlimited too where memory is, unless something else was asked for; as runc."""
    memory = resources.memory
    if memory is None or memory.limit != -1 or memory.swap:
        return resources
    return resources.replace(memory=memory.replace(swap=-1))


def _concerns(knob: Knob, columns: tuple[Column, ...], asked: Resources) -> bool:
    """Return whether an update by ASKED changes what COLUMNS of KNOB say."""
    paths = (knob.path, *(path for column in columns for path in column.needs))
    return any(value or knob.zero for path in paths for value, _, _, _ in _found(asked, path.split("/"), ROOT))


def _found(node: Any, names: list[str], at: str, owner: Any = None, label: str = "") -> Iterator[tuple[Any, Any, str, str]]:
    """Yield (value, its record, its name, pointer) for what the path NAMES leads to, from NODE at pointer AT."""
    if node is None:
        return
    if not names:
        yield node, owner, getattr(owner, "pageSize", label), at
        return
    name, rest = names[0], names[1:]
    if name == EACH:
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _found(item, rest, f"{at}/{escape(str(key))}", item, str(key))
    else:
        yield from _found(getattr(node, name), rest, f"{at}/{name}", node, label)


def _writes(column: Column, value: Any, owner: Any, name: str, at: str) -> Iterator[Write]:
    """Yield what COLUMN makes of VALUE, found AT: one write for each line."""
    try:
        text = column.text(value, owner, name)
        other = ("", "") if column.other is None else (column.other.file, column.other.text(value, owner, name))
    except ConfigError as error:
        raise ConfigError(error.message, pointer=at, hint=error.hint) from None
    file = column.file.replace(EACH, name)
    controller = column.controller
    if controller == EACH:
        controller = file.partition(".")[0].replace("cgroup", "")
    for line in text.splitlines() if column.file == EACH else filter(None, [text]):
        yield Write(controller, file, line, at, other, column.spare in (EACH, line))


def _missing(knob: Knob, at: str, unified: bool) -> UnsupportedError:
    """Return the error for a value that one version has no file for."""
    name = knob.path.rpartition("/")[2]
    if knob.path == "unified/*":
        hint = "it needs cgroup version 2: remove it"
        return UnsupportedError("invalid configuration: cannot use unified on cgroup v1", pointer=at, hint=hint)
    if name == EACH:
        name = knob.path.split("/")[-2]
    return UnsupportedError(
        f"{name} does not exist in cgroup version {2 if unified else 1}",
        pointer=at,
        hint="remove it, or run on a host that has the other version",
    )
