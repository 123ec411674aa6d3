"""Limits that the kernel refuses: for their value, for what the cgroups above have, for want of the file (cgroup/reasons.py)."""

from __future__ import annotations

import posix

from pyrunc.cgroup import limits, reasons
from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroup.knobs import Write
    from pyrunc.cgroup.paths import Place
    from pyrunc.plan.op import Plan

LIMIT = "/linux/resources/memory/limit"
# What the new process needs by itself: with half a MiB none has ever come as far as its program.
STARTS_WITH = 1 << 19
MEMORY = ("memory.limit_in_bytes", "memory.max")


def errors(plan: Plan) -> Iterator[UnsupportedError]:
    """Yield an error for each limit of PLAN that cannot be had."""
    for op in plan.host:
        if op.call != "limit_cgroup":
            continue
        places: tuple[Place, ...] = op.args[0]  # type: ignore[assignment]
        changes: tuple[Write, ...] = op.args[1]  # type: ignore[assignment]
        groups: dict[str, reasons.Group] = {}
        for change in changes:
            place = limits.place_of(places, change)
            if place is None:
                continue  # without its controller, which is said elsewhere
            group = groups.setdefault(place.directory, reasons.Group(place.directory, place.mount, {}))
            refused = _refused(change, group)
            group.written[change.file] = change.value
            if refused is not None:
                yield refused


def _refused(change: Write, group: reasons.Group) -> UnsupportedError | None:
    """Return why CHANGE cannot be made in GROUP, None if it can, as far as that is known."""
    text = f'{limits.SAID}: write "{change.value}" to {group.directory}/{change.file}'
    if reasons.lacks(change, group):
        if change.optional:
            return None
        return UnsupportedError(f"{text}: no such file or directory", pointer=change.pointer, hint=limits.NOT_OFFERED)
    reason = reasons.reason(change, group)
    if reason is not None:
        return UnsupportedError(f"{text}: {posix.strerror(reason.errno).lower()}", pointer=change.pointer, hint=reason.hint)
    if change.file in MEMORY and change.value.isdigit() and int(change.value) <= STARTS_WITH and change.pointer == LIMIT:
        text = f"the limit of {change.value} bytes is too low to start"
        return UnsupportedError(text, pointer=LIMIT, hint=f"raise it to 2 MiB or more: {STARTS_WITH} bytes are never enough")
    return None
