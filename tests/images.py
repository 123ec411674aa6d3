"""A bundle with an image for `check` to look at: one program, and what a test adds."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from pyrunc.container.verbs.check import FINE, NOT_HERE, Report, check
from tests.elf import program

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "ociVersion": "1.3.0",
    "process": {"cwd": "/", "args": ["run"], "env": ["PATH=/none:/bin"]},
    "root": {"path": "rootfs"},
    "mounts": [],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
}


class Image:
    """A bundle whose program is /bin/run."""

    def __init__(self, directory: Path) -> None:
        self.bundle, self.root = directory, directory / "rootfs"
        self.document = copy.deepcopy(GOOD)
        self.file("bin/run", program())

    def file(self, path: str, content: bytes | str, mode: int = 0o755) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)

    def mount(self, destination: str, **rest: object) -> None:
        self.document["mounts"].append({"destination": destination, **rest})

    def check(self) -> Report:
        (self.bundle / "config.json").write_text(json.dumps(self.document))
        return check(str(self.bundle))

    def lacking(self) -> dict[str, str]:
        report = self.check()
        assert report.violations == ()
        assert report.status == (NOT_HERE if report.lacking else FINE)
        return {each.pointer: f"{each.message} ({each.hint})" for each in report.lacking}

    def warnings(self) -> dict[str, str]:
        report = self.check()
        assert report.status == FINE
        return {each.pointer: each.hint for each in report.warnings}
