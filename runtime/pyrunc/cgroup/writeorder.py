"""In which order an update writes: the kernel checks some files against others, at every single write.

A new cgroup has no limits yet, so the order of the knob table does.  In one
that has, it depends on the way a value goes whether it may go first.
"""

from __future__ import annotations

from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.cgroup.knobs import Write

ENDLESS = 1 << 64


class Rule(Record):
    """`second` is written before `first` if `turned` says so, of the new value of `first` and `look`'s current one.

    `second` may name several files, whichever is there.
    """

    first: str
    second: tuple[str, ...]
    look: str
    turned: Callable[[int, int], bool]
    why: str


def _more(new: int, now: int) -> bool:
    """Return whether it grows."""
    return new > now


def _less(new: int, now: int) -> bool:
    """Return whether it shrinks."""
    return new < now


RULES = (
    Rule(
        "memory.limit_in_bytes",
        ("memory.memsw.limit_in_bytes",),
        "memory.memsw.limit_in_bytes",
        _more,
        "memory + swap is never below memory: it goes first where memory outgrows it",
    ),
    Rule(
        "cpu.cfs_period_us",
        ("cpu.cfs_quota_us",),
        "cpu.cfs_period_us",
        _less,
        "quota / period stays within the parent's: the quota goes first where the period shrinks",
    ),
    Rule(
        "cpu.rt_period_us",
        ("cpu.rt_runtime_us",),
        "cpu.rt_period_us",
        _less,
        "the runtime fits into the period: it goes first where the period shrinks",
    ),
    Rule(
        "cpu.cfs_quota_us",
        ("cpu.cfs_burst_us",),
        "cpu.cfs_burst_us",
        _less,
        "a burst is at most the quota: it goes first where the quota falls below the old one",
    ),
    Rule(
        "cpu.max",
        ("cpu.max.burst",),
        "cpu.max.burst",
        _less,
        "a burst is at most the quota: it goes first where the quota falls below the old one",
    ),
)
IDLE, SHARES = "cpu.idle", ("cpu.shares", "cpu.weight")
IDLE_WHY = "an idle group has no shares: cpu.idle goes first where it becomes 0"
LOOKED_AT = frozenset(rule.look for rule in RULES)


def number(text: str) -> int:
    """Return the first number in TEXT of a cgroup file; `max` and -1 are endless."""
    word = (text.split() or ["0"])[0]
    return ENDLESS if word == "max" or word[0] == "-" else int(word)


def in_write_order(found: list[Write], now: dict[str, str]) -> list[Write]:
    """Return FOUND in an order that the kernel takes, NOW being what the files of LOOKED_AT say."""
    made = list(found)
    for rule in RULES:
        for write in found:
            if write.file == rule.first and rule.look in now and rule.turned(number(write.value), number(now[rule.look])):
                _before(made, write, rule.second)
    for write in found:
        if write.file == IDLE and write.value == "0":
            for other in [other for other in made if other.file in SHARES]:
                _before(made, other, (IDLE,))
    return made


def _before(made: list[Write], write: Write, files: tuple[str, ...]) -> None:
    """Move what goes to one of FILES in MADE to the place before WRITE."""
    for other in [other for other in made if other.file in files]:
        made.remove(other)
        made.insert(made.index(write), other)
