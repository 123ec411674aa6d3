"""The runtime under test, as a command."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from integration.harness.bundle import Bundle

SECONDS = 60
_NUMBERS = itertools.count()


class Runtime:
    """Runs BINARY with a state directory below DIRECTORY, and remembers its containers."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary, self.directory = binary, directory
        self.root = directory / "state"
        self.root.mkdir()
        self.ids: list[str] = []

    @property
    def name(self) -> str:
        return Path(self.binary).name

    def argv(self, *words: str) -> list[str]:
        return [self.binary, "--root", str(self.root), *words]

    def __call__(self, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one command; its output is text, and a failure is one of the test unless CHECK is false."""
        options = {"stdin": subprocess.DEVNULL, "timeout": SECONDS, "text": True, **options}
        if "stdout" not in options:
            options["capture_output"] = True
        done = subprocess.run(self.argv(*words), check=False, **options)
        if check and done.returncode:
            raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def new_id(self) -> str:
        name = f"pyrunc-test-{os.getpid()}-{next(_NUMBERS)}"
        self.ids.append(name)
        return name

    def _prepare(self, bundle: Bundle) -> str:
        """Save BUNDLE with a cgroup of its own, unless it names one."""
        name = self.new_id()
        own = "cgroupsPath" in bundle.linux
        if not own:
            bundle.linux["cgroupsPath"] = f"/{name}-parent/{name}"
        bundle.save()
        if not own:
            del bundle.linux["cgroupsPath"]
        return name

    def run(self, bundle: Bundle, *flags: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run BUNDLE in the foreground."""
        name = self._prepare(bundle)
        return self("run", "--bundle", str(bundle.path), *flags, name, check=check, **options)

    def output(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Run BUNDLE and return what it wrote."""
        return str(self.run(bundle, *flags, **options).stdout)

    def create(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Create a container and return its id; nobody waits for its streams."""
        name = self._prepare(bundle)
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
        log = self.directory / f"{name}.log"
        words = ("--log", str(log), "create", "--bundle", str(bundle.path), *flags, name)
        done = self(*words, check=False, **{**options, "stderr": subprocess.DEVNULL})
        if done.returncode:
            raise AssertionError(f"create: status {done.returncode}\n{log.read_text()}")
        return name

    def start(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Create and start a container."""
        name = self.create(bundle, *flags, **options)
        self("start", name)
        return name

    def state(self, name: str) -> dict[str, Any]:
        return json.loads(self("state", name).stdout)

    def status(self, name: str) -> str:
        return str(self.state(name)["status"])

    def pid(self, name: str) -> int:
        return int(self.state(name)["pid"])

    def exec(self, name: str, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return self("exec", name, *words, check=check, **options)

    def wait(self, name: str, status: str) -> None:
        """Wait until container NAME is in STATUS."""
        wait_for(lambda: self.status(name) == status, f"{name} to be {status}")

    def close(self) -> None:
        """Delete every container that is left."""
        for name in self.ids:
            if (self.root / name).exists():
                self("delete", "--force", name, check=False)


def wait_for(true: Any, what: str, seconds: float = 20) -> None:
    """Wait until TRUE() is; fail with WHAT was waited for."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)
