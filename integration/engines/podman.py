"""Podman and buildah with the runtime under test: their configuration, and how tests run them.

Both read containers.conf and storage.conf from a directory of the test's, so the commands are those that users type.  The
runtime named there is a recorder, whose record proves that it was used.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.engines import documented
from integration.engines.client import Client
from integration.engines.image import NAME, PAUSE
from integration.engines.recorder import Recorder
from integration.harness.leaks import CGROUPS, below
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, fields, unified

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from integration.engines.place import Place

    Done = subprocess.CompletedProcess[str]

SYSTEMD = Path("/run/systemd/system").is_dir()
SHARED = "libpod_parent"  # the cgroup that all of a Podman's containers are in, and that it leaves
FOREVER = ("sleep", "1000000")
SECONDS = 20
# /run, /dev/shm and /var/tmp of their own, where engines and runtimes keep what they share with all of the machine; but for what
# the machine itself has to be asked by. And of the directory of cgroups of version 1 only what is mounted: another directory there, as
# programs leave that write limits by paths, is a hierarchy to conmon, whose files there Podman cannot remove.
PRIVATE = """
mkdir "$0" && mount -t tmpfs tmpfs "$0" && chmod 755 "$0"
for directory in systemd dbus vmrun; do
    [ ! -d /run/$directory ] || { mkdir "$0"/$directory && mount --rbind /run/$directory "$0"/$directory; }
done
mount -n --move "$0" /run
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /var/tmp
[ ! -d /sys/fs/cgroup/cpuset ] || {
    mkdir "$0-cgroup" && mount -t tmpfs tmpfs "$0-cgroup"
    for each in /sys/fs/cgroup/*; do
        if [ -L "$each" ]; then cp -P "$each" "$0-cgroup"
        elif mountpoint -q "$each"; then mkdir "$0-cgroup/${each##*/}" && mount -n --move "$each" "$0-cgroup/${each##*/}"; fi
    done
    mount -n --move "$0-cgroup" /sys/fs/cgroup
}
"""
# Limits that root may have without CAP_SYS_RESOURCE too; soft and hard alike, as `kube play` mixes them up.
CONTAINERS = """
[containers]
default_sysctls = []
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "{manager}"
events_logger = "file"
infra_image = "{pause}"
lock_type = "file"
runtime = "{name}"
runtime_supports_json = ["{name}"]
runtime_supports_nocgroup = ["{name}"]
static_dir = "{directory}/root/libpod"
stop_timeout = 3
tmp_dir = "{directory}/tmp"
volume_path = "{directory}/root/volumes"
[engine.runtimes]
{name} = ["{wrapper}"]
[network]
network_config_dir = "{directory}/networks"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{directory}/root"
runroot = "/run/containers/storage"
"""
_NUMBERS = itertools.count()
# Of Podman 4.3.
DEFAULT_CAPABILITIES = """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP
""".split()
# Bits of the masks in /proc/PID/status (capabilities(7)).
BITS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8}
BITS |= {"NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_ADMIN": 21, "SYS_TIME": 25, "MKNOD": 27}
BITS |= {"AUDIT_WRITE": 29, "SETFCAP": 31}


class Engine(Client):
    """PROGRAM (podman, buildah) in PLACE, with BINARY as the runtime; called with the words of a command."""

    def __init__(self, program: str, place: Place, binary: str) -> None:
        """Write the configuration; take what would be the machine's out of the way."""
        self.program, self.place, self.directory = program, place, place.directory
        self.binary, self.name = binary, Path(binary).name
        self.recorder = Recorder(binary, self.directory)
        self.argvs = self.recorder.argvs
        self.wrapper = self.recorder.path
        self.shared = cgroups_called(SHARED)
        place.run("sh", "-ec", PRIVATE, self.directory / "private-run")
        values = {"directory": self.directory, "name": self.name, "pause": PAUSE, "wrapper": self.wrapper}
        values["manager"] = "systemd" if SYSTEMD else "cgroupfs"
        self.environment = {**os.environ, "TMPDIR": str(self.directory), "HOME": str(self.directory)}
        self.configure("CONTAINERS_CONF", "containers.conf", CONTAINERS.format(**values))
        self.configure("CONTAINERS_STORAGE_CONF", "storage.conf", STORAGE.format(**values))
        self.used: list[str] = []

    def configure(self, variable: str, name: str, text: str) -> None:
        """Write the configuration file NAME with TEXT, and let VARIABLE of the environment name it."""
        path = self.directory / name
        path.write_text(text)
        self.environment[variable] = str(path)

    # Commands

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return WORDS as a command, run in our directory: conmon leaves a file called "oom" where it stands."""
        return ["env", f"--chdir={self.directory}", self.program, *words]

    def __call__(self, *words: str | Path, check: bool = True, **options: Any) -> Done:
        """Run one command; a status that is not 0 fails the test unless CHECK is false."""
        return self.place.run(*self.command(*words), check=check, env=self.environment, **options)

    def popen(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start one command, with pipes; the test has to wait for it."""
        return self.place.popen(*self.command(*words), env=self.environment, **options)

    def new_name(self) -> str:
        """Return a name that nobody else has, to be removed after the test."""
        self.used.append(f"test-{os.getpid()}-{next(_NUMBERS)}")
        return self.used[-1]

    # Podman's containers

    def run(self, command: str, *options: str | Path, check: bool = True, **more: Any) -> Done:
        """Run a shell COMMAND in a container that is made with OPTIONS and goes with it."""
        words = ("run", "--rm", *without_network(options), *options, NAME, "sh", "-c", command)
        return self(*words, check=check, **more)

    def start(self, *options: str | Path, command: str | None = None) -> str:
        """Start a container with OPTIONS in the background, with a shell COMMAND or one that sleeps, and return its name."""
        name = self.new_name()
        program = FOREVER if command is None else ("sh", "-c", command)
        self("run", "--detach", "--name", name, *without_network(options), *options, NAME, *program)
        return name

    def limit(self, name: str, v1: str, v2: str) -> str:
        """Return what the kernel says in the file V1, "controller/file", or V2 of container NAME's cgroup."""
        controller, file = v1.split("/")
        path = cgroup_of(self.pid(name), controller) / (v2 if unified() else file)
        if not path.exists():
            pytest.skip(f"this kernel has no {path.name}")
        return path.read_text().strip()

    def logged(self, name: str, text: str) -> None:
        """Wait until container NAME has written TEXT."""
        wait_for(lambda: text in self.output("logs", name), lambda: self.output("logs", name), SECONDS, what=text)

    def ended(self, name: str) -> str:
        """Wait until container NAME has ended, and return its status."""
        return self.output("wait", name)

    def remove_used(self) -> None:
        """Remove the containers that a test has named."""
        if self.used:
            self("rm", "--force", "--time=0", "--ignore", "--depend", "--volumes", *self.used)
        self.used.clear()

    # What docs/engines.md says

    @contextlib.contextmanager
    def documented(self, drop_in: str) -> Iterator[Callable[[str], str]]:
        """Let DROP_IN be the only configuration that names a runtime; yield what runs a command of the document."""
        lines = (self.directory / "containers.conf").read_text().splitlines()
        others = "\n".join(line for line in lines if "runtime" not in line and not line.startswith(f"{self.name} = "))
        etc = self.directory / "etc"
        (etc / "containers.conf.d").mkdir(parents=True)
        (etc / "containers.conf").write_text(others)
        (etc / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (etc / "containers.conf.d/pyrunc.conf").write_text(drop_in.replace(documented.PATH, str(self.wrapper)))
        self.place.run("mount", "--bind", etc, "/etc/containers")
        environment = {name: value for name, value in self.environment.items() if name != "CONTAINERS_CONF"}
        named = self.wrapper.parent / "pyrunc"
        if not named.exists():
            named.symlink_to(self.wrapper)
        environment["PATH"] = f"{named.parent}:{environment['PATH']}"

        def typed(command: str) -> str:
            line = f"cd {self.directory} && {command.replace(documented.PATH, str(self.wrapper))}"
            return str(self.place.run("sh", "-c", line, env=environment).stdout)

        try:
            yield typed
        finally:
            self.place.run("umount", "/etc/containers")

    # What was done

    def ids(self) -> set[str]:
        """Return the ids of all containers that the runtime was told to create."""
        return {argv[-1] for argv in self.argvs() if "create" in argv}

    def left(self) -> list[str]:
        """Return what is left of the containers: processes, cgroups, mounts, and the runtime's state."""
        ids = self.ids()
        cgroups = [path for path in below(CGROUPS) if any(name in path for name in ids)]
        lines = self.place.run("cat", "/proc/self/mountinfo").stdout.splitlines()
        points = [point for point in (line.split()[4] for line in lines) if any(name in point for name in ids)]
        points += [point for line in lines if (point := line.split()[4]).endswith("/merged")]
        states = self.place.run(self.binary, "list", "--quiet", check=False).stdout.split()
        return [*self.place.stays(), *cgroups, *points, *(f"state of {name}" for name in states)]

    def check(self) -> None:
        """Fail for what is left, and take away the cgroups that Podman's containers share."""
        wait_for(lambda: not self.left(), self.left, SECONDS, what="all of the containers to go")
        remove_cgroups(cgroups_called(SHARED) - self.shared)


def bits(*names: str) -> int:
    """Return the capabilities NAMES as a mask."""
    return sum(1 << BITS[name] for name in names)


def effective(text: str) -> int:
    """Return the effective capabilities of a process by TEXT, its status."""
    return int(fields(text)["CapEff"], 16)


def without_network(options: tuple[str | Path, ...]) -> list[str]:
    """Return the option that asks for no network, unless OPTIONS are about that."""
    return [] if any(str(word).startswith(("--network", "--pod")) for word in options) else ["--network=none"]


def cgroups_called(name: str) -> set[Path]:
    """Return the cgroups NAME at the top of each hierarchy."""
    return {*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")}


def remove_cgroups(found: set[Path]) -> None:
    """Remove the cgroups FOUND, and those below them, all of them empty."""
    for top in found:
        for path in sorted(top.glob("**/"), reverse=True):
            path.rmdir()
