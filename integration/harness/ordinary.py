"""An ordinary user who runs the runtime."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.looking import program_of, reachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Done, Runtime

UID = 1000


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """Yield a directory that every user may reach; what pytest makes, each start of another pytest closes again."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def interpreter_readable(binary: str) -> None:
    """Skip the test unless the user may read the runtime BINARY, and what runs it if that is pyrunc."""
    for path in (program_of(binary), Path(binary)) if Path(binary).name == "pyrunc" else ():
        if not all(each.stat().st_mode & 0o005 == 0o005 for each in (path, *path.parents)):
            pytest.skip(f"user {UID} may not read {path}: use another interpreter")


class Ordinary:
    """Lets RUNTIME be run by user 1000, with bundles in DIRECTORY."""

    def __init__(self, runtime: Runtime, directory: Path) -> None:
        """Check that the user may run it, and give the user DIRECTORY."""
        interpreter_readable(runtime.binary)
        self.runtime, self.directory = runtime, directory
        self.run_directory = directory / "run"
        self.run_directory.mkdir(mode=0o700)
        reachable(directory)
        self.own(directory)
        self.become()

    def become(self, *before: str) -> None:
        """Run the runtime as the user, from within BEFORE."""
        setpriv = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
        environment = ("env", "-u", "DBUS_SESSION_BUS_ADDRESS", f"XDG_RUNTIME_DIR={self.run_directory}", f"HOME={self.directory}")
        self.runtime.prefix = (*before, *setpriv, *environment)

    def own(self, path: Path) -> None:
        """Give PATH, and all below it, to the user."""
        subprocess.run(["chown", "-R", f"{UID}:{UID}", str(path)], check=True)

    def bundle(self, b: Bundle) -> Bundle:
        """Give B the configuration that `spec --rootless` writes for the user, with B's own process and root."""
        config = b.path / "config.json"
        config.unlink()
        self.own(b.path)
        self.runtime("spec", "--rootless", "--bundle", str(b.path))
        made = json.loads(config.read_text())
        made["process"] |= {"args": b.process["args"], "env": ["PATH=/bin"], "terminal": False}
        made["root"]["readonly"] = False
        b.config = made
        return b

    def save(self, b: Bundle) -> str:
        """Save B, without a cgroupsPath unless it names one; return the id to use."""
        name = str(self.runtime.new_id())
        b.save()
        return name

    def run(self, b: Bundle, *general: str, check: bool = True) -> Done:
        """Run B in the foreground."""
        name = self.save(b)
        return self.runtime(*general, "run", "--bundle", str(b.path), name, check=check)

    def start(self, b: Bundle, *general: str) -> str:
        """Create and start B; return its id."""
        name = self.save(b)
        log = self.directory / f"{name}.log"
        words = ("--log", str(log), *general, "create", "--bundle", str(b.path), name)
        done = self.runtime(*words, check=False, stdout=-3, stderr=-3)
        assert done.returncode == 0, log.read_text()
        self.runtime("start", name)
        return name

    def without_cgroups(self, b: Bundle, *general: str) -> str:
        """Check that B is refused, and return what was said."""
        done = self.run(b, *general, check=False)
        assert done.returncode != 0, done
        return str(done.stderr)
