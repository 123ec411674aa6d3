"""/linux/seccomp, as far as the plan is concerned: load before the fork, apply last."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.plan.op import Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.plan.op import Argument
    from pyrunc.plan.request import Request

LISTENER = Slot("listener")  # memory that both sides share, which the caller opens
NOTIFY = "SCMP_ACT_NOTIFY"
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
LETTING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


def host(filters: Seccomp | None, request: Request) -> Iterator[Op]:
    """Yield the op that finds or compiles the filter, while the host's libraries are in sight."""
    if filters is not None:
        _check(filters)
        if notifies(filters):
            args: tuple[Argument, ...] = (LISTENER, filters.listenerPath, filters.listenerMetadata)
            yield Op("share_listener", args, "/linux/seccomp/listenerPath")
        args = (filters, request.seccomp_cache)
        yield Op("load_filter", args, "/linux/seccomp", doing="error compiling the seccomp profile")


def notifies(filters: Seccomp | None) -> bool:
    """Return whether an agent is asked about some system call."""
    return filters is not None and NOTIFY in (filters.defaultAction, *(rule.action for rule in filters.syscalls))


def _check(filters: Seccomp) -> None:
    """Refuse notifications that nobody gets, metadata for nobody, and errnos that nobody sees (config-linux.md, "Seccomp")."""
    at = "/linux/seccomp"
    if notifies(filters) and not filters.listenerPath:
        hint = "name the socket of the agent that answers"
        raise ConfigError(f"{NOTIFY} needs a listenerPath", pointer=f"{at}/listenerPath", hint=hint)
    if filters.listenerMetadata and not filters.listenerPath:
        hint = "add a listenerPath, or remove it"
        raise ConfigError("listenerMetadata without a listenerPath", pointer=f"{at}/listenerMetadata", hint=hint)
    _check_errno(filters.defaultAction, filters.defaultErrnoRet, f"{at}/defaultErrnoRet")
    for index, rule in enumerate(filters.syscalls):
        if not rule.names:
            pointer = f"{at}/syscalls/{index}/names"
            raise ConfigError("a rule for no system call", pointer=pointer, hint="name one, or remove the rule")
        _check_errno(rule.action, rule.errnoRet, f"{at}/syscalls/{index}/errnoRet")


def _check_errno(action: str, number: int | None, at: str) -> None:
    """Refuse a NUMBER to return with an action that returns none."""
    if number is not None and action not in WITH_ERRNO:
        raise ConfigError(f"{action} returns no errno", pointer=at, hint="remove it, or use SCMP_ACT_ERRNO")


def lets_through(filters: Seccomp | None, name: str) -> bool:
    """Return whether FILTERS surely allow system call NAME, whatever its arguments."""
    if filters is None:
        return True
    actions = {rule.action for rule in filters.syscalls if name in rule.names and not rule.args}
    conditional = any(name in rule.names and rule.args for rule in filters.syscalls)
    if actions:
        return not conditional and all(action in LETTING for action in actions)
    return not conditional and filters.defaultAction in LETTING
