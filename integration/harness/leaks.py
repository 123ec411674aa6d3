"""What must not stay behind a test."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from integration.harness import keeper
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.runtime import Runtime

CGROUPS = Path("/sys/fs/cgroup")
SECONDS = 5
LINKS = 2  # of a directory without others: its own name, and `.`


def cgroup_directories(*wanted: str) -> list[str]:
    """Return every cgroup directory with one of the names WANTED, in whatever hierarchy."""
    return [path for path in below(CGROUPS) if path.rpartition("/")[2] in wanted] if wanted else []


def below(directory: Path | str) -> Iterator[str]:
    """Yield the path of every directory below DIRECTORY, of cgroups or a tmpfs; one that goes meanwhile counts or does not.

    What has no directories has two links (cgroups have a hundred files each, which are not read then).
    """
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        found = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in found:
        yield path
        links = 0
        with contextlib.suppress(FileNotFoundError):
            links = os.lstat(path).st_nlink
        if links > LINKS:
            yield from below(path)


def take_away(name: str) -> None:
    """Remove every cgroup called NAME with those below it, which have no processes."""
    for top in cgroup_directories(name):
        for path in sorted(Path(top).rglob("*/"), reverse=True):
            path.rmdir()
        os.rmdir(top)


def sweep(prefix: str) -> None:
    """End what is in cgroups whose names begin with PREFIX, which only one run of the tests uses, and remove them."""
    names = {name for name in (path.rpartition("/")[2] for path in below(CGROUPS)) if name.startswith(prefix)}
    for top in cgroup_directories(*names):
        for file in Path(top).rglob("cgroup.procs"):
            for pid in file.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    for name in sorted(names, key=len):
        wait_for(lambda name=name: not populated(name), f"the processes in {name} to be gone")
        take_away(name)


def populated(name: str) -> bool:
    """Return whether there is a process in or below a cgroup called NAME."""
    return any(file.read_text() for top in cgroup_directories(name) for file in Path(top).rglob("cgroup.procs"))


def mounts() -> dict[str, str]:
    """Return the mounts of this mount namespace: the id of each, and its line."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[0]: line for line in lines}


class Leaks:
    """Knows how the machine looked before a test, and what is left of it after."""

    def __init__(self, runtime: Runtime) -> None:
        """Look at the machine."""
        self.runtime = runtime
        self.mounts = set(mounts())
        self.processes = keeper.left()

    def new_processes(self) -> list[str]:
        """Return the processes that were not there before."""
        return [keeper.shown(pid) for pid in keeper.left() - self.processes]

    def new_mounts(self) -> list[str]:
        """Return the mounts that were not there before."""
        return [line for number, line in mounts().items() if number not in self.mounts]

    def check(self) -> None:
        """Fail for anything that stayed."""
        try:
            self._check()
        finally:
            for pid in keeper.left() - self.processes:
                os.kill(pid, signal.SIGKILL)

    def _check(self) -> None:
        """Fail for anything that stayed, and leave it there."""
        wait_for(lambda: not self.new_processes(), self.new_processes, SECONDS, what="processes to end")
        # Others work on this machine too, and may mount something for a moment.
        wait_for(lambda: not self.new_mounts(), self.new_mounts, SECONDS, what="mounts to go")
        own = set(self.runtime.ids)
        found = cgroup_directories(*own, *(f"{name}-parent" for name in own))
        parents = [path for path in found if path.endswith("-parent")]
        assert [path for path in found if path not in parents] == [], "cgroups stay"
        if self.runtime.name == "pyrunc":
            assert parents == [], "the parents of cgroups stay"
        for path in parents:  # others leave them: we asked for them, so we take them away
            os.rmdir(path)
        stays = [entry for entry in os.listdir(self.runtime.root) if not entry.startswith(".")]
        assert not stays, f"state stays: {stays}"
