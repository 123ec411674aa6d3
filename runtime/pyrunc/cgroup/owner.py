"""Give a cgroup of version 2 to the user who runs in it (config-linux.md, "Cgroup ownership"; cgroups(7), "Delegation")."""

from __future__ import annotations

import posix

from pyrunc.host.files import read

LIST = "/sys/kernel/cgroup/delegate"
# What the specification says to give away on kernels without that list.
FALLBACK = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


def files(path: str = LIST) -> tuple[str, ...]:
    """Return the names of the files that may be given away, as the kernel lists them at PATH."""
    try:
        names = read(path).split()
    except FileNotFoundError:
        return FALLBACK
    return tuple(name for name in names if "/" not in name)


def give(directory: str, uid: int, names: tuple[str, ...]) -> None:
    """Give the cgroup at DIRECTORY, and those of its files in NAMES that there are, to the host's UID; no other file."""
    posix.chown(directory, uid, -1)
    for name in names:
        try:
            posix.chown(f"{directory}/{name}", uid, -1, follow_symlinks=False)
        except FileNotFoundError:
            continue  # not every cgroup has every file
