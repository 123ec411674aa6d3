"""What /proc says of CRIU's process: paths as it sees them, its cgroups, its descendants."""

from __future__ import annotations

import posix

from pyrunc.host import mounted
from pyrunc.host.files import read


def open_as_seen_by(pid: int, fd: int) -> int:
    """Open the directory behind FD as process PID sees it: CRIU mounts there, which works in its own mount namespace only."""
    path = f"/proc/{pid}/root{mounted.real(f'/proc/self/fd/{fd}')}"
    return posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)


def cgroup_roots(pid: int) -> list[dict[str, str]]:
    """Return, for CRIU, where process PID sits: what the image has below its own root comes back below that."""
    roots = []
    for line in read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        roots.append({"ctrl": controllers, "path": path})
    return roots


def descends(pid: int, ancestor: int) -> bool:
    """Return whether process PID is ANCESTOR, or came of it: CRIU's helpers are in the cgroup, the init is our child."""
    while pid > 1 and pid != ancestor:
        lines = read(f"/proc/{pid}/status").splitlines()
        pid = next(int(line.split()[1]) for line in lines if line.startswith("PPid:"))
    return pid == ancestor
