"""Why the kernel refuses a value of a cgroup file, as far as that can be told by reading: before it is written, or after.

The rules are the kernel's: admin-guide/cgroup-v1, cgroup-v2.rst, scheduler/sched-bwc.rst and sched-rt-group.rst of its
documentation, and what its source checks where these are silent.  Loaded by `check`, and when a write has failed.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.cgroup.lists import members
from pyrunc.host.files import read
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrunc.cgroup.knobs import Write

PERIOD_US, QUOTA_MIN_US, QUOTA_MAX_US = (1000, 1_000_000), 1000, (1 << 44) - 1
RATIO = 1 << 20  # the kernel's to_ratio() counts in these
U64_US = ((1 << 64) - 1) // 1000
PIDS_MAX = 1 << 22
PAGE = 4096
PAGES_MAX = ((1 << 63) - 1) // PAGE  # which is no limit


class Reason(Record):
    """The errno of a refused write, and what to do about it."""

    errno: int
    hint: str


class Group(Record):
    """A cgroup at `directory` below `mount`, which may not be there yet, and what has been, or will be, `written` to it."""

    directory: str
    mount: str
    written: dict[str, str]

    def now(self, file: str, default: str) -> str:
        """Return what FILE says, or will say."""
        return self.written.get(file) or _read(f"{self.directory}/{file}") or default

    def above(self) -> Iterator[str]:
        """Yield the directories of the cgroups above, from the nearest, as far as they are there."""
        directory = self.directory
        while directory != self.mount and directory:
            directory = directory.rpartition("/")[0]
            if posix.access(directory, posix.F_OK):
                yield directory

    def parent(self) -> str:
        """Return the directory of the parent."""
        return self.directory.rpartition("/")[0]


def reason(change: Write, group: Group) -> Reason | None:
    """Return why the kernel refuses CHANGE in GROUP; None if it does not, or nobody can tell."""
    rule = RULES.get(change.file)
    if rule is None and "throttle" in change.file:
        rule = _device
    try:
        return rule(change.value, group) if rule is not None else None
    except (OSError, ValueError):
        return None  # not for us to read, or not in the words that are known


def lacks(change: Write, group: Group) -> bool:
    """Return whether this kernel surely offers GROUP neither the file of CHANGE nor the one that older kernels have instead."""
    example = next((each for each in (group.directory, *group.above()) if each != group.mount and _is_there(each)), "")
    if not example:
        with posix.scandir(group.mount) as entries:
            example = next((each.path for each in entries if each.is_dir(follow_symlinks=False)), "")
    files = [change.file, *filter(None, [change.other[0]])]
    return bool(example) and not any(posix.access(f"{example}/{file}", posix.F_OK) for file in files)


def _read(path: str) -> str:
    """Return what the file at PATH says; "" if there is none."""
    try:
        return read(path).strip()
    except OSError:
        return ""


def _is_there(path: str) -> bool:
    """Return whether there is something at PATH."""
    return posix.access(path, posix.F_OK)


def _set(value: str, group: Group, *, file: str, present: str, what: str) -> Reason | None:
    """Say why VALUE is no list for FILE of GROUP; PRESENT names the file with what the machine has, WHAT says what it lists."""
    found = members(value)
    if found is None:
        return Reason(errno.EINVAL, f'write a list such as "0-1,3" of {what}')
    machine = members(_read(present) or "0") or set()
    if found - machine:
        code = errno.ERANGE if "cpu" in file and max(found) > max(machine) else errno.EINVAL
        return Reason(code, f"this machine has {what} {_read(present) or '0'}")
    if _read(f"{group.mount}/cgroup.controllers"):
        return None  # version 2 takes what the parent has of it
    for directory in group.above():
        allowed = members(_read(f"{directory}/{file}")) or set()
        if allowed:
            text = f"the parent cgroup {directory} has {what} {_read(f'{directory}/{file}')}"
            return Reason(errno.EACCES, text) if found - allowed else None
    return None


def _cpus(value: str, group: Group) -> Reason | None:
    """Processors: of the machine's, and in version 1 of the parent's."""
    return _set(value, group, file="cpuset.cpus", present="/sys/devices/system/cpu/online", what="processors")


def _mems(value: str, group: Group) -> Reason | None:
    """Nodes of memory: of the machine's, and in version 1 of the parent's."""
    return _set(value, group, file="cpuset.mems", present="/sys/devices/system/node/has_memory", what="memory nodes")


def _ratio(runtime: int, period: int) -> int:
    """Return which part of a PERIOD a RUNTIME is, both in microseconds, as the kernel counts it; a negative one is all."""
    return RATIO if runtime < 0 else runtime * RATIO // period if period else 0


def _rt_period(value: str, _: Group) -> Reason | None:
    """A period in nanoseconds fits into 64 bits."""
    return Reason(errno.EINVAL, f"at most {U64_US} microseconds") if int(value) > U64_US else None


def _rt_runtime(value: str, group: Group) -> Reason | None:
    """A runtime is within its period, and with its siblings' within the parent's (sched-rt-group.rst)."""
    runtime, period = int(value), int(group.now("cpu.rt_period_us", "1000000"))
    if runtime > period:
        return Reason(errno.EINVAL, f"at most the period, {period} microseconds")
    parent = group.parent()
    if not _is_there(parent):
        if not _ratio(runtime, period):
            return None  # so little that it counts for none
        return Reason(errno.EINVAL, f"the parent cgroup {parent}, which is made, has no realtime: make it before, with some")
    given = _ratio(int(read(f"{parent}/cpu.rt_runtime_us")), int(read(f"{parent}/cpu.rt_period_us")))
    for entry in posix.scandir(parent):
        if entry.is_dir(follow_symlinks=False) and entry.path != group.directory:
            given -= _ratio(int(_read(f"{entry.path}/cpu.rt_runtime_us") or 0), int(_read(f"{entry.path}/cpu.rt_period_us") or 0))
    if _ratio(runtime, period) > given:
        left = max(0, given * period // RATIO)
        return Reason(errno.EINVAL, f"the parent cgroup {parent} has {left} of {period} microseconds left: give it more")
    return None


def _period(value: str, _: Group) -> Reason | None:
    """A period is from a millisecond to a second (sched-bwc.rst)."""
    low, high = PERIOD_US
    return None if low <= int(value) <= high else Reason(errno.EINVAL, f"from {low} to {high} microseconds")


def _quota(value: str, group: Group) -> Reason | None:
    """A quota is a millisecond at least, and not more than what the cgroups above have of their periods."""
    quota, period = int(value), int(group.now("cpu.cfs_period_us", "100000"))
    if quota < 0:
        return None
    if not QUOTA_MIN_US <= quota <= QUOTA_MAX_US:
        return Reason(errno.EINVAL, f"from {QUOTA_MIN_US} to {QUOTA_MAX_US} microseconds, or -1 for no limit")
    for directory in group.above():
        above, its = _read(f"{directory}/cpu.cfs_quota_us"), _read(f"{directory}/cpu.cfs_period_us")
        if above and int(above) > 0 and _ratio(quota, period) > _ratio(int(above), int(its)):
            return Reason(errno.EINVAL, f"the cgroup above, {directory}, has {above} of {its} microseconds: no more can be had")
    return None


def _max(value: str, group: Group) -> Reason | None:
    """The same two in version 2, where the cgroups above may have less."""
    quota, _, period = value.partition(" ")
    refused = _period(period, group) if period else None
    if refused is None and quota != "max" and not QUOTA_MIN_US <= int(quota) <= QUOTA_MAX_US:
        refused = Reason(errno.EINVAL, f"a quota is from {QUOTA_MIN_US} to {QUOTA_MAX_US} microseconds")
    return refused


def _burst(value: str, group: Group) -> Reason | None:
    """A burst is at most the quota (sched-bwc.rst)."""
    quota = group.now("cpu.cfs_quota_us", "") or group.now("cpu.max", "max").split()[0]
    if int(value) > U64_US:
        return Reason(errno.EINVAL, f"at most {U64_US} microseconds")
    limited = quota not in ("max", "") and int(quota) > 0
    if limited and (int(value) > int(quota) or int(value) + int(quota) > QUOTA_MAX_US):
        return Reason(errno.EINVAL, f"at most the quota, {quota} microseconds")
    return None


def _idle(value: str, _: Group) -> Reason | None:
    """Idle, or not."""
    return None if value in ("0", "1") else Reason(errno.EINVAL, "0 or 1")


def _pids(value: str, _: Group) -> Reason | None:
    """No kernel has more processes."""
    return Reason(errno.EINVAL, f"at most {PIDS_MAX}, or -1 for no limit") if value != "max" and int(value) > PIDS_MAX else None


def _bytes(value: str, _: Group) -> Reason | None:
    """A size, or -1."""
    return Reason(errno.EINVAL, "write a number of bytes, or -1 for no limit") if int(value) < -1 else None


def _memsw(value: str, group: Group) -> Reason | None:
    """Memory and swap together are not less than memory alone (admin-guide/cgroup-v1/memory.rst)."""
    if int(value) < 0:
        return _bytes(value, group)
    limit = int(group.now("memory.limit_in_bytes", "-1"))
    pages = PAGES_MAX if limit < 0 else min(limit // PAGE, PAGES_MAX)
    if int(value) // PAGE < pages:
        return Reason(errno.EINVAL, "this is memory and swap together: set memory.limit too, to no more than this")
    return None


def _device(value: str, _: Group) -> Reason | None:
    """A limit is for a whole disk."""
    numbers = value.partition(" ")[0]
    at = f"/sys/dev/block/{numbers}"
    if not _is_there(at):
        return Reason(errno.ENODEV, f"no disk has the number {numbers}: see /proc/partitions")
    if _is_there(f"{at}/partition"):
        return Reason(errno.ENODEV, f"{numbers} is a partition: name its disk")
    return None


def _bfq(value: str, group: Group) -> Reason | None:
    """A weight of a disk needs the scheduler BFQ there."""
    numbers, _, weight = value.partition(" ")
    if not weight:
        return None
    refused = _device(value, group)
    if refused is None and "[bfq]" not in _read(f"/sys/dev/block/{numbers}/queue/scheduler"):
        hint = f"disk {numbers} has another scheduler than bfq: see /sys/dev/block/{numbers}/queue/scheduler"
        return Reason(errno.EOPNOTSUPP, hint)
    return refused


def _interface(value: str, _: Group) -> Reason | None:
    """A priority is for an interface of ours."""
    name = value.partition(" ")[0]
    return None if _is_there(f"/sys/class/net/{name}") else Reason(errno.ENODEV, f"there is no network interface {name}")


RULES: dict[str, Callable[[str, Group], Reason | None]] = {
    "blkio.bfq.weight_device": _bfq,
    "cpu.cfs_burst_us": _burst,
    "cpu.cfs_period_us": _period,
    "cpu.cfs_quota_us": _quota,
    "cpu.idle": _idle,
    "cpu.max": _max,
    "cpu.max.burst": _burst,
    "cpu.rt_period_us": _rt_period,
    "cpu.rt_runtime_us": _rt_runtime,
    "cpuset.cpus": _cpus,
    "cpuset.mems": _mems,
    "io.bfq.weight": _bfq,
    "io.max": _device,
    "memory.kmem.tcp.limit_in_bytes": _bytes,
    "memory.limit_in_bytes": _bytes,
    "memory.memsw.limit_in_bytes": _memsw,
    "memory.soft_limit_in_bytes": _bytes,
    "net_prio.ifpriomap": _interface,
    "pids.max": _pids,
}
