"""The runtime under test, as a command."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.harness.machine import SCRATCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.harness.bundle import Bundle

    Done = subprocess.CompletedProcess[str]

SECONDS = 60
WAIT = 100 if SCRATCH.is_mount() else 20  # in the virtual machine, and here
_NUMBERS = itertools.count()
# crun refuses version 1 with a unified hierarchy beside it: it gets a mount namespace without that.
WITHOUT_UNIFIED = ("unshare", "-m", "--propagation", "private", "sh", "-c")
HYBRID = Path("/sys/fs/cgroup/unified")


def run(argv: list[str], shown: Any, *, check: bool, **options: Any) -> Done:
    """Run ARGV, by default without input and with its output as text; a failure, of what is SHOWN, is one of the test if CHECK."""
    options = {"stdin": subprocess.DEVNULL, "text": True, **options}
    if "stdout" not in options:
        options["capture_output"] = True
    if "input" in options:
        del options["stdin"]
    done: Done = subprocess.run(argv, check=False, **options)
    if check and done.returncode:
        raise AssertionError(f"{shown}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Runtime:
    """Runs BINARY with a state directory below DIRECTORY, and remembers its containers."""

    def __init__(self, binary: str, directory: Path) -> None:
        """Make the state directory."""
        self.binary, self.directory = binary, directory
        self.root = directory / "state"
        self.root.mkdir()
        self.ids: list[str] = []
        self.prefix: tuple[str, ...] = ()
        if self.name == "crun" and HYBRID.exists():
            self.prefix = (*WITHOUT_UNIFIED, f'umount {HYBRID} && exec "$0" "$@"')

    @property
    def name(self) -> str:
        """Return the runtime's name: runc, crun, pyrunc."""
        return Path(self.binary).name

    def argv(self, *words: str) -> list[str]:
        """Return the argument vector of one command."""
        return [*self.prefix, self.binary, "--root", str(self.root), *words]

    def __call__(self, *words: str, check: bool = True, **options: Any) -> Done:
        """Run one command; its output is text, and a failure is one of the test unless CHECK is false."""
        return run(self.argv(*words), words, check=check, **{"timeout": SECONDS, **options})

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start one command, with pipes; the test has to wait for it."""
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(self.argv(*words), text=True, **{**pipes, **options})

    def refuses(self, *words: str, status: int = 1, **options: Any) -> str:
        """Run one command that must fail with STATUS; return standard error, for pyrunc one line without its end."""
        done = self(*words, check=False, **options)
        assert done.returncode == status, f"{words}: {done}"
        assert not done.stdout, done.stdout
        if self.name == "pyrunc":
            assert done.stderr.count("\n") == 1, done.stderr
            assert done.stderr.endswith("\n"), done.stderr
        return str(done.stderr).rstrip("\n")

    def new_id(self) -> str:
        """Return an id that nobody else has; what carries it is looked for at the end."""
        name = f"pyrunc-test-{os.getpid()}-{next(_NUMBERS)}"
        self.ids.append(name)
        return name

    def prepare(self, bundle: Bundle) -> str:
        """Save BUNDLE with a cgroup of its own, unless it names one; return the id to use."""
        name = self.new_id()
        own = "cgroupsPath" in bundle.linux
        if not own:
            bundle.linux["cgroupsPath"] = f"/{name}-parent/{name}"
        bundle.save()
        if not own:
            del bundle.linux["cgroupsPath"]
        return name

    _prepare = prepare

    def run(self, bundle: Bundle, *flags: str, check: bool = True, **options: Any) -> Done:
        """Run BUNDLE in the foreground."""
        name = self.prepare(bundle)
        return self("run", "--bundle", str(bundle.path), *flags, name, check=check, **options)

    def output(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Run BUNDLE and return what it wrote."""
        return str(self.run(bundle, *flags, **options).stdout)

    def create(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Create a container and return its id; nobody waits for its streams."""
        name = self.prepare(bundle)
        log = self.directory / f"{name}.log"
        words = ("--log", str(log), "create", "--bundle", str(bundle.path), *flags, name)
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        done = self(*words, check=False, **{**streams, **options})
        if done.returncode:
            said = log.read_text() if log.exists() else "(no log)"
            raise AssertionError(f"create: status {done.returncode}\n{said}")
        return name

    def start(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Create and start a container."""
        name = self.create(bundle, *flags, **options)
        self("start", name)
        return name

    def state(self, name: str) -> dict[str, Any]:
        """Return the state document of container NAME."""
        document: dict[str, Any] = json.loads(self("state", name).stdout)
        return document

    def status(self, name: str) -> str:
        """Return the status of container NAME."""
        return str(self.state(name)["status"])

    def pid(self, name: str) -> int:
        """Return the pid of container NAME's init."""
        return int(self.state(name)["pid"])

    def exec(self, name: str, *words: str, check: bool = True, **options: Any) -> Done:
        """Run WORDS in container NAME."""
        return self("exec", name, *words, check=check, **options)

    def wait(self, name: str, status: str) -> None:
        """Wait until container NAME is in STATUS."""
        wait_for(lambda: self.status(name) == status, f"{name} to be {status}")

    def end(self, name: str) -> None:
        """Kill container NAME and wait until it is stopped."""
        self("kill", name, "KILL")
        self.wait(name, "stopped")

    def close(self) -> None:
        """Delete every container that is left."""
        for name in self.ids:
            if (self.root / name).exists():
                self("delete", "--force", name, check=False)


def wait_for(
    true: Callable[[], object], found: Callable[[], object] | str, seconds: float = WAIT, *, what: str = ""
) -> None:
    """Wait until TRUE() is; fail with WHAT was waited for (or FOUND, if that is a text) and what FOUND() is."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            text = found if isinstance(found, str) else f"{what}: {found()}"
            raise AssertionError(f"waited {seconds} s for {text}")
        time.sleep(0.02)
