"""A neighbour: cgroups, and a process in them, that are nobody's but the test's, and must be found as they were."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from integration.harness.runtime import wait_for

ROOT = Path("/sys/fs/cgroup")
SHOWN = ("pids.max", "memory.limit_in_bytes", "memory.max", "devices.list", "cpu.shares", "cpu.weight", "cpuset.cpus", "cpuset.mems")


def hierarchies() -> list[Path]:
    """Return where cgroups of this machine are made."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink() and (path / "cgroup.procs").exists()]


class Neighbour:
    """The cgroup PATH in every hierarchy, and what is in it."""

    def __init__(self, path: str) -> None:
        """Make it."""
        self.path = path.strip("/")
        self.tops = [top / self.path for top in hierarchies()]
        self.processes: list[subprocess.Popen[bytes]] = []
        for top in self.tops:
            self._make(top)

    def _make(self, directory: Path) -> None:
        """Make DIRECTORY, fit for processes, and with every controller that is to be had.

        A runtime hands them down to what it makes, and what is beside that gets their files too, for good.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            for each in (*reversed(directory.relative_to(ROOT).parents), directory.relative_to(ROOT)):
                file = ROOT / each / name
                if file.exists() and not (ROOT / "cgroup.controllers").exists() and not file.read_text().strip():
                    file.write_text((file.parent.parent / name).read_text())
        for parent in reversed(directory.relative_to(ROOT).parents):
            control = ROOT / parent / "cgroup.subtree_control"
            for name in (ROOT / parent / "cgroup.controllers").read_text().split() if control.exists() else ():
                with contextlib.suppress(OSError):  # one that cannot be had here, as cpu with realtime processes
                    control.write_text(f"+{name}")

    def limit(self, file: str, value: str) -> None:
        """Set FILE of the cgroup, in the hierarchy that has it."""
        (where,) = [top / file for top in self.tops if (top / file).exists()]
        where.write_text(value)

    def runs(self, below: str = "") -> subprocess.Popen[bytes]:
        """Start a process in the cgroup, or in one BELOW it."""
        process = subprocess.Popen(["sleep", "1000"])
        self.processes.append(process)
        for top in self.tops:
            if below:
                self._make(top / below)
            (top / below / "cgroup.procs").write_text(str(process.pid))
        return process

    def looks(self) -> dict[str, object]:
        """Return what there is to be seen of it: directories with their inodes, limits, processes that run."""
        found: dict[str, object] = {}
        for top in self.tops:
            for directory in (top, *top.rglob("*/")) if top.exists() else ():
                found[f"{directory}"] = (directory.stat().st_ino, directory.stat().st_uid, (directory / "cgroup.procs").read_text())
                files = (directory / name for name in SHOWN)
                found |= {str(file): file.read_text() for file in files if file.exists()}
        found["processes"] = [process.poll() for process in self.processes]
        return found

    def close(self) -> None:
        """End it all."""
        for process in self.processes:
            process.kill()
            process.wait()
        for top in self.tops:
            if top.exists():
                for directory in (*sorted(top.rglob("*/"), reverse=True), top):
                    wait_for(lambda directory=directory: removed(directory), f"{directory} to be empty")
        first = self.path.split("/")[0]
        for directory in (top / first for top in hierarchies()):
            if directory.exists():
                os.rmdir(directory)


def removed(directory: Path) -> bool:
    """Try to remove a cgroup; return whether it is gone."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
