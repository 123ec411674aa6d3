"""What runs out, vanishes or stands still around the installed program; one function for each such thing.

Every case is a name and a function of the scene that lets a command meet it and returns how that has ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from integration.faults.scene import Said, Wrong, children, hierarchies, wait_for
from integration.faults.verbs import BY_NAME
from integration.harness.silent import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integration.faults.scene import Scene

DESCRIPTORS = range(3, 65)
ADDRESS_SPACE = range(1, 129, 3)  # MiB
MEMORY = (1, 2, 3, 4, 6, 8, 12, 16, 24)  # MiB of a cgroup for the runtime itself
PIDS = range(5)
PAGES, INODES = range(1, 13), range(2, 14)
MAKING = ("create", "run", "start", "exec")
ALL = (*MAKING, "delete", "delete --force", "kill", "pause", "resume", "update", "state", "list", "ps")


class Scarce(NamedTuple):
    """One case: what is said of it, the command, and what is done; `words` are those that a refusal must have one of."""

    name: str
    verb: str
    does: Callable[[Scene], Said | None]  # None: it has looked itself
    words: tuple[str, ...] = ()


def run(scene: Scene, case: Scarce) -> None:
    """Let CASE happen, and look at what is true afterwards.  Raises Wrong."""
    verb = BY_NAME[case.verb]
    try:
        verb.before(scene)
        said = case.does(scene)
        if said is not None:
            _after(scene, case, said)
        scene.goes()
        scene.untouched()
    finally:
        scene.prefix = ()


def _after(scene: Scene, case: Scarce, said: Said) -> None:
    """Check what CASE has left, in which the command SAID something."""
    verb = BY_NAME[case.verb]
    if said.status is None:
        raise Wrong("it hangs")
    if said.status == -signal.SIGKILL:  # by the kernel, for lack of memory; its container may be half made
        scene.truth()
    elif said.status == -signal.SIGSEGV and "addresses" in case.name and not said.err:
        scene.truth()  # so the kernel ends a program that there is no room to map (execve(2))
    elif said.status == 0:
        verb.worked(scene, said)
    else:
        if said.status != 130 or said.err:
            scene.clear(said, "")
        if case.words and not any(word in said.err.lower() for word in case.words):
            raise Wrong(f"it does not name the cause, any of {case.words}: {said.err!r}")
        status = scene.truth()
        if status not in verb.refused:
            raise Wrong(f"it says that it has not worked, and the container is {status!r}: {said}")
        if not status:
            scene.nothing()


def cases(scene: Scene) -> Iterator[Scarce]:
    """Return all cases on SCENE."""
    for group in (descriptors, address_space, memory, pids, full_disk, no_inodes, no_rootfs, hanging, frozen, clock):
        yield from (case for case in group() if scene.kind in BY_NAME[case.verb].kinds)


def _limited(verb: str, which: int, value: int) -> Callable[[Scene], Said]:
    """Return what runs VERB with a limit."""

    def does(scene: Scene) -> Said:
        def limit() -> None:
            resource.setrlimit(which, (value, resource.getrlimit(which)[1]))

        return scene(*BY_NAME[verb].words(scene), before=limit)

    return does


def descriptors() -> Iterator[Scarce]:
    """Every limit of descriptors from 3 on."""
    for verb in ALL:
        for number in DESCRIPTORS if verb in MAKING else DESCRIPTORS[:24]:
            yield Scarce(f"{verb} with {number} descriptors", verb, _limited(verb, resource.RLIMIT_NOFILE, number), ("too many open files",))


def address_space() -> Iterator[Scarce]:
    """No memory, as RLIMIT_AS says."""
    for verb in (*MAKING, "delete", "kill", "state"):
        for size in ADDRESS_SPACE:
            yield Scarce(f"{verb} with {size} MiB of addresses", verb, _limited(verb, resource.RLIMIT_AS, size << 20))


def _controller(name: str) -> Path:
    """Return where cgroups of controller NAME are made."""
    found = [top for top in hierarchies() if name in (top / "cgroup.controllers").read_text().split()] if _v2() else []
    return found[0] if found else Path("/sys/fs/cgroup") / name


def _v2() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


@contextlib.contextmanager
def _cgroup(scene: Scene, controller: str, files: dict[str, str]) -> Iterator[Path]:
    """Make a cgroup for the runtime itself, with what FILES say."""
    path = _controller(controller) / f"{scene.cgroup}-runtime"
    path.mkdir()
    try:
        for name, value in files.items():
            if (path / name).exists():
                (path / name).write_text(value)
        yield path
    finally:
        for pid in (path / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: not scene.reap() and _removed(path), "the runtime's cgroup to be empty")


def _removed(path: Path) -> bool:
    """Try to remove a cgroup; return whether it is gone."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _held(verb: str, controller: str, files: dict[str, str]) -> Callable[[Scene], Said]:
    """Return what runs VERB in a cgroup with what FILES say."""

    def does(scene: Scene) -> Said:
        with _cgroup(scene, controller, files) as path:

            def join() -> None:
                (path / "cgroup.procs").write_text(str(os.getpid()))

            words = BY_NAME[verb].words(scene)
            return scene(*words, before=join)

    return does


def memory() -> Iterator[Scarce]:
    """No memory, as the runtime's own cgroup says."""
    for verb in (*MAKING, "delete", "kill"):
        for size in MEMORY:
            text = str(size << 20)
            files = {"memory.limit_in_bytes": text, "memory.max": text, "memory.swap.max": "0"}
            yield Scarce(f"{verb} with {size} MiB of memory", verb, _held(verb, "memory", files))


def pids() -> Iterator[Scarce]:
    """No processes, as the runtime's own cgroup says."""
    for verb in (*MAKING, "delete", "delete --force", "kill"):
        for number in PIDS:
            does = _held(verb, "pids", {"pids.max": str(number + 1)})
            yield Scarce(f"{verb} with {number} processes more", verb, does, ("resource temporarily unavailable", "pids"))


class _Namespace:
    """A mount namespace of its own, held by a process, in which commands run until it is left."""

    def __init__(self, scene: Scene, script: str) -> None:
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{script} && echo ready && exec sleep 1000"]
        self.scene = scene
        self.holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != "ready\n":
            raise Wrong(f"no mount namespace: {script}")
        scene.known = scene.known | {self.holder.pid}
        scene.prefix = ("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--")

    def leave(self) -> None:
        """End it."""
        self.scene("delete", "--force", self.scene.id)
        self.scene.prefix = ()
        self.holder.kill()
        self.holder.wait()


def _small(verb: str, option: str, *, fill: bool) -> Callable[[Scene], None]:
    """Return what runs VERB with its state on a tmpfs with OPTION; FILL: once what is before it is done, the rest is taken."""

    def does(scene: Scene) -> None:
        # Only what is made in the namespace lies on the small disk, so what comes before is done there too.
        scene.goes()
        space = _Namespace(scene, f"mount -t tmpfs -o {option} none {scene.root}")
        try:
            BY_NAME[verb].before(scene)
            if fill:
                filler = f"i=0; while : >{scene.root}/.filler$i; do i=$((i+1)); done 2>/dev/null; dd if=/dev/zero of={scene.root}/.filler0 2>/dev/null"
                subprocess.run([*scene.prefix, "sh", "-c", filler], check=False)
            said = scene(*BY_NAME[verb].words(scene))
            _after(scene, Scarce("", verb, does, ("no space left on device",)), said)
            scene.goes()
        finally:
            space.leave()

    return does


def full_disk() -> Iterator[Scarce]:
    """No room under --root."""
    for verb in ("create", "run"):
        for pages in PAGES:
            yield Scarce(f"{verb} with {pages} pages of disk", verb, _small(verb, f"size={pages * 4}k", fill=False))
    for verb in ("start", "exec", "delete", "delete --force", "kill", "pause", "resume", "update", "state", "list", "ps"):
        yield Scarce(f"{verb} on a full disk", verb, _small(verb, "size=256k,nr_inodes=40", fill=True))


def no_inodes() -> Iterator[Scarce]:
    """No inodes under --root."""
    for verb in ("create", "run"):
        for number in INODES:
            yield Scarce(f"{verb} with {number} inodes", verb, _small(verb, f"nr_inodes={number}", fill=False))


def _without_rootfs(verb: str, hook: str) -> Callable[[Scene], Said]:
    """Return what runs VERB while HOOK, or before VERB nobody, takes the rootfs away."""

    def does(scene: Scene) -> Said:
        gone = scene.bundle / "gone"
        # A bundle that is busy as a mount point, in the new process's namespace, can be renamed (rename(2) of the host's).
        script = f"mv {scene.rootfs} {gone}"
        usual = scene.config["hooks"]
        try:
            if hook:
                scene.config["hooks"] = {hook: [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}]}
                scene.save()
            else:
                subprocess.run(["sh", "-c", script], check=True)
            return scene(*BY_NAME[verb].words(scene))
        finally:
            scene.config["hooks"] = usual
            scene.save()
            if gone.exists():
                gone.rename(scene.rootfs)

    return does


def no_rootfs() -> Iterator[Scarce]:
    """The rootfs goes half-way."""
    for verb in ("create", "run"):
        for hook in ("prestart", "createRuntime", "createContainer"):
            yield Scarce(f"{verb}, whose rootfs a {hook} hook takes away", verb, _without_rootfs(verb, hook))
    for verb in ALL:
        if verb not in ("create", "run"):
            yield Scarce(f"{verb} without the rootfs", verb, _without_rootfs(verb, ""))
    for verb in ("create", "run"):
        yield Scarce(f"{verb} without a rootfs", verb, _without_rootfs(verb, ""))


def _hangs(verb: str, number: int) -> Callable[[Scene], Said]:
    """Return what runs VERB with a source that nobody answers for, and sends it signal NUMBER (0: deletes by force)."""

    def does(scene: Scene) -> Said:
        place = scene.path / "silent"
        place.mkdir(exist_ok=True)
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", SERVER, str(place)]
        server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdin is not None
        if server.stdout.readline() != b"mounted\n":
            raise Wrong("no FUSE")
        scene.known = scene.known | {server.pid}
        scene.prefix = ("nsenter", f"--mount=/proc/{server.pid}/ns/mnt", "--")
        usual = scene.config["mounts"]
        hangs = {"destination": "/mnt/hangs", "type": "bind", "source": str(place / "sub"), "options": ["bind"]}
        scene.config["mounts"] = [*usual, hangs]
        scene.save()
        try:
            return _ended(scene, BY_NAME[verb].words(scene), number)
        finally:
            scene.config["mounts"] = usual
            scene.save()
            scene("delete", "--force", scene.id)
            scene.prefix = ()
            server.stdin.close()
            server.wait()
            server.stdout.close()

    return does


def _ended(scene: Scene, words: tuple[str, ...], number: int) -> Said:
    """Run WORDS until a process of it hangs in FUSE, and end it then."""
    ender = os.fork()
    if ender == 0:
        with contextlib.suppress(BaseException):
            parent = os.getppid()
            wait_for(lambda: _stuck(parent), "a process to hang", 10)
            if number:
                os.kill(_runtime(parent), number)
            else:
                subprocess.run([*scene.prefix, scene.binary, "--root", str(scene.root), "delete", "--force", scene.id], check=False)
        os._exit(0)
    scene.known = scene.known | {ender}
    said = scene(*words)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(ender, 0)
    return said


def _stuck(pid: int) -> list[int]:
    """Return those of the grandchildren of PID that wait for FUSE's answer."""
    found = []
    for child in children(pid):
        for one in (child, *children(child)):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{one}/wchan").read_text().startswith(("fuse", "request_wait_answer")):
                    found.append(child)
    return found


def _runtime(pid: int) -> int:
    """Return which child of PID has a process that hangs."""
    return _stuck(pid)[0]


def hanging() -> Iterator[Scarce]:
    """A source that nobody answers for."""
    if not Path("/dev/fuse").exists():
        return
    for verb in ("create", "run"):
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"):
            yield Scarce(f"{verb} that hangs gets {name}", verb, _hangs(verb, getattr(signal, name)))
        yield Scarce(f"{verb} that hangs, and delete --force", verb, _hangs(verb, 0))


def _stands_still(verb: str) -> Callable[[Scene], Said]:
    """Return what runs VERB while the cgroup above the container's is frozen."""

    def does(scene: Scene) -> Said:
        top = Path("/sys/fs/cgroup") if _v2() else Path("/sys/fs/cgroup/freezer")
        own = top / scene.cgroup / "own"
        made = not own.exists()
        if made:
            own.mkdir()
        file, still, moves = ("cgroup.freeze", "1", "0") if _v2() else ("freezer.state", "FROZEN", "THAWED")
        (own / file).write_text(still)
        try:
            return scene(*BY_NAME[verb].words(scene))
        finally:
            if (own / file).exists():
                (own / file).write_text(moves)
                if made:
                    wait_for(lambda: _removed(own), "the cgroup to be empty")

    return does


def frozen() -> Iterator[Scarce]:
    """A cgroup that somebody has frozen."""
    for verb in ("create", "run", "start", "exec", "update", "kill", "delete --force", "state", "ps"):
        yield Scarce(f"{verb} in a frozen cgroup", verb, _stands_still(verb))


def _at_another_time(verb: str, word: str) -> Callable[[Scene], Said]:
    """Return what runs VERB where the clocks since boot show something else (time_namespaces(7))."""

    def does(scene: Scene) -> Said:
        scene.prefix = ("unshare", "--time", *word.split(), "--fork", "--")
        try:
            return scene(*BY_NAME[verb].words(scene))
        finally:
            scene.prefix = ()

    return does


def clock() -> Iterator[Scarce]:
    """Clocks that were set back, or forth."""
    back = -int(time.clock_gettime(time.CLOCK_BOOTTIME) // 2)
    for verb in ALL:
        for offset in (back, 100_000):
            word = f"--boottime {offset} --monotonic {offset}"
            yield Scarce(f"{verb} with clocks {offset} s off", verb, _at_another_time(verb, word))
