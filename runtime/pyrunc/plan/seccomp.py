"""/linux/seccomp, as far as the plan is concerned: lay out before the fork, load last.

With SCMP_ACT_NOTIFY a filter is loaded by `create`, as its agent has to hear
then (runtime.md, "Lifecycle": all but `process` is applied), and before
startContainer hooks, which share it.  From then on the process makes no system
call but one to wait for `start`, which the filter is made to let through.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.plan.op import Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.plan.op import Argument
    from pyrunc.plan.request import Request

LISTENER = Slot("listener")  # memory that both sides share, which the caller opens
NOTIFY = "SCMP_ACT_NOTIFY"
ERRNO = "SCMP_ACT_ERRNO"
# What an action can return: libseccomp takes errnos below the kernel's own bound, and a tracer gets 16 bits.
ERRNO_MAX = {ERRNO: 4094, "SCMP_ACT_TRACE": 0xFFFF}
STRICT = "refuse unknown calls"
LETTING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


def host(filters: Seccomp | None, request: Request, *, wait: bool = False, strict: bool = False) -> Iterator[Op]:
    """Yield the op that finds or compiles the filter, while the host's libraries are in sight.

    WAIT says whether the process waits for `start` under a filter with an agent, STRICT whether a rule for a system call that
    nobody knows is an error.
    """
    if filters is not None:
        check(filters)
        if notifies(filters):
            args: tuple[Argument, ...] = (LISTENER, filters.listenerPath, filters.listenerMetadata)
            yield Op("share_listener", args, "/linux/seccomp/listenerPath")
        args = (filters, request.seccomp_cache, wait and notifies(filters), *((STRICT,) if strict else ()))
        yield Op("load_filter", args, "/linux/seccomp", doing="error compiling the seccomp profile")


def notifies(filters: Seccomp | None) -> bool:
    """Return whether an agent is asked about some system call."""
    return filters is not None and NOTIFY in (filters.defaultAction, *(rule.action for rule in filters.syscalls))


def deliver(limits: Iterable[Op]) -> list[Op]:
    """Return what the host does while the process waits under its filter: give the agent its descriptor, and set LIMITS."""
    at = "/linux/seccomp/listenerPath"
    return [Op("deliver_listener", (), at), *limits, Op("release_listener", (), at)]


def apply(request: Request) -> Iterator[Op]:
    """Yield how the process itself loads its filter long before its program, and waits for `start` if it has to."""
    yield Op("announce_exec")
    yield Op("wait_filtered" if request.wait else "apply_filter", (), "/linux/seccomp")


def check(filters: Seccomp) -> None:
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
    """Refuse a NUMBER to return with an action that returns none, or not that."""
    if number is None:
        return
    if action not in ERRNO_MAX:
        raise ConfigError(f"{action} returns no errno", pointer=at, hint="remove it, or use SCMP_ACT_ERRNO")
    if number > ERRNO_MAX[action]:
        hint = "use an errno" if action == ERRNO else "use a number that the tracer knows"
        raise ConfigError(f"{action} returns at most {ERRNO_MAX[action]}, and not {number}", pointer=at, hint=hint)


def answer(filters: Seccomp, name: str) -> tuple[str, str]:
    """Return the action that FILTERS surely have for system call NAME, "" if it depends on arguments, and what says so."""
    at = "/linux/seccomp"
    found = [(index, rule) for index, rule in enumerate(filters.syscalls) if name in rule.names]
    for index, rule in found:
        if not rule.args:
            return rule.action, f"{at}/syscalls/{index}"
    return ("", f"{at}/syscalls/{found[0][0]}") if found else (filters.defaultAction, f"{at}/defaultAction")


def asks_about(filters: Seccomp | None, name: str) -> bool:
    """Return whether an agent is surely asked about system call NAME."""
    return filters is not None and answer(filters, name)[0] == NOTIFY


def lets_through(filters: Seccomp | None, name: str) -> bool:
    """Return whether FILTERS surely allow system call NAME, whatever its arguments."""
    if filters is None:
        return True
    actions = {rule.action for rule in filters.syscalls if name in rule.names and not rule.args}
    conditional = any(name in rule.names and rule.args for rule in filters.syscalls)
    if actions:
        return not conditional and all(action in LETTING for action in actions)
    return not conditional and filters.defaultAction in LETTING
