"""Clocks that cannot be set: they would begin before the machine did, or never end (time_namespaces(7))."""

from __future__ import annotations

from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC, clock_gettime_ns

from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

AT = "/linux/timeOffsets"
CLOCKS = {"monotonic": CLOCK_MONOTONIC, "boottime": CLOCK_BOOTTIME}
SECOND = 1_000_000_000
END = ((1 << 63) - 1) // SECOND // 2  # seconds: half of what the kernel counts in nanoseconds


def errors(config: Config) -> Iterator[UnsupportedError]:
    """Yield an error if a clock of CONFIG would show a time that the kernel has not."""
    for name, offset in config.linux.timeOffsets.items():
        now = clock_gettime_ns(CLOCKS[name]) // SECOND
        if not 0 <= now + offset.secs <= END:
            text = f"{name} {offset.secs}: numerical result out of range: the clock is at {now} seconds"
            yield UnsupportedError(text, pointer=AT, hint=f"choose secs from {-now} to {END - now}")
            return
