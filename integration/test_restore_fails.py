"""A restore that fails, at each of its moments: what it has made goes, and nothing else; the image can be used again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness import keeper
from integration.harness.beside import Beside
from integration.harness.criu import UNTIL, Image, counter, goes_on, works
from integration.harness.leaks import cgroup_directories, mounts
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

pytestmark = [works, pytest.mark.slow_vm, pytest.mark.pyrunc_only("it is about pyrunc's own steps"), pytest.mark.timeout(1200)]
PROGRAM = Path(__file__).parent / "harness/failing_restore.py"
MOST = 100  # moments
STEPS = ("setup-namespaces", "network-unlock", "the commit")


class Restores:
    """Restores of one image, beside a neighbour over the same bundle."""

    def __init__(self, runtime: Runtime, b: Bundle, directory: Path, *, found: bool) -> None:
        """Take the image; the cgroup may be FOUND there each time."""
        self.runtime, self.b, self.image, self.log = runtime, b, Image(directory), directory / "hooks"
        self.beside = Beside(runtime, b)
        b.linux["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 44}}
        self.name = runtime.new_id()
        own = self.beside.path(self.name)
        b.linux["cgroupsPath"] = f"/{self.beside.place.path}/found" if found else own
        for top in self.beside.place.tops if found else ():
            (top / "found").mkdir()
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo KIND >>{self.log}"]}
        kinds = ("createRuntime", "poststop")
        b.config["hooks"] = {kind: [{**hook, "args": ["sh", "-c", f"echo {kind} >>{self.log}"]}] for kind in kinds}
        b.save()
        words = ("run", "--detach", "--bundle", str(b.path), self.name)
        runtime(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: len(counter(b)) > 2, lambda: counter(b), what="the counter to begin")
        self.image.take(runtime, self.name)
        self.beside.before = self.beside.looks()
        self.counted, self.known, self.mounted = counter(b), keeper.left(), self.mounts()
        self.image_files = self.files()

    def mounts(self) -> set[str]:
        """Return the machine's mounts that are about us: others mount and unmount too."""
        return {line for line in mounts().values() if str(self.runtime.directory) in line}

    def files(self) -> dict[str, int]:
        """Return the files of the image, with their sizes."""
        return {path.name: path.stat().st_size for path in self.image.path.iterdir()}

    def fails_at(self, place: int) -> subprocess.CompletedProcess[str]:
        """Restore it, and fail at moment PLACE."""
        python = Path(self.runtime.binary).parent / "python3"
        program = [str(python) if python.exists() else sys.executable, "-I", str(PROGRAM)]
        where = [self.name, str(self.b.path), str(self.runtime.root), str(self.image.path), str(self.image.work), str(place)]
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "text": True}
        with (self.log.parent / "out").open("w+") as out, (self.log.parent / "err").open("w+") as err:
            done = subprocess.run([*program, *where], check=False, stdout=out, stderr=err, timeout=300, **streams)
        said = [(self.log.parent / name).read_text() for name in ("out", "err")]
        return subprocess.CompletedProcess(done.args, done.returncode, *said)

    def nothing(self, where: object) -> None:
        """Check that nothing of it is there and that it has not run, and the rest is as it was."""
        assert not (self.runtime.root / self.name).exists(), where
        assert not cgroup_directories(self.name, f"{self.name}-parent"), where
        wait_for(lambda: keeper.left() <= self.known, lambda: [keeper.shown(pid) for pid in keeper.left() - self.known], what=f"{where}")
        wait_for(lambda: self.mounts() == self.mounted, f"{where}: mounts to go")
        assert self.files() == self.image_files, where
        assert counter(self.b) == self.counted, f"{where}: it has run"
        self.beside.unhurt(where)


@pytest.mark.parametrize("found", [False, True], ids=["cgroup of its own", "cgroup that was there"])
def test_a_restore_that_fails_at_each_moment(runtime: Runtime, bundle: Bundles, tmp_path: Path, found: bool) -> None:
    restores = Restores(runtime, bundle(UNTIL), tmp_path, found=found)
    told = []
    for place in range(MOST):
        restores.log.write_text("")
        done = restores.fails_at(place)
        if done.returncode == 0:
            break
        assert done.stderr.startswith("made to fail at "), (place, done)
        told.append(done.stderr.removeprefix("made to fail at ").strip())
        hooks = restores.log.read_text().split()
        assert hooks in ([], ["poststop"], ["createRuntime", "poststop"]), (told[-1], hooks)
        restores.nothing(told[-1])
    print(told)
    assert {"make_cgroup", "run_hook", *(f"the {end} of {step}" for step in STEPS for end in ("begin", "end"))} <= set(told), told
    assert len(told) >= int(done.stdout)
    goes_on(restores.b, restores.counted)
    runtime("delete", "--force", restores.name)
    restores.beside.close()
