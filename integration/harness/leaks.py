"""What must not stay behind a test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from integration.harness.runtime import Runtime

CGROUPS = Path("/sys/fs/cgroup")


def cgroup_directories(name: str) -> list[str]:
    """Every cgroup directory called NAME, in whatever hierarchy."""
    found = []
    for directory, names, _ in os.walk(CGROUPS):
        found += [f"{directory}/{each}" for each in names if each == name]
    return found


def processes_of(text: str) -> list[int]:
    """Pids whose command line has TEXT, other than our own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in line:
                found.append(int(entry.name))
    return found


class Leaks:
    """Knows how the machine looked before a test, and what is left of it after."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.mounts = self._mounts()

    @staticmethod
    def _mounts() -> set[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return {line.split()[4] for line in lines}

    def check(self) -> None:
        """Fail for anything that stayed."""
        for name in self.runtime.ids:
            wait_for(lambda name=name: not processes_of(name), f"processes of {name} to end: {processes_of(name)}", 5)
            assert not cgroup_directories(name), f"cgroups of {name} stay"
            assert not (self.runtime.root / name).exists(), f"state of {name} stays"
            parents = cgroup_directories(f"{name}-parent")
            if self.runtime.name == "pyrunc":
                assert not parents, f"the parents of {name}'s cgroups stay"
            for path in parents:  # others leave them: we asked for them, so we take them away
                os.rmdir(path)
        assert self._mounts() <= self.mounts, "mounts stay"

