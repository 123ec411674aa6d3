"""What a container uses, read from its cgroups' files, in the shape of runc's `events --stats`.

Times are nanoseconds and sizes bytes.  As with runc, what is zero is left out
where 0 says nothing, and version 2 is told in the terms of version 1.
"""

from __future__ import annotations

import posix

from pyrunc.host.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.cgroup.paths import Place

ENDLESS = (1 << 64) - 1
SECOND, MICROSECOND = 1_000_000_000, 1000
# The first group of files with something in it, as runc looks for them: key of the result -> file.
_BFQ = {"ioServicedRecursive": "io_serviced_recursive", "ioServiceBytesRecursive": "io_service_bytes_recursive"}
_ALL = {
    "sectorsRecursive": "sectors_recursive",
    "ioServiceTimeRecursive": "io_service_time_recursive",
    "ioWaitTimeRecursive": "io_wait_time_recursive",
    "ioMergedRecursive": "io_merged_recursive",
    "ioQueueRecursive": "io_queued_recursive",
    "ioTimeRecursive": "time_recursive",
    **_BFQ,
}
BLOCK_GROUPS = (
    ("blkio.bfq.", _ALL),
    ("blkio.bfq.", _BFQ),
    ("blkio.", _ALL),
    ("blkio.throttle.", _BFQ),
    ("blkio.throttle.", {key: file.removesuffix("_recursive") for key, file in _BFQ.items()}),
)
# Of io.stat (version 2): key of a device's line -> where version 1 counts it.
IO_STAT = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
}
CPUSET_NUMBERS = (
    "cpu_exclusive mem_hardwall mem_exclusive memory_migrate memory_spread_page memory_spread_slab "
    "memory_pressure sched_load_balance sched_relax_domain_level"
).split()


def stats(places: tuple[Place, ...]) -> dict[str, Any]:
    """Return what the container in the cgroups at PLACES uses; a controller that is missing counts nothing."""
    at = {controller: place.directory for place in places for controller in place.controllers}
    if all(place.is_v2 for place in places):
        return _version2(at.get("", ""))
    return {
        "cpu": _cpu(at.get("cpu", ""), at.get("cpuacct", "")),
        "cpuset": _cpuset(at.get("cpuset", "")),
        "memory": _memory(at.get("memory", "")),
        "pids": _pids(at.get("pids", "")),
        "blkio": _block(at.get("blkio", "")),
        "hugetlb": _huge(at.get("hugetlb", ""), "usage_in_bytes"),
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _text(directory: str, file: str) -> str:
    """Return what FILE in DIRECTORY says, nothing if there is no such file, or no statistics in it."""
    try:
        return read(f"{directory}/{file}") if directory else ""
    except OSError:
        return ""


def _number(directory: str, file: str) -> int:
    """Return the number in FILE: 0 for none, the largest for "max"."""
    word = (_text(directory, file).split() or ["0"])[0]
    return ENDLESS if word == "max" else int(word)


def _table(directory: str, file: str) -> dict[str, int]:
    """Return the lines "name number" of FILE."""
    pairs = (line.split() for line in _text(directory, file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _some(**values: Any) -> dict[str, Any]:
    """Return VALUES without what is zero or empty."""
    return {name: value for name, value in values.items() if value}


def _cpu(cpu: str, cpuacct: str) -> dict[str, Any]:
    """Return /cpu from version 1."""
    stat, ticks = _table(cpu, "cpu.stat"), _table(cpuacct, "cpuacct.stat")
    tick = SECOND // posix.sysconf("SC_CLK_TCK")
    rows = [line.split() for line in _text(cpuacct, "cpuacct.usage_all").splitlines()[1:]]
    usage = {
        **_some(
            total=_number(cpuacct, "cpuacct.usage"),
            percpu=[int(word) for word in _text(cpuacct, "cpuacct.usage_percpu").split()],
            percpu_kernel=[int(row[2]) for row in rows],
            percpu_user=[int(row[1]) for row in rows],
        ),
        "kernel": ticks.get("system", 0) * tick,
        "user": ticks.get("user", 0) * tick,
    }
    return {"usage": usage, "throttling": _throttling(stat, stat.get("throttled_time", 0))}


def _throttling(stat: dict[str, int], time: int) -> dict[str, Any]:
    """Return /cpu/throttling from cpu.stat."""
    return _some(periods=stat.get("nr_periods", 0), throttledPeriods=stat.get("nr_throttled", 0), throttledTime=time)


def _cpuset(directory: str) -> dict[str, Any]:
    """Return /cpuset, which only version 1 fills."""
    lists = {name: _list(_text(directory, f"cpuset.{name}").strip()) for name in ("cpus", "mems")}
    return {**_some(**lists), **{name: _number(directory, f"cpuset.{name}") for name in CPUSET_NUMBERS}}


def _list(text: str) -> list[int]:
    """Return the numbers in TEXT, a list of ranges such as 0-3,7."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _memory(directory: str) -> dict[str, Any]:
    """Return /memory from version 1."""
    raw = _table(directory, "memory.stat")
    parts = {"usage": "", "swap": ".memsw", "kernel": ".kmem", "kernelTCP": ".kmem.tcp"}
    made: dict[str, Any] = _some(cache=raw.get("cache", 0))
    for name, part in parts.items():
        file = f"memory{part}"
        usage = _number(directory, f"{file}.usage_in_bytes")
        most = _number(directory, f"{file}.max_usage_in_bytes")
        limit, failures = _number(directory, f"{file}.limit_in_bytes"), _number(directory, f"{file}.failcnt")
        made[name] = {"limit": limit, **_some(usage=usage, max=most), "failcnt": failures}
    return {**made, **_some(raw=raw)}


def _pids(directory: str) -> dict[str, Any]:
    """Return /pids, which is the same in both versions; no limit is left out."""
    limit = _number(directory, "pids.max")
    return _some(current=_number(directory, "pids.current"), limit=0 if limit == ENDLESS else limit)


def _block(directory: str) -> dict[str, Any]:
    """Return /blkio from version 1."""
    for prefix, files in BLOCK_GROUPS:
        made = {}
        for key, file in files.items():
            if not (rows := _block_rows(_text(directory, prefix + file))):
                break
            made[key] = rows
        if made:
            return made
    return {}


def _block_rows(text: str) -> list[dict[str, Any]]:
    """Return the lines "MAJOR:MINOR [WHAT] NUMBER" of TEXT; the sum over all devices is left out."""
    made = []
    for line in text.splitlines():
        device, *what, value = line.split()
        major, colon, minor = device.partition(":")
        if colon:
            made.append(_some(major=int(major), minor=int(minor), op="".join(what), value=int(value)))
    return made


def _huge(directory: str, current: str) -> dict[str, Any]:
    """Return /hugetlb; CURRENT is what the version calls the file with the usage."""
    made = {}
    for file in sorted(posix.listdir(directory)) if directory else ():
        if file.startswith("hugetlb.") and file.endswith(f".{current}") and ".rsvd." not in file:
            size = file.split(".")[1]
            failures = _number(directory, f"hugetlb.{size}.failcnt") or _table(directory, f"hugetlb.{size}.events").get("max", 0)
            most = _number(directory, f"hugetlb.{size}.max_usage_in_bytes")
            made[size] = {**_some(usage=_number(directory, file), max=most), "failcnt": failures}
    return made


def _version2(directory: str) -> dict[str, Any]:
    """Return everything from the one directory of version 2."""
    stat = _table(directory, "cpu.stat")
    usage = {
        **_some(total=stat.get("usage_usec", 0) * MICROSECOND),
        "kernel": stat.get("system_usec", 0) * MICROSECOND,
        "user": stat.get("user_usec", 0) * MICROSECOND,
    }
    throttling = _throttling(stat, stat.get("throttled_usec", 0) * MICROSECOND)
    return {
        "cpu": {"usage": usage, "throttling": throttling, **_pressure(directory, "cpu")},
        "cpuset": _cpuset(""),
        "memory": {**_memory2(directory), **_pressure(directory, "memory")},
        "pids": _pids(directory),
        "blkio": {**_block2(_text(directory, "io.stat")), **_pressure(directory, "io")},
        "hugetlb": _huge(directory, "current"),
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _memory2(directory: str) -> dict[str, Any]:
    """Return /memory from version 2: swap counts both together, as in version 1."""
    raw = _table(directory, "memory.stat")
    usage, limit = _number(directory, "memory.current"), _number(directory, "memory.max")
    both, most = _number(directory, "memory.swap.current") + usage, _number(directory, "memory.swap.max")
    failures = _table(directory, "memory.events").get("max", 0)
    peak = _number(directory, "memory.peak")
    return {
        **_some(cache=raw.get("file", 0)),
        "usage": {"limit": limit, **_some(usage=usage, max=peak), "failcnt": failures},
        "swap": {"limit": min(most + limit, ENDLESS), **_some(usage=both), "failcnt": 0},
        "kernel": {"limit": 0, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
        **_some(raw=raw),
    }


def _block2(text: str) -> dict[str, Any]:
    """Return /blkio from TEXT of io.stat: lines "MAJOR:MINOR key=number ..."."""
    made: dict[str, Any] = {}
    for line in text.splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in IO_STAT:
                name, what = IO_STAT[key]
                made.setdefault(name, []).append(_some(major=int(major), minor=int(minor), op=what, value=int(value)))
    return made


def _pressure(directory: str, resource: str) -> dict[str, Any]:
    """Return {"psi": ...} of RESOURCE, how long processes waited for it; nothing where the kernel does not say."""
    made: dict[str, Any] = {}
    for line in _text(directory, f"{resource}.pressure").splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=") for pair in pairs)
        made[kind] = {name: int(value) if name == "total" else float(value) for name, value in values.items()}
    return _some(psi=made)
