"""Every op of every golden plan fails in turn, on both sides: the machine, and a neighbour, are as they were.

The neighbour is a container over the same bundle, in the same root, with the cgroup above (version 2: beside), whose
namespaces are those that the plan joins.  PYRUNC_EVERY_OP=1 tries every op of all, which takes minutes; otherwise
a sample is drawn, of PYRUNC_SEED if that is set.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness import keeper
from integration.harness.golden import Golden, Local, all_of_them, not_here
from integration.harness.leaks import cgroup_directories, mounts
from integration.harness.neighbour import Neighbour
from integration.harness.ordinary import UID, interpreter_readable, public_directory
from integration.harness.runtime import WAIT, wait_for
from integration.looking import FIRST, unified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundles
    from integration.harness.runtime import Runtime

pytestmark = [pytest.mark.pyrunc_only("it is about pyrunc's own plans"), pytest.mark.timeout(3000)]
EVERY = bool(os.environ.get("PYRUNC_EVERY_OP"))
PLANS, PLACES = 14, 5  # of a sample: so many plans, and in each so many places on both sides
FAILING = Path(__file__).parent / "harness/failing.py"
PASSWD = f"root:x:0:0:root:/root:/bin/sh\nordinary:x:{UID}:{UID}::/:/bin/sh\n"
SUBIDS = "ordinary:100000:65536\n"
FILES = {"passwd": PASSWD, "subuid": SUBIDS, "subgid": SUBIDS}
KINDS = ("pid", "mount", "network", "ipc", "uts")
LOADED = ("load_filter", "seccomp_set_mode_filter")  # what they filter is the failing op, and the word of it
AS_USER = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with public_directory() as path:
        yield path


class Failing:
    """A process that runs verbs with an op that fails, in namespaces of its own: nothing of it reaches the machine, nor the other way."""

    def __init__(self, runtime: Runtime, directory: Path, *, user: bool) -> None:
        """Start it, for an ordinary USER if so."""
        for file, text in FILES.items():
            (directory / file).write_text(text)
        binds = [f"mount --bind {directory}/{file} /etc/{file}" for file in FILES if Path("/etc", file).exists()]
        python = Path(runtime.binary).parent / "python3"
        program = [*(AS_USER if user else ()), str(python) if python.exists() else sys.executable, "-I", str(FAILING)]
        inside = ["sh", "-c", " && ".join([*binds, 'exec "$0" "$@"']), *program]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(directory)}
        argv = ["unshare", "--net", "--mount", "--propagation", "private", *inside]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(argv, text=True, env=environment, **pipes)

    def __call__(self, verb: str, options: dict[str, Any], column: str = "", place: int = 0) -> dict[str, Any]:
        """Let it do VERB, with the failing op at PLACE of COLUMN, if one is named; return what it tells."""
        assert self.process.stdin
        assert self.process.stdout
        asked = {"verb": verb, "options": options, "column": column, "place": place}
        self.process.stdin.write(json.dumps({**asked, "descriptors": options.get("preserve_fds", 0)}) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def mounts(self) -> list[str]:
        """Return what is mounted in its mount namespace."""
        return Path(f"/proc/{self.process.pid}/mountinfo").read_text().splitlines()

    def has_place(self, line: str) -> bool:
        """Return whether the directory of mount LINE is there: whoever removes that, on the host too, ends the mount."""
        return os.path.lexists(f"/proc/{self.process.pid}/root{line.split()[4]}")

    def unmount(self, rootfs: Path) -> None:
        """Unmount what a container without a mount namespace has left at ROOTFS."""
        words = ("nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "umount", "-R", str(rootfs))
        subprocess.run(words, check=True)

    def close(self) -> None:
        """End it."""
        self.process.communicate("")


class Holder:
    """A process with a mount namespace that a container may join.

    That is the container's from then on (docs/adr/0004-ownership.md, "What remains"), so each try has a new one.
    """

    def __init__(self) -> None:
        """Start it."""
        own = os.readlink("/proc/self/ns/mnt")
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "1000"])
        wait_for(lambda: os.readlink(f"/proc/{self.process.pid}/ns/mnt") != own and self.comm() == "sleep", "a mount namespace")

    def comm(self) -> str:
        return Path(f"/proc/{self.process.pid}/comm").read_text().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Scene:
    """A neighbour, and a golden container, or process, that is never to come about."""

    def __init__(self, golden: Golden, runtime: Runtime, bundles: Bundles, directory: Path) -> None:
        """Make what there is to be shared."""
        self.golden, self.runtime, self.directory = golden, runtime, directory
        self.b = bundles("true")
        (self.b.rootfs / "sbin").mkdir(exist_ok=True)
        (self.b.rootfs / "sbin/server").symlink_to("../bin/busybox")
        self.listeners = [self._listener(name) for name in ("console", "agent")]
        self.place = None if golden.user else Neighbour(f"neighbour-{os.getpid()}/own")
        if golden.user:
            subprocess.run(["chown", "-R", f"{UID}:{UID}", str(directory)], check=True)
        self.failing = Failing(runtime, directory, user=golden.user)
        self.holder: Holder | None = None
        self.neighbour, self.name = runtime.new_id(), runtime.new_id()

    def begin(self) -> None:
        """Start the neighbour, and let the container live once, so that it leaves what it leaves at all, as with runc."""
        self._start_neighbour()
        self.pid = self._init(self.neighbour)
        self.local = Local(self.golden, self.b, self.pid)
        self.calls = self._once()
        self.before = self.looks()

    def _by_its_owner(self, *words: str) -> str:
        """Run the runtime with WORDS as whose the root directory is; root does nothing by what another could change."""
        argv = [*(AS_USER if self.golden.user else ()), *self.runtime.argv(*words)]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    def _init(self, name: str) -> int:
        """Return the pid of container NAME's init."""
        return int(json.loads(self._by_its_owner("state", name))["pid"])

    def _listener(self, name: str) -> socket.socket:
        """Return a socket in the directory that takes all that comes, and looks at nothing."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(str(self.directory / name))
        made.listen(4000)
        (self.directory / name).chmod(0o777)
        return made

    def _start_neighbour(self) -> None:
        """Start it, over the bundle of all, with its cgroup above, or on version 2 beside."""
        linux: dict[str, Any] = {"namespaces": [{"type": kind} for kind in KINDS]}
        joins_user = "user" in [each["type"] for each in self.golden.document().get("linux", {}).get("namespaces", []) if "path" in each]
        if self.golden.user or joins_user:
            linux["namespaces"].append({"type": "user"})
            first = UID if self.golden.user else FIRST
            mapping = {"containerID": 0, "hostID": first, "size": 1 if self.golden.user else 65536}
            linux |= {"uidMappings": [mapping], "gidMappings": [mapping]}
        if joins_user:
            for path in (self.b.path, self.b.rootfs, *self.b.rootfs.rglob("*")):
                os.chown(path, FIRST, FIRST, follow_symlinks=False)
        if self.place is not None:
            linux["cgroupsPath"] = f"/{self.place.path}{'/beside' if unified() else ''}"
            linux["resources"] = {"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 500}}
        process = {"cwd": "/", "args": ["sleep", "1000"], "env": ["PATH=/bin"]}
        self._save({"ociVersion": "1.3.0", "process": process, "root": {"path": "rootfs"}, "linux": linux})
        told = self.failing("run", self.options(self.neighbour, detach=True))
        assert told["status"] == 0, told

    def _save(self, config: dict[str, Any]) -> None:
        self.b.config = config
        self.b.save()

    def options(self, name: str, **more: Any) -> dict[str, Any]:
        """Return the options of a verb that makes container NAME."""
        return {"id": name, "root": str(self.runtime.root), "bundle": str(self.b.path), **more}

    def cgroup(self) -> str:
        """Return the cgroup that the golden container gets; an ordinary user's has none, and systemd's is in its own slice."""
        if "systemd_cgroup" in self.golden.options():
            return f"system.slice:engine:{self.name}"
        return "" if self.place is None else f"/{self.place.path}/parent/{self.name}"

    def save(self) -> None:
        """Save the golden configuration; the mount namespace that it joins is a new one each time."""
        if self.holder is not None:
            self.holder.close()
        document = json.dumps(self.golden.document())
        self.holder = Holder() if "/proc/42/ns/mnt" in document else None
        mounts_of = self.holder.process.pid if self.holder is not None else 0
        self._save(self.local.config(self.cgroup(), mounts_of, str(self.directory / "agent")))

    def _once(self) -> dict[str, list[str]]:
        """Let the golden plan work once; return the names of its ops."""
        self.save()
        if self.golden.is_exec:
            (self.b.path / "process.json").write_text(json.dumps(self.local.process()))
            told = self.failing("create", self.options(self.name))
            assert told["status"] == 0, told
        told = self.attempt()
        assert told["status"] == 0, told
        if not self.golden.is_exec:
            self._by_its_owner("delete", "--force", self.name)
            if "mount" not in [each["type"] for each in self.b.linux["namespaces"]]:
                self.failing.unmount(self.b.rootfs)
        self.known = keeper.left()
        wait_for(self.settled, lambda: [keeper.shown(pid) for pid in keeper.left()], what="all of its one life to end")
        return told["calls"]  # type: ignore[no-any-return]

    def settled(self) -> bool:
        """Return whether nothing is left but who stays; exec's process ends by itself."""
        here = {self.pid, self.failing.process.pid}
        here |= {self.holder.process.pid} if self.holder is not None else set()
        here |= {self._init(self.name)} if self.golden.is_exec else set()
        self.known = keeper.left()
        return self.known <= here | self.others

    others: frozenset[int] = frozenset()

    def attempt(self, column: str = "", place: int = 0) -> dict[str, Any]:
        """Try it, with the op that fails at PLACE of COLUMN."""
        document = self.b.config if not self.golden.is_exec else {"process": self.local.process()}
        more: dict[str, Any] = {**self.golden.options(), "detach": True}
        if document["process"].get("terminal"):
            more["console_socket"] = str(self.directory / "console")
        if self.golden.is_exec:
            options = {"id": self.name, "root": str(self.runtime.root), "process": str(self.b.path / "process.json")}
            return self.failing("exec", {**options, **more}, column, place)
        return self.failing("run", self.options(self.name, **more), column, place)

    def looks(self) -> dict[str, Any]:
        """Return what there is to be seen of the machine, and of the containers on it."""
        root = self.runtime.root
        states = [root / name for name in sorted(os.listdir(root)) if not name.startswith(".")]
        return {
            "cgroups": self.place.looks() if self.place is not None else {},  # an ordinary user may make none
            "unit": self.unit(),
            "states": {str(path): path.read_bytes() for each in states for path in each.iterdir() if path.is_file()},
            # Of the machine's only what is about us: others mount and unmount too.
            "mounts of all": [line for line in mounts().values() if str(self.directory) in line],
            "mounts where it was called": self.failing.mounts(),
            "mounts of the neighbour": Path(f"/proc/{self.pid}/mountinfo").read_text(),
            "network of the neighbour": [line.split(":")[0] for line in Path(f"/proc/{self.pid}/net/dev").read_text().splitlines()],
            "network": [line.split(":")[0] for line in Path(f"/proc/{self.failing.process.pid}/net/dev").read_text().splitlines()],
            "neighbour": Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[19],
            "name": os.uname().nodename,
            "bundle": sorted(str(path) for path in self.b.path.rglob("*")),
        }

    def unit(self) -> str:
        """Return what systemd says of the container's scope, "" where it has none."""
        if "systemd_cgroup" not in self.golden.options():
            return ""
        words = ["systemctl", "show", f"engine-{self.name}.scope", "--property=LoadState,ActiveState"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout + str(cgroup_directories(f"engine-{self.name}.scope"))

    def fails_at(self, column: str, place: int) -> None:
        """Let the op at PLACE of COLUMN fail, and look."""
        where = f"{self.golden}: {column} {place}, before {[*self.calls[column], 'the end'][place]}"
        if self.holder is not None:
            self.save()
            self.known = keeper.left()
        told = self.attempt(column, place)
        said = told["said"]
        assert told["status"] == 1, (where, told)
        loaded = set(self.calls[column][:place]) & set(LOADED)
        assert "chdir" in said or loaded, (where, said)
        assert "\n" not in said, (where, said)
        wait_for(lambda: keeper.left() <= self.known, lambda: [keeper.shown(pid) for pid in keeper.left() - self.known], WAIT / 2, what=where)
        assert keeper.left() == self.known, where
        found, here = self.looks(), "mounts where it was called"
        before = {**self.before, here: [line for line in self.before[here] if line in found[here] or self.failing.has_place(line)]}
        assert found == before, (where, [key for key in found if found[key] != before[key]], differences(before, found))

    def places(self) -> list[tuple[str, int]]:
        """Return every place where an op can fail: before each op, and at the end of the host's."""
        return [(side, place) for side in ("host", "child") for place in range(len(self.calls[side]) + (side == "host"))]

    def close(self) -> None:
        """End it all, the container in the neighbour's cgroup first."""
        if (self.runtime.root / self.name).exists():
            self._by_its_owner("delete", "--force", self.name)
        subprocess.run(["chown", "-R", "0:0", str(self.runtime.root)], check=True)
        self.runtime.close()
        self.failing.close()
        for each in self.listeners:
            each.close()
        if self.holder is not None:
            self.holder.close()
        if self.place is not None:
            self.place.close()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs, in short; of lists what one has and the other has not."""
    found = []
    for key, value in before.items():
        old, new = value, after[key]
        if isinstance(old, list):
            old, new = [each for each in old if each not in new], [each for each in new if each not in old]
        if value != after[key]:
            found.append(f"{key}: {str(old)[-1000:]} -> {str(new)[-1000:]}")
    return found


def try_places(golden: Golden, runtime: Runtime, bundle: Bundles, tmp_path: Path, chosen: random.Random | None) -> int:
    """Let ops of GOLDEN's plan fail, all or those that are CHOSEN by chance; return how many."""
    if golden.user:
        interpreter_readable(runtime.binary)
    Scene.others = frozenset(keeper.left())
    scene = Scene(golden, runtime, bundle, tmp_path)
    try:
        scene.begin()
        places = scene.places()
        if chosen is not None:
            places = sorted({place for side in ("host", "child") for place in some(chosen, [each for each in places if each[0] == side])})
        for column, place in places:
            scene.fails_at(column, place)
        return len(places)
    finally:
        scene.close()


def some(chosen: random.Random, places: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return chosen.sample(places, min(PLACES, len(places)))


@pytest.mark.slow_vm
@pytest.mark.skipif(not EVERY, reason="PYRUNC_EVERY_OP=1 tries them all")
@pytest.mark.parametrize("golden", list(all_of_them()), ids=str)
def test_every_op_of_a_golden_plan_fails(runtime: Runtime, bundle: Bundles, tmp_path: Path, golden: Golden) -> None:
    if reason := not_here(golden):
        pytest.skip(reason)
    print(try_places(golden, runtime, bundle, tmp_path, None), "ops")


SEED = int(os.environ.get("PYRUNC_SEED", random.randrange(1 << 32)))
HERE = [golden for golden in all_of_them() if not not_here(golden)]


@pytest.mark.slow_vm
@pytest.mark.parametrize("number", range(PLANS))
def test_some_ops_of_some_golden_plans_fail(runtime: Runtime, bundle: Bundles, tmp_path: Path, number: int) -> None:
    golden = random.Random(SEED).sample(HERE, PLANS)[number]
    print(f"PYRUNC_SEED={SEED}: {golden}")
    assert try_places(golden, runtime, bundle, tmp_path, random.Random(SEED + number)) >= PLACES
