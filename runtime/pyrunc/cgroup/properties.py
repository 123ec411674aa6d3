"""Writes to cgroup files -> the systemd properties that mean the same (systemd.resource-control(5)).

systemd writes the files of its units anew when it reloads.  So that it finds
there what it knows, every limit is also told to it; what has no property here
is only in the file, which systemd leaves alone.
"""

from __future__ import annotations

from pyrunc.cgroup.devices import ALL
from pyrunc.errors import ConfigError
from pyrunc.oci.lists import mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from pyrunc.cgroup.devices import Rule
    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.systemd import Property

INFINITY = (1 << 64) - 1
SECOND = 1_000_000  # microseconds
QUOTA_STEP = 10_000  # systemd keeps a quota in steps of 1 % of a processor
PERIOD = 100_000  # the kernel's default


def number(text: str) -> int:
    """Return a limit as systemd counts it; "max" and -1 are none."""
    return INFINITY if text == "max" or text.startswith("-") else int(text)


def tasks(text: str) -> int:
    """Return a limit of processes as systemd counts it, which has no 0: 1 is the same."""
    return max(number(text), 1)


# file of either version -> property, D-Bus signature, conversion
TABLE: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "cpu.shares": ("CPUShares", "t", number),
    "cpu.weight": ("CPUWeight", "t", number),
    "cpuset.cpus": ("AllowedCPUs", "ay", mask),
    "cpuset.mems": ("AllowedMemoryNodes", "ay", mask),
    "memory.limit_in_bytes": ("MemoryLimit", "t", number),
    "memory.max": ("MemoryMax", "t", number),
    "memory.high": ("MemoryHigh", "t", number),
    "memory.low": ("MemoryLow", "t", number),
    "memory.min": ("MemoryMin", "t", number),
    "memory.swap.max": ("MemorySwapMax", "t", number),
    "pids.max": ("TasksMax", "t", tasks),
    "blkio.weight": ("BlockIOWeight", "t", number),
    "io.weight": ("IOWeight", "t", lambda text: number(text.removeprefix("default "))),
}
PER_SECOND, PER_PERIOD = "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec"
# file -> the properties that hold CPU bandwidth together
WEIGHT, IDLE = "CPUWeight", 0  # of a group that runs when nothing else does: systemd 252
QUOTA = {"cpu.cfs_quota_us": (PER_SECOND,), "cpu.cfs_period_us": (PER_PERIOD,), "cpu.max": (PER_SECOND, PER_PERIOD)}
# What only version 2 has as a property; systemd refuses it on version 1.
UNIFIED = frozenset(("cpuset.cpus", "cpuset.mems"))


def of_writes(changes: Iterable[Write], *, unified: bool) -> tuple[Property, ...]:
    """Return the properties of CHANGES.  Raises ConfigError for a value that is none."""
    found: list[Property] = []
    quota, period, idle = "", "", ""
    for change in changes:
        if change.file == "cpu.max":
            quota, _, period = change.value.partition(" ")
        elif change.file == "cpu.cfs_quota_us":
            quota = change.value
        elif change.file == "cpu.cfs_period_us":
            period = change.value
        elif change.file == "cpu.idle":
            idle = change.value.strip() if unified else ""
        elif (known := _known(change)) and (unified or known[0] not in UNIFIED):
            file, value = known
            name, signature, convert = TABLE[file]
            try:
                found.append((name, signature, convert(value)))
            except ValueError:
                text = f'"{value}" is no value for {file}'
                raise ConfigError(text, pointer=change.pointer, hint="such as 0-3,7") from None
    return (*_with_idle(found, idle), *_quota(quota, period))


def _with_idle(found: list[Property], idle: str) -> list[Property]:
    """Return FOUND with what IDLE, the text of cpu.idle, does to the weight: 1 takes its place, and 0 leaves the default."""
    weights = [each for each in found if each[0] == WEIGHT]
    if not idle or (idle == "0" and weights):
        return found
    return [*(each for each in found if each[0] != WEIGHT), (WEIGHT, "t", INFINITY if idle == "0" else IDLE)]


def _known(change: Write) -> tuple[str, str] | None:
    """Return file and value of CHANGE that have a property; where the file is BFQ's, those that stand for it."""
    for file, value in ((change.file, change.value), change.other):
        if file in TABLE and " " not in value.removeprefix("default "):
            return file, value
    return None


def _quota(quota: str, period: str) -> list[Property]:
    """Return CPU bandwidth as systemd has it: microseconds for each second, rounded up to its steps."""
    found: list[Property] = []
    if period:
        found.append((PER_PERIOD, "t", int(period)))
    if quota:
        limit = number(quota)
        if limit != INFINITY:
            limit = limit * SECOND // int(period or PERIOD)
            limit = -(-limit // QUOTA_STEP) * QUOTA_STEP
        found.append((PER_SECOND, "t", limit))
    return found


def of_devices(rules: tuple[Rule, ...]) -> tuple[Property, ...]:
    """Return the device rules for systemd: a strict policy and a list of what is allowed.

    Where everything is allowed, or a rule takes back a part of another, the list
    cannot say it: then systemd leaves devices to us.
    """
    allowed: list[tuple[str, str]] = []
    for rule in rules:
        if rule.type == "a" or not rule.allow:
            return (("DevicePolicy", "s", "auto"),) if rule.allow or allowed else ()
        name = _device(rule)
        if not name:
            return (("DevicePolicy", "s", "auto"),)
        allowed.append((name, rule.access))
    return (("DevicePolicy", "s", "strict"), ("DeviceAllow", "a(ss)", allowed))


def _device(rule: Rule) -> str:
    """Return RULE's devices as systemd names them; "" for those that it cannot name."""
    kind = "char" if rule.type == "c" else "block"
    if rule.major == ALL:
        return f"{kind}-*" if rule.minor == ALL else ""
    if rule.minor == ALL:
        return f"{kind}-{rule.major}"
    return f"/dev/{kind}/{rule.major}:{rule.minor}"
