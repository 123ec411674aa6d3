"""/linux/seccomp, as far as the plan is concerned: load before the fork, apply last."""

from __future__ import annotations

from pyrunc.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.plan.request import Request

LETTING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


def host(filters: Seccomp | None, request: Request) -> Iterator[Op]:
    """Yield the op that finds or compiles the filter, while the host's libraries are in sight."""
    if filters is not None:
        args = (filters, request.seccomp_cache)
        yield Op("load_filter", args, "/linux/seccomp", doing="error compiling the seccomp profile")


def lets_through(filters: Seccomp | None, name: str) -> bool:
    """Return whether FILTERS surely allow system call NAME, whatever its arguments."""
    if filters is None:
        return True
    actions = {rule.action for rule in filters.syscalls if name in rule.names and not rule.args}
    conditional = any(name in rule.names and rule.args for rule in filters.syscalls)
    if actions:
        return not conditional and all(action in LETTING for action in actions)
    return not conditional and filters.defaultAction in LETTING
