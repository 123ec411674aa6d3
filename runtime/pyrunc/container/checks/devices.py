"""Device nodes that cannot be made where they are to be (config-linux.md, "Devices")."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks.view import Hidden
from pyrunc.errors import UnsupportedError
from pyrunc.plan import mountopts
from pyrunc.run.steps import files, rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.container.checks.view import View
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Op, Plan

# File systems of the kernel's own, in which nobody makes a file.
CLOSED = {"proc": errno.ENOENT, "sysfs": errno.EPERM, "cgroup": errno.EPERM, "cgroup2": errno.EPERM}
ELSEWHERE = "put it elsewhere, such as below /dev"


def nodes(config: Config, plan: Plan, view: View) -> Iterator[UnsupportedError]:
    """Yield an error for each node of PLAN, that of CONFIG, that cannot be made in the image of VIEW and below its mounts."""
    for op in plan.child:
        if op.call != "make_node" or not op.at:
            continue
        path = str(op.args[1])
        text = _closed(config, path) or _taken(op, path, view)
        if text:
            yield UnsupportedError(f"{op.doing}: {text}", pointer=op.at, hint=ELSEWHERE)


def _closed(config: Config, path: str) -> str:
    """Return why the last mount of CONFIG over PATH lets nobody make a file there; "" if it does."""
    around = [each for each in config.mounts if path.startswith(f"{each.destination.rstrip('/')}/")]
    if not around:
        return ""
    last = max(around, key=lambda each: (len(each.destination), config.mounts.index(each)))
    closed = not {*mountopts.READ_ONLY}.isdisjoint(last.options)
    if closed and "bind" not in last.options and last.type in CLOSED and last.type != "proc":
        return posix.strerror(errno.EROFS).lower()
    return posix.strerror(CLOSED[last.type]).lower() if last.type in CLOSED else ""


def _taken(op: Op, path: str, view: View) -> str:
    """Return why PATH of VIEW cannot become the node of OP; "" if nothing is known against it."""
    _, _, kind, _, major, minor, *_ = op.args
    head, tail = rootpath.split(path)
    if not tail:
        return "it names a directory"
    try:
        mode = view.find(head)
        if mode and mode & rootpath.S_IFMT != rootpath.S_IFDIR:
            return posix.strerror(errno.ENOTDIR).lower()
        fd = rootpath.open_path(view.root, path, posix.O_NOFOLLOW)
    except Hidden:
        return ""
    except OSError as error:
        return posix.strerror(error.errno).lower() if error.errno in (errno.ENOTDIR, errno.ELOOP) else ""
    try:
        if files.is_device(posix.fstat(fd), str(kind), posix.makedev(major, minor)):  # type: ignore[arg-type]
            return ""
    finally:
        posix.close(fd)
    return f"file exists: the image has something at {path} that is another"
