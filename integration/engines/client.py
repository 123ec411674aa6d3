"""What the clients of Docker and Podman have in common: the same words, and the same answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    Done = subprocess.CompletedProcess[str]


class Client(ABC):
    """One of them, which is called for a command, and runs one shell command in a new container by `run`."""

    @abstractmethod
    def __call__(self, *words: str | Path, check: bool = True, **options: Any) -> Done:
        """Run one command."""

    @abstractmethod
    def run(self, command: str, *options: str | Path, check: bool = True, **more: Any) -> Done:
        """Run a shell COMMAND in a container that is made with OPTIONS and goes with it."""

    def output(self, *words: str | Path, **options: Any) -> str:
        """Run one command and return what it wrote, without the end of its last line."""
        return str(self(*words, **options).stdout).rstrip("\n")

    def inside(self, command: str, *options: str | Path) -> str:
        """Return what a shell COMMAND writes in a container that is made with OPTIONS."""
        return str(self.run(command, *options).stdout).rstrip("\n")

    def exec(self, name: str, command: str, *options: str) -> str:
        """Return what a shell COMMAND writes in the running container NAME."""
        return self.output("exec", *options, name, "sh", "-c", command)

    def inspect(self, name: str, field: str) -> str:
        """Return what `inspect` says of NAME in FIELD, such as .State.Pid."""
        return self.output("inspect", "--format", "{{%s}}" % field, name)

    def pid(self, name: str) -> int:
        """Return the pid of the first process of container NAME."""
        return int(self.inspect(name, ".State.Pid"))
