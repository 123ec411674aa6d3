"""Podman as an ordinary user runs it: all of it in a user namespace of the user's, the runtime too."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.engines.client import Client
from integration.engines.image import NAME
from integration.engines.recorder import Recorder
from integration.harness.ordinary import UID, interpreter_readable
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.engines.place import Place

USER = "ordinary"
# Who the user is, and which ids are the user's to give away; newuidmap(1) reads them too.
FILES = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{UID}:{UID}::{{home}}:/bin/sh\n",
    "group": f"root:x:0:\n{USER}:x:{UID}:\n",
    "subuid": f"{USER}:200000:65536\n",
    "subgid": f"{USER}:200000:65536\n",
}
GENERAL = ("--log-level=error", "--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=file")
SECONDS = 30
_NUMBERS = itertools.count()


class Rootless(Client):
    """Podman of USER in PLACE, with BINARY as the runtime and its files in DIRECTORY, which every user may reach."""

    def __init__(self, place: Place, binary: str, directory: Path) -> None:
        """Make the user known there, and give it what it needs."""
        interpreter_readable(binary)
        self.place, self.directory = place, directory
        self.recorder = Recorder(binary, directory)
        self.recorder.log.chmod(0o666)
        self.home, self.run_directory = directory / "home", directory / "run"
        for path in (self.home, self.run_directory):
            path.mkdir(mode=0o700)
            os.chown(path, UID, UID)
        for name, text in FILES.items():
            file = directory / name
            file.write_text(text.format(home=self.home))
            place.run("mount", "--bind", file, f"/etc/{name}")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "USER": USER,
            "XDG_RUNTIME_DIR": str(self.run_directory),
        }
        self.used: list[str] = []

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return WORDS of podman as a command of the user's, at home."""
        become = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", f"--chdir={self.home}")
        return [*become, "podman", *GENERAL, f"--runtime={self.recorder.path}", *words]

    def __call__(self, *words: str | Path, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one command; a status that is not 0 fails the test unless CHECK is false."""
        return self.place.run(*self.command(*words), check=check, **{"env": self.environment, **options})

    def run(self, command: str, *options: str | Path, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a shell COMMAND in a container that is made with OPTIONS and goes with it."""
        return self("run", "--rm", "--network=none", *options, NAME, "sh", "-c", command, check=check, **more)

    def start(self, *options: str | Path, command: str = "exec sleep 1000000", **more: Any) -> str:
        """Start a container with OPTIONS in the background, with a shell COMMAND, and return its name."""
        name = f"test-{os.getpid()}-{next(_NUMBERS)}"
        self.used.append(name)
        self("run", "--detach", "--name", name, "--network=none", *options, NAME, "sh", "-c", command, **more)
        return name

    def argvs(self) -> list[list[str]]:
        """Return what the runtime was called with."""
        return self.recorder.argvs()

    def remove_used(self) -> None:
        """Remove the containers that a test has named."""
        if self.used:
            self("rm", "--force", "--time=0", "--ignore", *self.used)
        self.used.clear()

    def close(self) -> None:
        """Remove what there is, and end the process that keeps the user's namespaces."""
        self("rm", "--all", "--force", "--time=0", check=False)
        self("system", "migrate", check=False)
        wait_for(lambda: not self.place.stays(), self.place.stays, SECONDS, what="all of the containers to go")


@contextlib.contextmanager
def podman_of(place: Place, binary: str, directory: Path, image: Path) -> Iterator[Rootless]:
    """Yield Podman of the user's with IMAGE."""
    made = Rootless(place, binary, directory)
    try:
        copy = directory / "image.tar"
        copy.write_bytes(image.read_bytes())
        done = made("load", "--input", copy, check=False)
        if done.returncode:
            pytest.skip(f"Podman cannot be used without root here: {done.stderr[-300:]}")
        yield made
    finally:
        made.close()
