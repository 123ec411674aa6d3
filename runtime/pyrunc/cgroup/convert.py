"""How a value of config.json becomes the text of a cgroup file: the conversions that the knob table names.

Each takes the value, the record that it stands in, and the name that tells it
from its neighbours in a list (a page size, a device of RDMA, a file).  Each
raises ConfigError, without a pointer, for what makes no sense.  The first line
of each docstring stands in docs/resources.md.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.resources import CPU, Memory, NetworkPriority, Rdma, ThrottleDevice, WeightDevice

SHARES_MIN, SHARES_MAX = 2, 262144
WEIGHT_MIN, WEIGHT_MAX = 1, 10000
BLKIO_MIN, BLKIO_MAX = 10, 1000
SWAPPINESS_MAX, SWAPPINESS_UNSET = 100, (1 << 64) - 1  # Go's engines write -1 for none, as an unsigned number


def plain(value: object, _: object, __: str) -> str:
    """As it is."""
    return str(value)


def yes(_: object, __: object, ___: str) -> str:
    """1 if true."""
    return "1"


def or_max(value: int, _: object, __: str) -> str:
    """As it is; a negative number is `max`."""
    return "max" if value < 0 else str(value)


def shares(value: int, _: object, __: str) -> str:
    """As it is, from 2 to 262144."""
    if value < SHARES_MIN:
        raise ConfigError(f"the minimum allowed cpu-shares is {SHARES_MIN}, not {value}", hint="raise it")
    if value > SHARES_MAX:
        raise ConfigError(f"the maximum allowed cpu-shares is {SHARES_MAX}, not {value}", hint="lower it")
    return str(value)


def weight(value: int, _: object, __: str) -> str:
    """2..262144 becomes 1..10000, by a curve on which 1024 is 100; beyond is the nearest."""
    # The power of ten whose exponent is quadratic in log2(shares): runc, crun and Kubernetes have agreed on it.
    if value <= SHARES_MIN:
        return str(WEIGHT_MIN)
    if value >= SHARES_MAX:
        return str(WEIGHT_MAX)
    from math import ceil, log2

    power = log2(value)
    return str(ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34)))


def tasks(value: int, _: object, __: str) -> str:
    """As it is; 0 is 1, as systemd knows no 0, which comes to the same; a negative number is `max`."""
    return "max" if value < 0 else str(max(value, 1))


def swappiness(value: int, _: object, __: str) -> str:
    """As it is, from 0 to 100; 2^64-1 means "not set"."""
    if value > SWAPPINESS_MAX:
        raise ConfigError(
            f"invalid memory swappiness value: {value} (valid range is 0-{SWAPPINESS_MAX})",
            hint=f"choose one from 0 to {SWAPPINESS_MAX}",
        )
    return str(value)


def period_max(period: int, cpu: CPU, _: str) -> str:
    """`max PERIOD`, unless there is a quota to say it with."""
    return "" if cpu.quota else f"max {period}"


def cpu_max(quota: int, cpu: CPU, _: str) -> str:
    """`QUOTA PERIOD`; a negative quota is `max`, no period leaves the one that is there."""
    limit = str(quota) if quota > 0 else "max"
    return f"{limit} {cpu.period}" if cpu.period else limit


def memory_and_swap(swap: int, memory: Memory, _: str) -> str:
    """As it is: memory and swap together, which may not be below the limit."""
    limit = memory.limit or 0
    if limit > 0 and 0 < swap < limit:
        message = f"swap ({swap}) is memory and swap together, and below the memory limit ({limit})"
        raise ConfigError(message, hint="raise it to the limit at least")
    return str(swap)


def swap_alone(swap: int, memory: Memory, _: str) -> str:
    """Less the memory limit, as version 2 counts swap alone; -1 is `max`."""
    memory_and_swap(swap, memory, "")
    if swap < 0:
        return "max"
    if not memory.limit or memory.limit < 0:
        hint = "set memory.limit too: version 2 limits swap alone, which is their difference"
        raise ConfigError("swap is limited, and memory is not", hint=hint)
    return str(swap - memory.limit)


def _checked(value: int) -> int:
    """Return a weight of block I/O if it is one."""
    if not BLKIO_MIN <= value <= BLKIO_MAX:
        raise ConfigError(
            f"weight {value} is not from {BLKIO_MIN} to {BLKIO_MAX}", hint="choose one in that range, or 0 for none"
        )
    return value


def blkio_weight(value: int, _: object, __: str) -> str:
    """As it is, from 10 to 1000."""
    return str(_checked(value))


def io_weight(value: int, _: object, __: str) -> str:
    """10..1000 becomes 1..10000, linearly."""
    return str(WEIGHT_MIN + (_checked(value) - BLKIO_MIN) * (WEIGHT_MAX - WEIGHT_MIN) // (BLKIO_MAX - BLKIO_MIN))


def device_weight(value: int, row: WeightDevice, _: str) -> str:
    """`MAJOR:MINOR WEIGHT`."""
    return f"{row.major}:{row.minor} {_checked(value)}"


def device_io_weight(value: int, row: WeightDevice, _: str) -> str:
    """`MAJOR:MINOR WEIGHT`, the weight as for all devices."""
    return f"{row.major}:{row.minor} {io_weight(value, row, '')}"


def rate(row: ThrottleDevice, _: object, __: str) -> str:
    """`MAJOR:MINOR RATE`; 0 is no limit."""
    return f"{row.major}:{row.minor} {row.rate}"


def rbps(row: ThrottleDevice, _: object, __: str) -> str:
    """`MAJOR:MINOR rbps=RATE`; 0 is `max`."""
    return f"{row.major}:{row.minor} rbps={row.rate or 'max'}"


def wbps(row: ThrottleDevice, _: object, __: str) -> str:
    """`MAJOR:MINOR wbps=RATE`; 0 is `max`."""
    return f"{row.major}:{row.minor} wbps={row.rate or 'max'}"


def riops(row: ThrottleDevice, _: object, __: str) -> str:
    """`MAJOR:MINOR riops=RATE`; 0 is `max`."""
    return f"{row.major}:{row.minor} riops={row.rate or 'max'}"


def wiops(row: ThrottleDevice, _: object, __: str) -> str:
    """`MAJOR:MINOR wiops=RATE`; 0 is `max`."""
    return f"{row.major}:{row.minor} wiops={row.rate or 'max'}"


def pages(limit: int, _: object, size: str) -> str:
    """As it is."""
    if not size.isalnum():
        raise ConfigError(f'"{size}" is no page size', hint="such as 2MB")
    return str(limit)


def handles(limit: Rdma, _: object, name: str) -> str:
    """`DEVICE hca_handle=N hca_object=N`, what is given of both."""
    parts = (("hca_handle", limit.hcaHandles), ("hca_object", limit.hcaObjects))
    line = " ".join(f"{key}={value}" for key, value in parts if value is not None)
    return f"{name} {line}" if line else ""


def interface(row: NetworkPriority, _: object, __: str) -> str:
    """`INTERFACE PRIORITY`."""
    return f"{row.name} {row.priority}"


def lines(value: str, _: object, file: str) -> str:
    """Line by line."""
    if "/" in file or "." not in file or file.startswith("."):
        raise ConfigError(f'"{file}" is no file of a cgroup', hint='such as "memory.high"')
    return value
