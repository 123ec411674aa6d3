"""dockerd with the runtime under test, in a place of its own, and how tests speak to it."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.engines.client import Client
from integration.engines.place import EMULATED
from integration.engines.recorder import Recorder
from integration.harness.leaks import CGROUPS, below
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of

if TYPE_CHECKING:
    from integration.engines.place import Place

    Done = subprocess.CompletedProcess[str]

CLIENT = "/usr/bin/docker"  # Debian's; another one may come first in PATH
IMAGE = "pyrunc-test"
FOREVER = ("sleep", "1000000")
SYSTEMD = Path("/run/systemd/system").is_dir()
SECONDS = 300 if EMULATED else 30
TIMEOUT = 2 * SECONDS
FACTOR = 10 if EMULATED else 1  # of times that a test waits
DEFAULT_CAPABILITIES = 0xA80425FB
# What engines and shims share with all of the machine, and so with another Docker on it.
SHARED = ("/run/containerd", "/run/docker")
_NUMBERS = itertools.count()


class Docker(Client):
    """A dockerd in PLACE that runs BINARY; called with the words of a `docker` command."""

    def __init__(self, place: Place, binary: str, directory: Path, **settings: Any) -> None:
        """Have all of the daemon's in DIRECTORY, with more SETTINGS of its configuration."""
        self.place, self.directory = place, directory
        directory.mkdir(exist_ok=True)
        self.name = f"my-{Path(binary).name}"  # "runc" is Docker's own word
        self.recorder = Recorder(binary, self.directory)
        parent = f"pyruncdocker{os.getpid()}x{next(_NUMBERS)}"  # no dash: systemd would put the slice into another
        self.parent = f"{parent}.slice" if SYSTEMD else parent
        self.settings = {**self._settings(), **settings}
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.directory}/docker.sock",
            "DOCKER_CONFIG": str(self.directory / "client"),
            "DOCKER_BUILDKIT": "0",
            "TMPDIR": str(self.directory),
        }
        self.daemon: subprocess.Popen[bytes] | None = None
        self.used: list[str] = []

    def _settings(self) -> dict[str, Any]:
        """Return the configuration that every daemon has."""
        path = str(self.recorder.path)
        return {
            "hosts": [f"unix://{self.directory}/docker.sock"],
            "data-root": f"{self.directory}/data",
            "exec-root": f"{self.directory}/exec",
            "pidfile": f"{self.directory}/pid",
            "storage-driver": "overlay2",
            "iptables": False,
            "bridge": "none",
            "runtimes": {self.name: {"path": path}, "debugging": {"path": path, "runtimeArgs": ["--debug"]}},
            "default-runtime": self.name,
            "exec-opts": [f"native.cgroupdriver={'systemd' if SYSTEMD else 'cgroupfs'}"],
            "cgroup-parent": self.parent,
            "experimental": True,  # checkpoints
            "live-restore": True,
        }

    # The daemon

    def start(self) -> None:
        """Start the daemon, which starts a containerd of its own."""
        self.place.hide(*SHARED)
        self.configure()
        command = ("dockerd", "--config-file", self.directory / "daemon.json")
        self.daemon = self.place.daemon(*command, ready=lambda: self("version", check=False).returncode == 0)

    def configure(self, **settings: Any) -> None:
        """Write the configuration with SETTINGS in place of those that it has."""
        (self.directory / "daemon.json").write_text(json.dumps({**self.settings, **settings}))

    def reload(self) -> None:
        """Let the daemon read its configuration again."""
        assert self.daemon
        before = (self.place.directory / "dockerd.log").read_text().count("Reloaded configuration")
        self.daemon.send_signal(signal.SIGHUP)
        log = self.place.directory / "dockerd.log"
        wait_for(lambda: log.read_text().count("Reloaded configuration") > before, "dockerd to reload")

    def stop(self) -> None:
        """Stop the daemon; containers go on."""
        assert self.daemon
        self.place.stop(self.daemon)
        self.daemon = None

    def load(self, archive: Path) -> None:
        """Load the image in ARCHIVE."""
        self("load", "--input", archive)

    # Commands

    def __call__(self, *words: str | Path, check: bool = True, **options: Any) -> Done:
        """Run one command; a status that is not 0 fails the test unless CHECK is false."""
        return self.place.run(CLIENT, *words, check=check, env=self.environment, **{"timeout": TIMEOUT, **options})

    def popen(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start one command, with pipes; the test has to wait for it."""
        return self.place.popen(CLIENT, *words, env=self.environment, **options)

    def argv(self, *words: str | Path) -> list[str]:
        """Return one command for who starts it otherwise, such as on a terminal."""
        variables = [f"{name}={self.environment[name]}" for name in ("DOCKER_HOST", "DOCKER_CONFIG")]
        return self.place.argv("env", *variables, CLIENT, *words)

    def new_name(self) -> str:
        """Return a name that nobody else has, to be removed after the test."""
        self.used.append(f"test-{os.getpid()}-{next(_NUMBERS)}")
        return self.used[-1]

    def run(self, command: str, *options: str | Path, check: bool = True, **more: Any) -> Done:
        """Run a shell COMMAND in a container that is made with OPTIONS and goes with it."""
        return self("run", "--rm", *_network(options), *options, IMAGE, "sh", "-c", command, check=check, **more)

    def start_container(self, *options: str | Path, command: str | None = None, verb: str = "run") -> str:
        """Start a container with OPTIONS in the background, with a shell COMMAND or one that sleeps, and return its name."""
        name = self.new_name()
        program = FOREVER if command is None else ("sh", "-c", command)
        words = (verb, *(["--detach"] if verb == "run" else []), "--name", name, *_network(options), *options)
        self(*words, IMAGE, *program)
        return name

    def bundle(self, name: str) -> Path:
        """Return the bundle of the running container NAME."""
        return self.directory / "exec/containerd/daemon/io.containerd.runtime.v2.task/moby" / self.inspect(name, ".Id")

    def events(self, name: str, since: float) -> list[str]:
        """Return what has happened to container NAME since a time, in order."""
        times = ("--since", f"{since:.9f}", "--until", f"{time.time():.9f}")
        return self.output("events", *times, "--filter", f"container={name}", "--format", "{{.Action}}").splitlines()

    def wait_logged(self, name: str, text: str) -> None:
        """Wait until container NAME has written TEXT."""
        wait_for(lambda: text in self.logged(name), lambda: self.logged(name), SECONDS, what=text)

    def logged(self, name: str) -> str:
        """Return all that container NAME has written."""
        done = self("logs", name)
        return str(done.stdout + done.stderr)

    def wait_inspected(self, name: str, field: str, value: str) -> None:
        """Wait until `docker inspect` says VALUE of NAME in FIELD."""
        wait_for(lambda: self.inspect(name, field) == value, lambda: self.inspect(name, field), SECONDS, what=f"{field} {value}")

    def ended(self, name: str) -> int:
        """Wait until container NAME has ended, and return its status."""
        return int(self.output("wait", name))

    def remove_used(self) -> None:
        """Remove the containers that a test has named, with their volumes, whatever they do."""
        if self.used:
            self("rm", "--force", "--volumes", *self.used, check=False)
        self.used.clear()

    # What was done, and what is left

    def ids(self) -> set[str]:
        """Return the ids of all containers that the runtime was told to create."""
        return {argv[-1] for argv in self.recorder.argvs() if "create" in argv}

    def left(self) -> list[str]:
        """Return what is left of the containers: processes, cgroups, mounts, and the runtime's state."""
        ids = self.ids()
        cgroups = [path for path in below(CGROUPS) if any(name in path for name in ids)]
        lines = self.place.run("cat", "/proc/self/mountinfo").stdout.splitlines()
        points = [line.split()[4] for line in lines]
        daemons = rf"{self.directory}/(data(/\d+\.\d+)?|exec/netns/default)"  # data of a daemon with user namespaces: in UID.GID
        ours = [point for point in points if point.startswith(str(self.directory)) and not re.fullmatch(daemons, point)]
        states = [str(path) for path in (self.directory / "exec").glob("runtime-*/*/[!.]*")]
        bundles = [str(path) for path in (self.directory / "exec/containerd/daemon").glob("*.task/*/*")]
        return [*self.place.stays(), *cgroups, *ours, *states, *bundles]

    def tidy(self) -> list[str]:
        """Return the cgroups that all containers were put in, if they stay; runc leaves them, so its are removed."""
        if SYSTEMD:
            self.place.run("systemctl", "stop", self.parent)  # a slice is nobody's: it stays until somebody stops it
        found = [*CGROUPS.glob(self.parent), *CGROUPS.glob(f"*/{self.parent}")]
        if self.name != "my-pyrunc":
            for path in (below for top in found for below in sorted(top.glob("**/"), reverse=True)):
                path.rmdir()
            return []
        return list(map(str, found))


def _network(options: tuple[str | Path, ...]) -> tuple[str, ...]:
    """Return the option for no network, unless OPTIONS choose one."""
    chosen = any(str(word).startswith(("--network", "--net")) for word in options)
    return () if chosen else ("--network=none",)


def archive_of(*members: tuple[str, bytes]) -> bytes:
    """Return a tar of MEMBERS, which are pairs of name and content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def knob(docker: Docker, name: str, controller: str, file: str) -> str:
    """Return what FILE says of container NAME's cgroup; skip where the kernel offers no such file."""
    path = cgroup_of(docker.pid(name), controller) / file
    if not path.exists():
        pytest.skip(f"this kernel has no {file}")
    return path.read_text().strip()
