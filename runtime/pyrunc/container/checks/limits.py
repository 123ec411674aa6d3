"""Limits of /process/rlimits, and scores of oomScoreAdj, that this process may not give (getrlimit(2), proc(5))."""

from __future__ import annotations

from pyrunc.container.checks.apart import apart
from pyrunc.errors import UnsupportedError
from pyrunc.host.files import read, write
from pyrunc.linux import caps, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Plan

NR_OPEN = "/proc/sys/fs/nr_open"
LOWERING = "ask for no less than our own, or give the runtime CAP_SYS_RESOURCE"
RAISING = "ask for no more, or give the runtime CAP_SYS_RESOURCE"


def errors(config: Config, plan: Plan, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error for each limit of CONFIG, which PLAN sets, above what this process may give."""
    may = bool(facts.capabilities >> caps.NUMBER["CAP_SYS_RESOURCE"] & 1) and not facts.rootless
    most = _number(NR_OPEN)
    numbers = {str(op.at): op.args[1] for op in (*plan.host, *plan.child) if op.call == "raise_rlimit"}
    for index, limit in enumerate(config.process.rlimits if config.process else ()):
        at = f"/process/rlimits/{index}/hard"
        text = f"error setting rlimit {limit.type}: operation not permitted"
        if limit.type == "RLIMIT_NOFILE" and most is not None and limit.hard > most:
            hint = f"ask for at most {most}"
            yield UnsupportedError(f"{text}: {limit.hard} is above {NR_OPEN}, {most}", pointer=at, hint=hint)
        elif not may and isinstance(numbers.get(at), int):
            hard = process.get_prlimit(0, int(str(numbers[at])))[1]
            if limit.hard > hard:
                yield UnsupportedError(f"{text}: {limit.hard} is above our own, {hard}", pointer=at, hint=RAISING)
    wanted = config.process.oomScoreAdj if config.process else None
    if wanted is not None and apart(lambda: _refuses(wanted)):
        text = f"error setting oom_score_adj: permission denied: {wanted} is lower than this process may go"
        yield UnsupportedError(text, pointer="/process/oomScoreAdj", hint=LOWERING)


def _refuses(score: int) -> bool:
    """Return whether this process may not give itself SCORE."""
    try:
        write("/proc/self/oom_score_adj", str(score))
    except PermissionError:
        return True
    return False


def _number(path: str) -> int | None:
    """Return the number in the file at PATH; None if there is none."""
    try:
        return int(read(path))
    except (OSError, ValueError):
        return None
