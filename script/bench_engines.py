"""Measure engines with runc, crun and pyrunc: containerd (ctr), Podman and Docker.

    bench engines --runtime PYRUNC [--rounds N] [--markdown] [--check]

Each engine runs once, in namespaces and a directory of its own as in the tests (integration/engines), and knows all three
runtimes.  A round is one `run` of /bin/true and one `exec` of it in a running container, with each engine and each
runtime; another runtime comes first in each round.  Time is from the spawn of the client to wait4(2), nsenter(1) included.
On a hybrid machine the unified hierarchy is hidden there, as crun would refuse it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from figures import Actions, Failure, Row, adopt, interrupt, machine, runc_1_5, spawn, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from integration.engines import image
from integration.engines.docker import CLIENT, SHARED, Docker
from integration.engines.place import Place
from integration.harness.leaks import CGROUPS

# Median ratios to runc 1.5 that must not be exceeded.
MARKS = {"ctr run": 0.80, "ctr exec": 0.60, "podman run": 0.45, "podman exec": 0.80, "docker run": 0.85, "docker exec": 0.50}
WARM_UP = 2  # rounds that do not count
PROGRAM, SLEEP = "/bin/true", ("/bin/sleep", "1000000")
CONTAINERD = """
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{0}/socket"
[ttrpc]
address = "{0}/socket.ttrpc"
"""
# Limits below this machine's: root may lack CAP_SYS_RESOURCE, and then cannot raise any.
PODMAN = """
[containers]
default_sysctls = []
default_ulimits = ["nofile=512:1024", "nproc=512:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
"""


class Engine(ABC):
    """An engine with one running container for each of the runtimes at PATHS, and the time of each command."""

    name = ""
    programs: tuple[str, ...] = ()

    def __init__(self, place: Place, paths: dict[str, str]) -> None:
        """Write its configuration, for PLACE."""
        self.place, self.paths = place, paths
        self.directory = place.directory / self.name
        self.directory.mkdir()
        self.number = 0
        self.environment = dict(os.environ)
        self.times: dict[str, dict[str, list[float]]] = {verb: {name: [] for name in paths} for verb in ("run", "exec")}
        self.configure()

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration."""

    @abstractmethod
    def load(self, archive: Path) -> None:
        """Start the daemon, if there is one, and load ARCHIVE."""

    def start(self, archive: Path) -> None:
        """Start it with the image in ARCHIVE, and the containers for `exec`."""
        self.load(archive)
        for runtime in self.paths:
            self.do([*self.detached(runtime, f"waiting-{runtime}"), *SLEEP])

    @abstractmethod
    def detached(self, runtime: str, container: str) -> list[str]:
        """Return the command that starts CONTAINER with RUNTIME in the background, without its program."""

    @abstractmethod
    def command(self, verb: str, runtime: str) -> list[str]:
        """Return the command that does VERB, run or exec, with RUNTIME."""

    @abstractmethod
    def close(self) -> None:
        """Remove the running containers."""

    def do(self, words: list[str]) -> float:
        """Run WORDS in the place, and return how many milliseconds that took.  Raises Failure."""
        environment = [f"{key}={value}" for key, value in self.environment.items() if os.environ.get(key) != value]
        argv = self.place.argv(*(["env", *environment] if environment else []), *words)
        with (self.directory / "said").open("w+") as said:
            actions: Actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, said.fileno(), fd) for fd in (1, 2)]
            taken, status = spawn([shutil.which(argv[0]) or argv[0], *argv[1:]], actions)
            if status:
                said.seek(0)
                raise Failure(f"{' '.join(words)} ended with status {status}: {said.read().strip()}")
        return taken

    def measure(self, verb: str, runtime: str) -> None:
        """Note how long VERB takes with RUNTIME."""
        self.number += 1
        self.times[verb][runtime].append(self.do(self.command(verb, runtime)))


class Containerd(Engine):
    """Containerd, asked by ctr."""

    name = "ctr"
    programs = ("containerd", "ctr")

    def configure(self) -> None:
        """Write the configuration."""
        (self.directory / "config.toml").write_text(CONTAINERD.format(self.directory))
        self.namespace = f"pyrunc-bench-{os.getpid()}"
        self.ctr = ["ctr", "--address", f"{self.directory}/socket", "--namespace", self.namespace]

    def load(self, archive: Path) -> None:
        """Load ARCHIVE."""
        words, asked = ("containerd", "--config", self.directory / "config.toml"), (*self.ctr, "version")
        self.place.daemon(*words, ready=lambda: self.place.run(*asked, check=False).returncode == 0)
        self.do([*self.ctr, "image", "import", str(archive)])

    def detached(self, runtime: str, container: str) -> list[str]:
        """Return `run --detach`."""
        return [*self.ctr, "run", "--detach", "--runc-binary", self.paths[runtime], image.NAME, container]

    def command(self, verb: str, runtime: str) -> list[str]:
        """Return `run --rm` or `exec`."""
        if verb == "run":
            return [*self.ctr, "run", "--rm", "--runc-binary", self.paths[runtime], image.NAME, f"c{self.number}", PROGRAM]
        return [*self.ctr, "task", "exec", "--exec-id", f"e{self.number}", f"waiting-{runtime}", PROGRAM]

    def close(self) -> None:
        """Remove the running containers."""
        for runtime in self.paths:
            self.place.run(*self.ctr, "task", "delete", "--force", f"waiting-{runtime}", check=False)
            self.place.run(*self.ctr, "container", "delete", f"waiting-{runtime}", check=False)
        for parent in CGROUPS.glob(f"**/{self.namespace}"):  # which runc leaves
            for path in sorted(parent.glob("**/"), reverse=True):
                path.rmdir()


class Podman(Engine):
    """Podman, which has no daemon."""

    name = "podman"
    programs = ("podman", "conmon")

    def configure(self) -> None:
        """Write the configuration."""
        config = self.directory / "containers.conf"
        config.write_text(PODMAN)
        self.environment["CONTAINERS_CONF"] = str(config)
        storage = ["--root", f"{self.directory}/root", "--runroot", f"{self.directory}/run", "--tmpdir", f"{self.directory}/tmp"]
        self.podman = ["podman", *storage, "--storage-driver", "overlay"]

    def load(self, archive: Path) -> None:
        """Load ARCHIVE."""
        self.do([*self.podman, "load", "--input", str(archive)])

    def detached(self, runtime: str, container: str) -> list[str]:
        """Return `run --detach`."""
        return [*self._with(runtime), "run", "--detach", "--network=none", "--name", container, image.NAME]

    def command(self, verb: str, runtime: str) -> list[str]:
        """Return `run --rm` or `exec`."""
        if verb == "run":
            return [*self._with(runtime), "run", "--rm", "--network=none", image.NAME, PROGRAM]
        return [*self._with(runtime), "exec", f"waiting-{runtime}", PROGRAM]

    def _with(self, runtime: str) -> list[str]:
        """Return the beginning of each command."""
        return [*self.podman, "--runtime", self.paths[runtime]]

    def close(self) -> None:
        """Remove the running containers."""
        for runtime in self.paths:
            words = (*self._with(runtime), "rm", "--force", "--time=0", f"waiting-{runtime}")
            self.place.run(*words, check=False, env=self.environment)


class Dockers(Engine):
    """Docker, with a containerd of its own."""

    name = "docker"
    programs = ("dockerd", CLIENT)

    def configure(self) -> None:
        """Write the configuration."""
        names = {f"my-{name}": {"path": path} for name, path in self.paths.items()}
        self.docker = Docker(self.place, self.paths["runc"], self.directory, runtimes=names)
        self.environment = self.docker.environment

    def load(self, archive: Path) -> None:
        """Load ARCHIVE."""
        self.docker.start()
        self.do([CLIENT, "load", "--input", str(archive)])

    def detached(self, runtime: str, container: str) -> list[str]:
        """Return `run --detach`."""
        return [CLIENT, "run", "--detach", "--network=none", "--runtime", f"my-{runtime}", "--name", container, image.NAME]

    def command(self, verb: str, runtime: str) -> list[str]:
        """Return `run --rm` or `exec`."""
        if verb == "run":
            return [CLIENT, "run", "--rm", "--network=none", "--runtime", f"my-{runtime}", image.NAME, PROGRAM]
        return [CLIENT, "exec", f"waiting-{runtime}", PROGRAM]

    def close(self) -> None:
        """Remove the running containers."""
        self.docker("rm", "--force", *(f"waiting-{runtime}" for runtime in self.paths), check=False)
        self.docker.tidy()


ENGINES = (Containerd, Podman, Dockers)


@contextmanager
def made(paths: dict[str, str]) -> Iterator[list[Engine]]:
    """Hand out the engines that are installed, with the runtimes at PATHS; stop and remove them at the end."""
    adopt()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pyrunc-bench-", ignore_cleanup_errors=True)))
        place = Place(work)
        stack.callback(place.close)
        place.hide(*SHARED)
        hide = "umount /sys/fs/cgroup/unified 2>/dev/null || ! mountpoint -q /sys/fs/cgroup/unified"
        place.run("sh", "-c", hide)
        archive = image.archive(work / "image.tar")
        engines: list[Engine] = []
        for kind in ENGINES:
            if all(map(shutil.which, kind.programs)):
                engines.append(kind(place, paths))
                stack.callback(engines[-1].close)
                engines[-1].start(archive)
        yield engines


def measure(engines: list[Engine], rounds: int, runtimes: list[str]) -> None:
    """Take the time of each command ROUNDS times."""
    for done in range(WARM_UP + rounds):
        for engine in engines:
            for verb, times in engine.times.items():
                for runtime in runtimes:
                    engine.measure(verb, runtime)
                    if done < WARM_UP:
                        times[runtime].clear()
        runtimes = [*runtimes[1:], runtimes[0]]
        if sys.stderr.isatty():
            print(f"\r{max(0, done + 1 - WARM_UP)}/{rounds}", end="", file=sys.stderr)


def rows(engines: list[Engine]) -> list[Row]:
    """Return the medians, with their marks."""
    return [
        Row(f"{engine.name} {verb}", {name: median(taken) for name, taken in times.items()}, MARKS[f"{engine.name} {verb}"])
        for engine in engines
        for verb, times in engine.times.items()
    ]


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(prog="bench engines", description="Measure engines with runc, crun and pyrunc.")
    parser.add_argument("--runtime", default="pyrunc", help="pyrunc: a name or a path (default: pyrunc)")
    parser.add_argument("--rounds", type=int, default=30, help="how often each command is timed (default: 30)")
    parser.add_argument("--markdown", action="store_true", help="write the table of docs/performance.md")
    parser.add_argument("--check", action="store_true", help="fail if a mark is missed")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if os.geteuid():
        parser.error("containers need root here")
    return options


def versions(engines: list[Engine]) -> list[str]:
    """Return what the programs of ENGINES say about their versions."""
    asked = [["containerd", "--version"], ["podman", "--version"], ["dockerd", "--version"]]
    return [
        subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
        for argv in asked
        if any(argv[0] in engine.programs for engine in engines)
    ]


def main(argv: list[str]) -> int:
    """Measure and print."""
    options = parse_arguments(argv)
    found = {"runc": runc_1_5() or shutil.which("runc"), "crun": shutil.which("crun"), "pyrunc": shutil.which(options.runtime)}
    paths = {name: os.path.abspath(path) for name, path in found.items() if path}
    if not {"runc", "pyrunc"} <= set(paths):
        raise Failure("runc and pyrunc have to be installed")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    with made(paths) as engines:
        measure(engines, options.rounds, list(paths))
        result = rows(engines)
        lines = [*machine(paths), *versions(engines)]
    print("\n".join([f"- {line}" for line in lines] if options.markdown else lines))
    print(f"\nMedians of {options.rounds} rounds:\n")
    print("\n".join(table("time, ms", result, markdown=options.markdown)))
    return 1 if options.check and any(not row.met for row in result) else 0
