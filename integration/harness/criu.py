"""CRIU, which saves containers and brings them back: whether it works on this machine, and what its tests share."""

from __future__ import annotations

import functools
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

COUNT = "i=0; while true; do i=$((i+1)); echo $i; usleep 20000; done"
# Counts into a file, and ends with status 7 once it is told to.
UNTIL = "i=0; while [ ! -e /data/end ]; do i=$((i+1)); echo $i >>/data/count; usleep 20000; done; exit 7"


@functools.cache
def complaint() -> str:
    """Return what criu has against this machine, "" if nothing."""
    if shutil.which("criu") is None:
        return "criu is not installed"
    # Without the machine's own configuration, which may send what it says to a file.
    done = subprocess.run(["criu", "check", "--no-default-config"], capture_output=True, text=True)
    said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
    return "" if done.returncode == 0 else f"criu check fails here: {said[-1]}"


works = pytest.mark.skipif(bool(complaint()), reason=complaint() or "-")


class Image:
    """Where a checkpoint goes: directories for the image and for CRIU's logs."""

    def __init__(self, directory: Path) -> None:
        self.path, self.work = directory / "image", directory / "work"

    @property
    def flags(self) -> tuple[str, ...]:
        return "--image-path", str(self.path), "--work-path", str(self.work)

    def take(self, runtime: Runtime, name: str, *flags: str, **options: Any) -> None:
        done = runtime("checkpoint", *self.flags, *flags, name, check=False, **options)
        assert done.returncode == 0, f"{done.stderr}\n{self.errors('dump.log')}"

    def argv(self, b: Bundle, name: str, *flags: str) -> tuple[str, ...]:
        return "restore", *self.flags, "--bundle", str(b.path), *flags, name

    def bring_back(self, runtime: Runtime, b: Bundle, name: str, *flags: str, **options: Any) -> None:
        """Restore, detached; nobody waits for its streams."""
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        log = runtime.directory / "restore.log"
        argv = ("--log", str(log), *self.argv(b, name, "--detach", *flags))
        done = runtime(*argv, check=False, **{**streams, **options})
        assert done.returncode == 0, f"{log.read_text() if log.exists() else ''}\n{self.errors('restore.log')}"

    def errors(self, log: str) -> str:
        """Return the errors that CRIU has written."""
        path = self.work / log
        lines = path.read_text(errors="replace").splitlines() if path.exists() else ["(no log)"]
        return "\n".join(line for line in lines if "Error" in line)


def counter(b: Bundle) -> list[int]:
    """Return what the container has counted."""
    path = b.rootfs / "data/count"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def goes_on(b: Bundle, before: list[int]) -> None:
    """Check that the container counts on from BEFORE, leaving nothing out and nothing twice."""
    wait_for(lambda: len(counter(b)) > len(before) + 2, lambda: counter(b)[-5:], what="the counter to go on")
    found = counter(b)[:-1]  # the last may be half written
    assert found == list(range(1, len(found) + 1))


def started(runtime: Runtime, b: Bundle, **options: Any) -> str:
    name = runtime.start(b, **options)
    wait_for(lambda: len(counter(b)) > 2, lambda: counter(b), what="the counter to begin")
    return name


def gone(runtime: Runtime, name: str) -> None:
    """Check that there is no such container any more."""
    assert runtime("state", name, check=False).returncode == 1
    assert not (runtime.root / name).exists()
