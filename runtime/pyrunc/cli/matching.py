"""kill --regex and delete --regex: all containers in whose ids an expression is found, as with crun (crun(1))."""

from __future__ import annotations

from pyrunc import handover
from pyrunc.container import store
from pyrunc.errors import PyruncError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.log import Log


def each(root: str, pattern: str, do: Callable[[str], None], log: Log) -> None:
    """Call DO for each container below ROOT in whose id PATTERN is found; none is fine.

    One that fails keeps none of the others from it: raises the first error in the end, and says the others in LOG.
    """
    first: PyruncError | None = None
    for container in matching(root, pattern):
        try:
            do(container)
        except PyruncError as error:
            if first is None:
                first = error
                first.message = f"{container}: {first.message}"
            else:
                log.warning(f"{container}: {error}")
    if first is not None:
        raise first


def matching(root: str, pattern: str) -> list[str]:
    """Return the ids below ROOT in which PATTERN, an expression of Python's re, is found.  Raises UsageError if it is none."""
    handover.need_script()  # the native program has no re
    import re

    hint = "such as ^web-[0-9]+$"
    if "[:" in pattern or "[." in pattern or "[=" in pattern:
        raise UsageError(f"--regex {pattern}: classes in POSIX's notation are not known here", hint=hint)
    store.refuse_foreign(root, parent=True)
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"--regex {pattern}: {error}", hint=hint) from None
    try:
        return [name for name in store.ids(root) if found.search(name)]
    except FileNotFoundError:
        return []
