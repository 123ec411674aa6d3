"""`ps`: the processes of a container, by the host's pids."""

from __future__ import annotations

from pyrunc.cgroup import fs
from pyrunc.container import store
from pyrunc.container.statefile import load
from pyrunc.container.status import guard, need_cgroup, status_of


def pids(root: str, container: str) -> list[int]:
    """Return the pids in CONTAINER's cgroup.  Raises StateError if there is no such container."""
    directory = store.directory(root, container)
    saved = load(directory)
    guard("ps", saved, status_of(directory, saved))
    need_cgroup(saved, "ps")
    return sorted(fs.pids(fs.main_directory(saved.places)))
