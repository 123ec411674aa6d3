"""What an overlay cannot be made of (Documentation/filesystems/overlayfs.rst): the kernel says so only when it is made."""

from __future__ import annotations

import posix

from pyrunc.errors import UnsupportedError
from pyrunc.linux import mount as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.plan.op import Plan

LOWER = ("lowerdir", "lowerdir+", "datadir+")
HINT = "see the kernel's filesystems/overlayfs.rst"


def incomplete(plan: Plan) -> Iterator[UnsupportedError]:
    """Yield an error for each overlay of PLAN without the directories that it needs."""
    named: dict[str, list[tuple[str, str]]] = {}
    for op in plan.child:
        context = str(op.args[0]) if op.args else ""
        if op.call == "fsopen" and op.args[0] == "overlay":
            named[op.into] = []
        elif op.call == "fsconfig" and context in named:
            if op.args[1] == m.FSCONFIG_CMD_CREATE:
                lacks = _lacks(named[context])
                text = f"an overlay needs {lacks}" if lacks else _apart(dict(named[context]))
                if text:
                    yield UnsupportedError(f"{op.doing}: {text}", pointer=op.at, hint=HINT)
            else:
                named[context].append((str(op.args[2]), str(op.args[3] or "")))


def _lacks(options: list[tuple[str, str]]) -> str:
    """Return what an overlay with OPTIONS lacks, "" for nothing."""
    keys = {key for key, _ in options}
    layers = sum(value.replace("\\:", "").count(":") + 1 for key, value in options if key in LOWER)
    if not layers:
        return "lowerdir"
    if "upperdir" in keys:
        return "" if "workdir" in keys else "workdir beside upperdir"
    return "upperdir, or a second directory in lowerdir" if layers == 1 else ""


def _apart(options: dict[str, str]) -> str:
    """Return why upperdir and workdir in OPTIONS do not go together; "" if they do, or are not for us to see."""
    from os.path import realpath

    upper, work = options.get("upperdir", ""), options.get("workdir", "")
    if not upper.startswith("/") or not work.startswith("/") or "\\" in upper + work:
        return ""
    try:
        if posix.stat(upper).st_dev != posix.stat(work).st_dev:
            return "upperdir and workdir must be on one mount: invalid argument"
    except OSError:
        return ""  # which is missing, and said elsewhere
    places = [f"{realpath(each)}/" for each in (upper, work)]
    inside = places[0].startswith(places[1]) or places[1].startswith(places[0])
    return "neither of upperdir and workdir may be in the other: invalid argument" if inside else ""
