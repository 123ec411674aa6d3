"""The runtime dies at any moment, or its caller does, or the disk is full: what can be said, and cleaned up, afterwards.

Beside each container whose commands are killed is a neighbour over the same bundle, with the cgroup above: it is unhurt.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness import keeper
from integration.harness.beside import Beside
from integration.harness.crash import Call, Victim, every, log_path
from integration.harness.failures import fails
from integration.harness.leaks import cgroup_directories, mounts
from integration.harness.runtime import wait_for
from integration.looking import mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

STEP = 7  # of the system calls of a sweep, every one of these
SECONDS = 10
TRUE = {"path": "/bin/true"}
FIFO = {"path": "/bin/sh", "args": ["sh", "-c", "touch WHERE/up; while test -e WHERE/up; do sleep 0.05; done"]}
INSIDE = {"path": "/bin/true", "args": ["true"]}

only = pytest.mark.pyrunc_only("what is tried here goes by pyrunc's own steps")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[str]:
    """Return the path of a console socket that takes every terminal, and looks at none."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "console"))
    listener.listen(1000)
    yield str(tmp_path / "console")
    listener.close()


def everything(b: Bundle) -> Bundle:
    """Let B use all that has a barrier, or leaves something: a user namespace, a terminal, limits, every hook."""
    mapped(b)
    b.process["terminal"] = True
    b.linux["resources"] = {"pids": {"limit": 100}, "memory": {"limit": 1 << 28}}
    b.mount("/mnt", "tmpfs", "tmpfs", "nosuid")
    outside = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    b.config["hooks"] = {**{kind: [TRUE] for kind in outside}, "startContainer": [INSIDE]}
    return b


class Crashes:
    """Kills commands on containers like one bundle, and looks at what stays each time."""

    def __init__(self, runtime: Runtime, b: Bundle, console: str) -> None:
        """Prepare one id, which all its containers have in turn, and start a neighbour over the same bundle."""
        self.runtime, self.victim = runtime, Victim(runtime)
        self.beside, self.name = Beside(runtime, b), runtime.new_id()
        b.linux["cgroupsPath"] = self.beside.path(self.name)
        b.save()
        socket_words = ("--console-socket", console) if b.process["terminal"] else ()
        log = ("--log", str(log_path(runtime)))
        self.create = (*log, "create", "--bundle", str(b.path), *socket_words, self.name)
        self.processes, self.mounts = keeper.left(), set(mounts())
        self.again()  # the first time, each command keeps its precompiled image: the next ones make other system calls

    def make(self, *, start: bool = False, stop: bool = False) -> None:
        """Make the container, up to the state that is to be left."""
        done = self.runtime(*self.create, check=False, stdout=-3, stderr=-3)
        assert done.returncode == 0, log_path(self.runtime).read_text()
        assert self.status() == "created"
        if start or stop:
            self.runtime("start", self.name)
        if stop:
            self.runtime.end(self.name)

    def status(self) -> str:
        """Return the container's status, or "" if `state` says that there is none; nothing else may it say."""
        done = self.runtime("state", self.name, check=False)
        if done.returncode:
            assert done.stderr.startswith("pyrunc state failed: container does not exist (there is no ")
            return ""
        state = json.loads(done.stdout)
        alive = state["status"] in ("created", "running")
        assert alive == (state["pid"] > 0 and keeper.running(state["pid"])), state
        return str(state["status"])

    def init(self) -> set[int]:
        """Return the pid of the container's init as a set, empty if there is none."""
        done = self.runtime("state", self.name, check=False)
        pid = json.loads(done.stdout)["pid"] if done.returncode == 0 else 0
        return {pid} - {0}

    def check(self, where: object, expected: tuple[str, ...]) -> None:
        """After a crash: look at the state and the processes, delete by force, and see that nothing stays."""
        wait_for(lambda: self.left() <= self.init(), self.shown, SECONDS, what=f"{where}: processes to end")
        assert self.status() in expected, where
        self.runtime("delete", "--force", self.name)
        assert self.status() == "", where
        self.nothing(where)

    def nothing(self, where: object) -> None:
        """Look that nothing of the container is there."""
        assert not (self.runtime.root / self.name).exists(), where
        assert not cgroup_directories(self.name), where
        assert not cgroup_directories(f"{self.name}-parent"), where
        wait_for(lambda: not self.left(), self.shown, SECONDS, what=f"{where}: processes to go")
        wait_for(lambda: not set(mounts()) - self.mounts, f"{where}: mounts to go", SECONDS)
        self.beside.unhurt(where)

    def left(self) -> set[int]:
        """Return the processes that are there and were not."""
        return keeper.left() - self.processes

    def shown(self) -> list[str]:
        """Return those for a message."""
        return [keeper.shown(pid) for pid in self.left()]

    def sweep(self, calls: list[Call], words: tuple[str, ...], before: Callable[[], Any], expected: tuple[str, ...]) -> None:
        """Kill WORDS at each of CALLS, after BEFORE has been called."""
        killed = 0
        for call in calls:
            before()
            killed += self.victim.kill_at(call, *words)
            self.check(call, expected)
        # How often something is waited for differs from run to run, so a late call may not come.
        assert killed >= len(calls) * 0.8, f"{killed} of {len(calls)} were killed"

    def again(self) -> None:
        """Live a whole life, as one does before anything has happened to the id, and as it must be possible afterwards."""
        self.make(start=True)
        assert self.status() == "running"
        self.runtime.exec(self.name, "true")
        self.runtime.end(self.name)
        self.runtime("delete", self.name)
        self.nothing("a whole life")


@pytest.fixture
def crashes(runtime: Runtime, bundle: Bundles, console: str) -> Iterator[Crashes]:
    """Return crashes of a container that has everything."""
    made = Crashes(runtime, everything(bundle()), console)
    yield made
    runtime("delete", "--force", made.name)
    made.beside.close()


def barriers(crashes: Crashes, b: Path) -> list[str]:
    """Return the barriers of the bundle B, in order, as the plan has them."""
    document = json.loads(crashes.runtime("plan", "--json", str(b)).stdout)
    names = [op["text"].partition('"')[2].partition('"')[0] for op in document["host"] if op["call"] == "barrier"]
    assert names == [op["text"].partition('"')[2].partition('"')[0] for op in document["child"] if op["call"] == "barrier"]
    return names


def crossings(crashes: Crashes) -> list[tuple[str, Call, Call, Call]]:
    """Return each barrier of create: its name, and the calls that wait for the child there, that let it go, and the last before.

    One create is watched for this, and deleted again.
    """
    names = barriers(crashes, Path(crashes.create[crashes.create.index("--bundle") + 1]))
    calls = crashes.victim.calls(*crashes.create)
    crashes.runtime("delete", "--force", crashes.name)
    waits = {name: next(call for call in calls if call.name == "recvmsg" and f'"A{name}"' in call.line) for name in names}
    goes = [call for call in calls if call.name == "write" and '"G"' in call.line]
    assert len(goes) == len(names)
    before = [calls[calls.index(go) - 1] for go in goes]
    return [(name, waits[name], go, last) for name, go, last in zip(names, goes, before, strict=True)]


@only
@pytest.mark.slow_vm
def test_killed_at_each_barrier(crashes: Crashes) -> None:
    found = crossings(crashes)
    assert [name for name, *_ in found][-1] == "ready"
    assert {"idmap", "console", "hooks"} <= {name for name, *_ in found}
    for name, wait, go, _ in found:
        for moment, call in (("waiting for", wait), ("letting go from", go)):
            assert crashes.victim.kill_at(call, *crashes.create)
            crashes.check(f"{moment} {name}", ("creating", "stopped"))
    crashes.again()


@only
@pytest.mark.slow_vm
def test_init_killed_at_each_barrier(crashes: Crashes) -> None:
    for name, _, _, last in crossings(crashes):
        log_path(crashes.runtime).unlink()
        stopped = crashes.victim.stop_at(last, *crashes.create)
        init = stopped.init()
        os.kill(init, signal.SIGKILL)
        wait_for(lambda pid=init: not keeper.running(pid), f"{name}: the init to die", SECONDS)
        os.kill(stopped.pid, signal.SIGCONT)
        _, said = stopped.strace.communicate(timeout=SECONDS * 6)
        assert stopped.strace.returncode == 1, name
        assert said.count("\n") == 1, said
        assert "the container's init was killed by signal 9 " in said, said
        # With nothing to do for the host there, it is stopped while it waits for the child, which may not be there yet.
        assert f" while it waited at {name}" in said or f" before it reached {name}" in said, said
        assert crashes.status() == ""
        crashes.nothing(name)
    crashes.again()


def from_reserved(crashes: Crashes, verb: tuple[str, ...]) -> list[Call]:
    """Run VERB under strace and return its system calls, from the first that touches the container's directory on."""
    return crashes.victim.calls(*verb, after=f"{crashes.runtime.root}/{crashes.name}")


def sweep_create(crashes: Crashes, most: int) -> None:
    calls = every(from_reserved(crashes, crashes.create), STEP, most)
    crashes.runtime("delete", "--force", crashes.name)
    crashes.sweep(calls, crashes.create, lambda: None, ("", "creating", "created", "stopped"))
    crashes.again()


@only
@pytest.mark.slow_vm
def test_create_killed_anywhere(crashes: Crashes) -> None:
    sweep_create(crashes, 12)


@only
def test_create_killed_in_some_places(crashes: Crashes) -> None:
    sweep_create(crashes, 2)


def sweep_start(crashes: Crashes, most: int) -> None:
    crashes.make()
    verb = ("start", crashes.name)
    calls = every(from_reserved(crashes, verb), 2, most)
    crashes.runtime("delete", "--force", crashes.name)

    def started_or_not(where: Call) -> None:
        """Look that what is called created can be started, and what is called running does run."""
        pid = crashes.runtime.pid(crashes.name)
        if crashes.status() == "created":
            crashes.runtime("start", crashes.name)
        wait_for(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes(), f"{where}: the program to run", SECONDS)

    for call in calls:
        crashes.make()
        crashes.victim.kill_at(call, *verb)
        started_or_not(call)
        crashes.check(call, ("running",))


@only
@pytest.mark.slow_vm
def test_start_killed_anywhere(crashes: Crashes) -> None:
    sweep_start(crashes, 8)


@only
@pytest.mark.slow_vm
def test_start_killed_in_some_places(crashes: Crashes) -> None:
    sweep_start(crashes, 2)


def sweep_delete(crashes: Crashes, most: int, *force: str) -> None:
    stop = not force
    crashes.make(start=True, stop=stop)
    verb = ("delete", *force, crashes.name)
    calls = every(from_reserved(crashes, verb), STEP, most)
    crashes.sweep(calls, verb, lambda: crashes.make(start=True, stop=stop), ("", "stopped", "running"))


@only
@pytest.mark.slow_vm
def test_delete_killed_anywhere(crashes: Crashes) -> None:
    sweep_delete(crashes, 6)


@only
@pytest.mark.slow_vm
def test_delete_by_force_killed_anywhere(crashes: Crashes) -> None:
    sweep_delete(crashes, 5, "--force")


@only
@pytest.mark.slow_vm
def test_delete_killed_in_some_places(crashes: Crashes) -> None:
    sweep_delete(crashes, 2)
    sweep_delete(crashes, 1, "--force")


def sweep_exec(crashes: Crashes, most: int) -> None:
    """What exec has added may live on, or not; the container does, and goes as a whole."""
    crashes.make(start=True)
    verb = ("exec", crashes.name, "true")
    calls = every(from_reserved(crashes, verb), STEP, most)
    killed = 0
    for call in calls:
        killed += crashes.victim.kill_at(call, *verb)
        wait_for(lambda: crashes.left() == crashes.init(), crashes.shown, SECONDS, what=f"{call}: processes to end")
        assert crashes.status() == "running"
    assert killed >= len(calls) * 0.8
    assert crashes.runtime.exec(crashes.name, "echo", "well").stdout == "well\n"
    crashes.runtime("delete", "--force", crashes.name)
    crashes.nothing("after exec")


@only
@pytest.mark.slow_vm
def test_exec_killed_anywhere(crashes: Crashes) -> None:
    sweep_exec(crashes, 12)


@only
@pytest.mark.slow_vm
def test_exec_killed_in_some_places(crashes: Crashes) -> None:
    sweep_exec(crashes, 2)


# The caller dies


def create_that_hangs(runtime: Runtime, b: Bundle) -> tuple[str, subprocess.Popen[bytes], Path]:
    """Begin to create B, which hangs in a hook until the file that is returned is gone."""
    up = b.path / "up"
    hook = {**FIFO, "env": ["PATH=/usr/bin:/bin"]}
    hook["args"] = [word.replace("WHERE", str(b.path)) for word in FIFO["args"]]
    b.config["hooks"] = {"createRuntime": [hook]}
    name = runtime.prepare(b)
    argv = runtime.argv("create", "--bundle", str(b.path), name)
    process = subprocess.Popen(argv, stdin=-3, stdout=-3, stderr=-3, start_new_session=True)
    wait_for(up.exists, "the hook to run")
    return name, process, up


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_create_in_a_hook(runtime: Runtime, bundle: Bundles, number: signal.Signals) -> None:
    """What the death of a terminal, an impatient engine or its crash does to a create."""
    name, process, up = create_that_hangs(runtime, bundle())
    if runtime.name == "pyrunc":
        assert json.loads(runtime("state", name).stdout)["status"] == "creating"
    process.send_signal(number)
    up.unlink()  # a hook is the caller's: it is not killed with the runtime
    status = process.wait(SECONDS)
    if runtime.name == "pyrunc":
        assert status != 0
        if number != signal.SIGKILL:
            assert not (runtime.root / name).exists()  # it has cleaned up by itself
            assert not cgroup_directories(name)
    runtime("delete", "--force", name, check=False)
    if runtime.name == "runc":  # killed, 1.1 has written nothing down by then, and leaves what it has made
        for directory in cgroup_directories(name):
            wait_for(lambda place=directory: removed(place), f"{directory} to be empty", SECONDS)
    assert not cgroup_directories(name)
    assert runtime("state", name, check=False).returncode == 1


def removed(directory: str) -> bool:
    """Try to remove a cgroup; return whether it is gone."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@only
def test_nobody_reads_what_create_says(runtime: Runtime, bundle: Bundles) -> None:
    """A failed create whose standard streams are broken pipes cleans up all the same, and its status tells."""
    b = bundle("no-such-program")
    name = runtime.prepare(b)
    reader, writer = os.pipe()
    os.close(reader)
    done = runtime("create", "--bundle", str(b.path), name, check=False, stdout=writer, stderr=writer)
    os.close(writer)
    assert done.returncode == 1
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)


@only
def test_nobody_reads_what_state_says(runtime: Runtime, bundle: Bundles) -> None:
    name = runtime.create(bundle())
    for words in (("state", name), ("list",), ("ps", name)):
        reader, writer = os.pipe()
        os.close(reader)
        done = runtime(*words, check=False, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
    assert runtime.status(name) == "created"


# The state directory


def mounted(where: Path, *options: str) -> None:
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(where)], check=True)


@pytest.fixture
def elsewhere(runtime: Runtime, tmp_path: Path) -> Iterator[Path]:
    """Return where a test may mount a small file system for the state; the runtime's own root is used again afterwards."""
    usual, runtime.root = runtime.root, tmp_path / "small"
    yield runtime.root
    runtime.close()
    runtime.root = usual
    subprocess.run(["umount", "-q", str(tmp_path / "small")], check=False)


@only
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_full_disk(runtime: Runtime, bundle: Bundles, elsewhere: Path, pages: int) -> None:
    mounted(elsewhere, f"size={pages * 4}k")
    (elsewhere / ".filler").write_bytes(b"x" * 4096)
    said = fails(runtime, bundle())
    assert "no space left on device" in said, said
    assert str(elsewhere) in said, said
    (elsewhere / ".filler").unlink()
    assert not [entry for entry in os.listdir(elsewhere) if not entry.startswith(".seccomp")]


@only
@pytest.mark.parametrize("inodes", range(2, 8))
def test_no_inodes_left(runtime: Runtime, bundle: Bundles, elsewhere: Path, inodes: int) -> None:
    mounted(elsewhere, f"nr_inodes={inodes}")
    b = bundle()
    b.linux.pop("seccomp", None)
    name = runtime.prepare(b)
    log = runtime.directory / "log"
    done = runtime("--log", str(log), "create", "--bundle", str(b.path), name, check=False, stdout=-3, stderr=-3)
    if done.returncode == 0:
        runtime("delete", "--force", name)
    else:
        said = log.read_text()
        assert "no space left on device" in said, said
        assert str(elsewhere) in said, said
        assert said.count("level=error") == 1, said
    assert not os.listdir(elsewhere)
    assert not cgroup_directories(name)


def test_a_read_only_state_directory(runtime: Runtime, bundle: Bundles, elsewhere: Path) -> None:
    mounted(elsewhere, "ro")
    said = fails(runtime, bundle())
    assert "read-only file system" in said, said


def test_a_state_directory_that_is_a_file(runtime: Runtime, bundle: Bundles, elsewhere: Path) -> None:
    elsewhere.write_text("I am a file")
    b = bundle()
    name = runtime.prepare(b)
    said = runtime.refuses("create", "--bundle", str(b.path), name)
    assert "not a directory" in said, said
    for words in (("state", name), ("start", name), ("delete", name)):
        said = runtime.refuses(*words)
        assert ".py" not in said, said
    assert elsewhere.read_text() == "I am a file"
    elsewhere.unlink()


@only
def test_a_full_disk_leaves_the_others_alone(runtime: Runtime, bundle: Bundles, elsewhere: Path) -> None:
    """A container that is there already can be looked at, started, killed and deleted on a full disk."""
    mounted(elsewhere, "size=256k")
    name = runtime.create(bundle())
    with pytest.raises(OSError, match="No space left"):
        (elsewhere / ".filler").write_bytes(bytes(1 << 20))
    other = bundle()
    second = runtime.prepare(other)
    said = runtime.refuses("create", "--bundle", str(other.path), second)
    assert "no space left on device" in said, said
    assert not (runtime.root / second).exists()
    assert not cgroup_directories(second)
    runtime("start", name)
    assert runtime.exec(name, "echo", "here").stdout == "here\n"
    runtime("pause", name)
    runtime("resume", name)
    runtime.end(name)
    runtime("delete", name)
