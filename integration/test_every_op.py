"""Every op of a plan fails in turn, and every system call of a kind: the machine, and a neighbour, are as they were.

The neighbour is a container that shares what can be shared: the bundle, the state's root, the network
namespace, a cgroup above (on version 2: beside), and a cgroup that was there before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness import keeper
from integration.harness.crash import Victim, every
from integration.harness.neighbour import Neighbour
from integration.harness.runtime import wait_for
from integration.looking import unified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

pytestmark = pytest.mark.pyrunc_only("it is about pyrunc's own plans")
PAST_THE_END = 3
# Runs a container whose plan has one op more, which fails; or says that the column has no such place.
RUN = f"""
import sys
from pyrunc.container.options import RunOptions
from pyrunc.container.verbs.run import run
from pyrunc.errors import PyruncError
from pyrunc.plan import build
from pyrunc.plan.op import Op

container, bundle, root, column, place = sys.argv[1:]
usual = build.build

def with_one_that_fails(config, facts, request):
    plan = usual(config, facts, request)
    ops = list(getattr(plan, column))
    if int(place) > len(ops) - (column == "child"):
        sys.exit({PAST_THE_END})
    ops.insert(int(place), Op("chdir", ("/there/is/no/such/directory",)))
    return plan.replace(**{{column: tuple(ops)}})

build.build = with_one_that_fails
try:
    run(RunOptions(id=container, bundle=bundle, root=root, detach=True))
except PyruncError as error:
    sys.exit(str(error))
"""
TRUE = {"path": "/bin/true", "args": ["true"]}
STEP = 1


class Scene:
    """A neighbour, a cgroup that was there, and a container B that is never to come about."""

    def __init__(self, runtime: Runtime, b: Bundle, place: Neighbour) -> None:
        """Start the neighbour."""
        self.runtime, self.b, self.place = runtime, b, place
        self.neighbour = runtime.new_id()
        b.linux["cgroupsPath"] = f"/{place.path}{'/beside' if unified() else ''}"
        b.save()
        words = ("run", "--detach", "--bundle", str(b.path), self.neighbour)
        runtime(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = runtime.pid(self.neighbour)
        self.name = runtime.new_id()

    def prepare(self, *, found: bool) -> None:
        """Let B have all that leaves something behind, and share what can be shared; its cgroup may be FOUND there."""
        b = self.b
        b.namespace("network", path=f"/proc/{self.pid}/ns/net")
        b.linux["cgroupsPath"] = f"/{self.place.path}/{'found' if found else 'parent/own'}"
        b.linux["resources"] = {"pids": {"limit": 100}, "memory": {"limit": 1 << 28}, "cpu": {"shares": 512}}
        b.config["hooks"] = {kind: [TRUE] for kind in ("createRuntime", "createContainer", "startContainer", "poststart", "poststop")}
        (b.rootfs / "mnt").mkdir(exist_ok=True)  # a place for a mount is made, and stays, as with runc
        b.mount("/mnt", "tmpfs", "tmpfs", "nosuid")
        b.save()

    def looks(self) -> dict[str, object]:
        """Return what there is to be seen of the machine."""
        return {
            "cgroups": self.place.looks(),
            "states": sorted(os.listdir(self.runtime.root)),
            "neighbour": self.runtime.state(self.neighbour),
            "its files": {path.name: path.read_bytes() for path in (self.runtime.root / self.neighbour).iterdir() if path.is_file()},
            "its mounts": Path(f"/proc/{self.pid}/mountinfo").read_text(),
            "its network": Path(f"/proc/{self.pid}/net/dev").read_text().count("\n"),
            "bundle": sorted(str(path) for path in self.b.path.rglob("*")),
        }

    def unchanged(self, before: dict[str, object], where: object) -> None:
        """Check that the machine looks as BEFORE."""
        wait_for(lambda: self.processes() == self.known, lambda: self.processes() - self.known, 5, what=f"{where}: processes to end")
        found = self.looks()
        assert found == before, (where, [key for key in before if found[key] != before[key]])

    def settle(self) -> dict[str, object]:
        """Return how the machine looks with nothing but the neighbour."""
        self.known = self.processes()
        return self.looks()

    def processes(self) -> set[int]:
        """Return what the tests have left, the neighbour among it."""
        return keeper.left()


@pytest.fixture
def scene(runtime: Runtime, bundle: Bundles) -> Iterator[Scene]:
    place = Neighbour(f"neighbour-{os.getpid()}/own")
    made = Scene(runtime, bundle(), place)
    for top in place.tops:
        (top / "found").mkdir()  # now: in version 1 a cgroup with others below takes no rules for devices
    yield made
    runtime.close()
    place.close()


@pytest.mark.slow_vm
@pytest.mark.parametrize("found", [False, True], ids=["cgroup of its own", "cgroup that was there"])
@pytest.mark.parametrize("column", ["host", "child"])
def test_every_op_fails(scene: Scene, column: str, found: bool) -> None:
    scene.prepare(found=found)
    python = Path(scene.runtime.binary).parent / "python3"
    argv = [str(python) if python.exists() else sys.executable, "-c", RUN, scene.name, str(scene.b.path), str(scene.runtime.root)]
    before = scene.settle()
    for place in range(0, 1000, STEP):
        done = subprocess.run([*argv, column, str(place)], stdin=-3, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == PAST_THE_END:
            assert place > 20
            return
        assert done.returncode == 1, (place, done)
        assert "chdir" in done.stderr, (place, done.stderr)
        scene.unchanged(before, f"{column} {place}")


@pytest.mark.slow_vm
@pytest.mark.parametrize("found", [False, True], ids=["cgroup of its own", "cgroup that was there"])
@pytest.mark.parametrize("call", ["mkdir", "write", "flock", "pwrite64", "clone3", "recvmsg", "rename", "openat"])
def test_system_calls_fail(scene: Scene, call: str, found: bool) -> None:
    """What an op of several calls has made before it fails is taken back too."""
    scene.prepare(found=found)
    victim = Victim(scene.runtime)
    words = ("create", "--bundle", str(scene.b.path), scene.name)
    before = scene.settle()
    done = subprocess.run(victim.argv(words), stdin=-3, stdout=-3, stderr=-3, check=False, timeout=60)
    assert done.returncode == 0
    calls = [each for each in victim.written(after=f"{scene.runtime.root}/{scene.name}") if each.name == call]
    scene.runtime("delete", "--force", scene.name)
    scene.unchanged(before, "a whole life")
    failed = 0
    for each in every(calls, 1, 20):
        argv = victim.argv(words, f"inject={call}:error=EIO:when={each.number}")
        done = subprocess.run(argv, stdin=-3, stdout=-3, stderr=-3, check=False, timeout=60)
        if done.returncode == 0:  # one that does not matter
            scene.runtime("delete", "--force", scene.name)
        failed += done.returncode != 0
        scene.unchanged(before, each)
    assert failed or not calls or call in ("write", "openat"), calls
