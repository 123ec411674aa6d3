"""containerd, in a place of its own, and containers made there by ctr."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.engines import image as images
from integration.engines.recorder import Recorder
from integration.harness import leaks
from integration.harness.runtime import wait_for
from pyrunc.cli.parse import parse_command, parse_general

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from integration.engines.place import Done, Place

NEEDED = ("containerd", "ctr", "containerd-shim-runc-v2")
# What would only look for file systems and services that are not here.
WITHOUT = [
    *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "native", "zfs")),
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
]
CONFIG = """
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = {without}
[grpc]
address = "{socket}"
[debug]
level = "debug"
"""
PREFIX = "pyrunctest"  # of scopes
DEFAULT_CAPS = 0xA80425FB  # what ctr gives to root
SYSTEMD = Path("/run/systemd/system").is_dir()
# ctr sets the size after the start, and again whenever it is told of a change.
SIZED = 'until [ "$(stty size 2>/dev/null)" = "{}" ]; do sleep 0.1; done; stty size; '
_NUMBERS = itertools.count()


class Containerd:
    """A daemon below PLACE whose containers, in its NAMESPACE, are made by the runtime BINARY.

    CONFIG returns what its configuration has beside directories.
    """

    def __init__(self, place: Place, binary: str, config: Callable[[Containerd], str] | None = None, namespace: str = "") -> None:
        """Start it."""
        self.place, self.recorder = place, Recorder(binary, place.directory)
        self.binary = self.recorder.path
        self.socket = place.directory / "containerd.sock"
        self.namespace = namespace or f"pyrunctest{os.getpid()}n{next(_NUMBERS)}"
        # In memory, as its database is slow on a disk; and where the users of a user namespace come by.
        self.root = Path(tempfile.mkdtemp(prefix="containerd-"))
        place.run("mount", "-t", "tmpfs", "-o", "mode=711", "tmpfs", self.root)
        # What shims and ctr share with those of other daemons.
        place.run("sh", "-ec", "mkdir -p /run/containerd && mount -t tmpfs -o mode=711 tmpfs /run/containerd")
        self.file = place.directory / "config.toml"
        settings = {"root": self.root / "root", "state": self.root / "state", "socket": self.socket}
        without = WITHOUT if config else [*WITHOUT, "io.containerd.grpc.v1.cri"]
        self.file.write_text(CONFIG.format(**settings, without=json.dumps(without)) + (config(self) if config else ""))
        # Who names no runtime gets the `runc` on PATH.
        (self.binary.parent / "runc").exists() or (self.binary.parent / "runc").symlink_to(self.binary)
        self.daemon = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the daemon, and wait until it answers."""
        words = ("ctr", "--address", self.socket, "version")
        environment = {**os.environ, "PATH": f"{self.binary.parent}:{os.environ['PATH']}"}
        return self.place.daemon(
            "containerd",
            "--config",
            self.file,
            ready=lambda: self.place.run(*words, check=False).returncode == 0,
            env=environment,
        )

    def restart(self) -> None:
        """Stop the daemon and start it again; containers go on."""
        self.place.stop(self.daemon)
        self.daemon = self.start()

    @property
    def runtime_root(self) -> Path:
        """Return where the runtime keeps its states, below which each namespace has a directory."""
        return self.root / "runtime"

    def argv(self, *words: str | Path) -> tuple[str | Path, ...]:
        """Return the command line `ctr WORDS`."""
        return ("ctr", "--address", self.socket, "--namespace", self.namespace, *words)

    def ctr(self, *words: str | Path, check: bool = True, **options: Any) -> Done:
        """Run ctr with WORDS; a status that is not 0 fails the test unless CHECK is false."""
        return self.place.run(*self.argv(*words), check=check, **options)

    def load(self, *archives: Path) -> None:
        """Import the images in ARCHIVES."""
        for archive in archives:
            self.ctr("image", "import", archive)

    def used(self) -> set[str]:
        """Return the commands that the runtime was called with; raises UsageError if pyrunc does not know an option of one."""
        found = set()
        for argv in self.recorder.argvs():
            general, place = parse_general(argv)
            found.add(parse_command(argv, place, general).command)
        return found

    def mounts(self) -> list[str]:
        """Return the mounts of containers."""
        lines = Path(f"/proc/{self.place.holder.pid}/mountinfo").read_text().splitlines()
        return [line for line in lines if f"{self.root}/state" in line]

    def states(self) -> list[str]:
        """Return the directories of containers that the runtime or its shim keeps."""
        tops = (self.runtime_root, self.root / "state/io.containerd.runtime.v2.task", Path("/run/containerd/runc"))
        seen_from_here = (Path(f"/proc/{self.place.holder.pid}/root{top}") for top in tops)
        found = (path for top in seen_from_here for path in top.glob(f"{self.namespace}/*"))
        return [str(path) for path in found if not path.name.startswith(".")]

    def left(self, *names: str) -> list[str]:
        """Return what is left of containers: the cgroups of those with NAMES, and all else, shims above all, of any."""
        cgroups = leaks.cgroup_directories(*names, *map(scope, names))
        return self.place.stays() + self.mounts() + self.states() + cgroups

    def empty(self, name: str) -> None:
        """Fail if there is a cgroup called NAME, or take it away if it is runc's, which leaves the parents of cgroups."""
        if self.binary.name == "pyrunc":
            assert not leaks.cgroup_directories(name), f"cgroups {name} stay"
        leaks.take_away(name)

    def close(self) -> None:
        """Fail for anything that is left, of any container; stop the daemon."""
        try:
            self.empty(self.namespace)
            assert not self.left(), f"stays: {self.left()}"
        finally:
            self.place.stop(self.daemon)
            self.place.run("umount", self.root)
            self.root.rmdir()


class Boxes:
    """Containers that ctr makes for one test, and that end with it."""

    def __init__(self, containerd: Containerd, directory: Path) -> None:
        """Have none yet; DIRECTORY is for files of the test."""
        self.containerd, self.directory = containerd, directory
        self.ctr = containerd.ctr
        self.ids: list[str] = []
        self.kept = False  # whether there are containers that do not end by themselves

    def new_id(self) -> str:
        """Return an id that nobody else has."""
        name = f"{self.containerd.namespace}-{next(_NUMBERS)}"
        self.ids.append(name)
        return name

    def creation(self, *flags: str | Path, name: str = "", of: str | Path = images.NAME) -> list[str | Path]:
        """Return the arguments of `ctr run` for container NAME with FLAGS, without its command.

        It is OF an image, a directory after --rootfs, or nothing after --config.
        """
        name = name or self.new_id()
        runtime = ["--runc-binary", self.containerd.binary, "--runc-root", self.containerd.runtime_root]
        if SYSTEMD:
            runtime += ["--runc-systemd-cgroup", "--cgroup", f"system.slice:{PREFIX}:{name}"]
        return [*runtime, *flags, *([of] if of else []), name]

    def run(self, *flags: str | Path, do: tuple[str | Path, ...] | str = "true", check: bool = True, **options: Any) -> Done:
        """Run a container with FLAGS in the foreground; DO is what it does: a command, or a line for the shell."""
        of = options.pop("of", images.NAME)
        return self.ctr("run", "--rm", *self.creation(*flags, of=of), *command(do), check=check, **options)

    def says(self, *flags: str | Path, **options: Any) -> str:
        """Run a container with FLAGS in the foreground, and return what it wrote."""
        return str(self.run(*flags, **options).stdout)

    def start(self, *flags: str | Path, do: tuple[str | Path, ...] | str = ("sleep", "1000"), **options: Any) -> str:
        """Run a container with FLAGS in the background, and return its id."""
        name, self.kept = self.new_id(), True
        of = options.pop("of", images.NAME)
        self.ctr("run", "--detach", *self.creation(*flags, name=name, of=of), *command(do), **options)
        return name

    def exec(self, name: str, *flags: str | Path, do: tuple[str | Path, ...] | str, check: bool = True, **options: Any) -> Done:
        """Run a process in container NAME with FLAGS."""
        chosen = ("--exec-id", f"e{next(_NUMBERS)}", *flags)
        return self.ctr("task", "exec", *chosen, name, *command(do), check=check, **options)

    def tasks(self) -> dict[str, tuple[int, str]]:
        """Return the pid and the status of each task."""
        rows = [line.split() for line in self.ctr("task", "ls").stdout.splitlines()[1:]]
        return {row[0]: (int(row[1]), row[2]) for row in rows}

    def pid(self, name: str) -> int:
        """Return the pid of container NAME's init."""
        return self.tasks()[name][0]

    def wait(self, name: str, status: str) -> None:
        """Wait until container NAME is in STATUS, such as STOPPED."""
        wait_for(lambda: self.tasks()[name][1] == status, self.tasks, what=f"{name} to be {status}")

    def kill(self, name: str, signal: str = "KILL", *flags: str) -> None:
        """Send SIGNAL to container NAME."""
        self.ctr("task", "kill", "--signal", signal, *flags, name)

    def remove(self) -> None:
        """Remove all containers of the test, by force, and check that nothing stays of them."""
        seen = (self.containerd.left, self.ids)
        if self.kept or self.containerd.states():
            found = set(self.ctr("container", "ls", "--quiet").stdout.split()) & set(self.ids)
            running = set(self.tasks()) & found
            if running:
                self.ctr("task", "rm", "--force", *running)
            if found:
                self.ctr("container", "rm", *found)
        wait_for(lambda: not seen[0](*seen[1]), lambda: seen[0](*seen[1]) , what="containers to be gone")


def scope(name: str) -> str:
    """Return the name of container NAME's scope with the systemd driver."""
    return f"{PREFIX}-{name}.scope"


def command(do: tuple[str | Path, ...] | str) -> tuple[str | Path, ...]:
    """Return the words of DO, which is a command or a line for the shell."""
    return do if isinstance(do, tuple) else ("sh", "-c", do)
