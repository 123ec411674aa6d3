"""A container beside the one under test that shares what can be shared, and must be found as it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.harness.neighbour import Neighbour
from integration.harness.runtime import wait_for
from integration.looking import unified

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime


class Beside:
    """A container of B's bundle in the same root; its cgroup is above those that `path` gives, on version 2 beside them."""

    def __init__(self, runtime: Runtime, b: Bundle) -> None:
        """Start it with B's configuration, but as a program that only waits, and without hooks."""
        self.runtime, self.b = runtime, b
        self.place = Neighbour(f"neighbour-{os.getpid()}-{len(runtime.ids)}/own")
        self.id = runtime.new_id()
        config = {**b.config, "process": {**b.process, "args": ["sleep", "1000"], "terminal": False}, "hooks": {}}
        resources = {"pids": {"limit": 500}, "devices": [{"allow": True, "access": "rwm"}]}
        config["linux"] = {**b.linux, "cgroupsPath": f"/{self.place.path}{'/beside' if unified() else ''}", "resources": resources}
        usual, b.config = b.config, config
        b.save()
        b.config = usual
        words = ("run", "--detach", "--bundle", str(b.path), self.id)
        runtime(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = runtime.pid(self.id)
        self.before = self.looks()

    def path(self, name: str) -> str:
        """Return the cgroupsPath of a container NAME, below its own."""
        return f"/{self.place.path}/{name}-parent/{name}"

    def looks(self) -> dict[str, Any]:
        """Return what there is to be seen of it."""
        directory = self.runtime.root / self.id
        return {
            "files": {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()},
            "began": Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[19],
            "mounts": Path(f"/proc/{self.pid}/mountinfo").read_text(),
            "devices": [line.split(":")[0] for line in Path(f"/proc/{self.pid}/net/dev").read_text().splitlines()],
            "cgroups": self.place.looks(),
        }

    def unhurt(self, where: object) -> None:
        """Check that it is as it was: nothing of the other is in its cgroup either."""
        wait_for(lambda: self.looks() == self.before, self.differences, what=f"{where}: the neighbour to be as it was")

    def differences(self) -> list[str]:
        """Return what differs."""
        found = self.looks()
        return [f"{key}: {self.before[key]} -> {found[key]}" for key in found if found[key] != self.before[key]]

    def close(self) -> None:
        """End it, once nothing is below it."""
        assert self.runtime.status(self.id) == "running"
        self.runtime("delete", "--force", self.id)
        self.place.close()
