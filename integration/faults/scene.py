"""A container that faults happen to, a neighbour that must not notice, and what has to be true after each fault."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from integration.harness.keeper import running, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.faults.switch import Fault, Switch

CGROUPS = Path("/sys/fs/cgroup")
PR_SET_CHILD_SUBREAPER = 36
SECONDS, TICK_MS = 20.0, 10
TRUE = {"path": "/bin/true", "args": ["true"]}
KINDS = ("plain", "mapped")
# Words that speak of us, and not of what is wrong.
OURS = re.compile(r"internal error|Traceback|\.py\b|StopIteration|KeyError|exited with status|site-packages|panic")
LIKE = {"EPERM": "EACCES", "EACCES": "EPERM"}  # what access(2) says is said in one word
ALIVE = ("created", "running", "paused")
CRIU = "Error (criu/"  # what it says on the standard error that it shares with us, if it is cut off
LOOKED_AT = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
BUSYBOX = shutil.which("busybox") or "/bin/busybox"
APPLETS = ("sh", "sleep", "true", "echo", "cat")


class Said(NamedTuple):
    """How a command has ended: its status, negative for a signal, None if it hung; and what it wrote."""

    status: int | None
    out: str
    err: str


class Wrong(AssertionError):
    """Something that must be true after a fault is not."""


def hierarchies() -> list[Path]:
    """Return where cgroups of this machine are made."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_mount() and (path / "cgroup.procs").exists()]


def children(pid: int) -> set[int]:
    """Return the children of process PID that still run."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        found = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return {child for child in found if running(child)}


def wait_for(true: Callable[[], object], what: str, seconds: float = SECONDS, found: Callable[[], object] = str) -> None:
    """Wait until TRUE() is; raise Wrong with WHAT otherwise, and what has been FOUND."""
    end, pause = time.monotonic() + seconds, 0.001
    while not true():
        if time.monotonic() > end:
            raise Wrong(f"waited {seconds} s for {what} {found()}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


class Scene:
    """One kind of container, below a directory and a cgroup of its own."""

    def __init__(self, binary: str, kind: str, switch: Switch | None = None) -> None:
        """Make its bundle, and start the neighbour."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.binary, self.kind, self.switch = binary, kind, switch
        self.path = Path(tempfile.mkdtemp(prefix="pyrunc-faults-"))
        self.path.chmod(0o755)
        self.root = self.path / "state"
        if switch is not None:
            switch.directory = str(self.path)
        self.cgroup = f"pyrunc-faults-{os.getpid()}-{kind}"
        self.id = f"faulty-{os.getpid()}"
        self.prefix: tuple[str, ...] = ()
        self.ended: dict[int, int] = {}
        self.console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.console.bind(str(self.path / "console"))
        self.console.listen(64)
        self.console.setblocking(False)
        self.bundle = self.path / "bundle"
        self.rootfs = make_rootfs(self.bundle / "rootfs")
        (self.path / "data").mkdir()
        self.config = self.configuration()
        self.save()
        self.mounts = self.mounted()
        self.neighbour = ""
        self._start_neighbour()
        self.known = children(os.getpid())
        self.before = self.looks()
        self.good: dict[str, Any] = {}

    # What there is

    def configuration(self) -> dict[str, Any]:
        """Return a configuration that has a barrier and a step of each sort that this machine allows."""
        subprocess.run([self.binary, "spec"], cwd=self.bundle, check=True)
        config: dict[str, Any] = json.loads((self.bundle / "config.json").read_text())
        linux, process = config["linux"], config["process"]
        process.update(terminal=self.kind == "mapped", args=["sleep", "1000000"], env=["PATH=/bin"])
        process["user"] = {"uid": 0, "gid": 0, "additionalGids": [5, 50], "umask": 23}
        process["oomScoreAdj"] = 100
        config["root"]["readonly"] = self.kind == "plain"
        config["mounts"] = [each for each in config["mounts"] if each["type"] != "cgroup"]
        config["mounts"] += [
            {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=1m"]},
            {"destination": "/data", "type": "bind", "source": str(self.path / "data"), "options": ["bind", "ro"]},
        ]
        outside = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
        config["hooks"] = {kind: [TRUE] for kind in (*outside, "startContainer")}
        linux["cgroupsPath"] = f"/{self.cgroup}/own"
        linux["resources"].update(pids={"limit": 100}, memory={"limit": 1 << 28}, cpu={"shares": 512})
        linux["sysctl"] = {"net.ipv4.ip_forward": "0"}
        linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct", "swapon"], "action": "SCMP_ACT_ERRNO"}],
        }
        linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]
        if self.kind == "mapped":
            linux["namespaces"].append({"type": "user"})
            for name in ("uidMappings", "gidMappings"):
                linux[name] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            for path in (self.rootfs, *self.rootfs.rglob("*")):
                os.lchown(path, 100000, 100000)
        return config

    def save(self) -> None:
        """Write the configuration."""
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def _start_neighbour(self) -> None:
        """Start a container that shares the state's root, the bundle and the cgroup above."""
        config = json.loads(json.dumps(self.config))
        config["linux"]["cgroupsPath"] = f"/{self.cgroup}/neighbour"
        config["process"]["terminal"] = False
        (self.bundle / "config.json").write_text(json.dumps(config))
        name = f"neighbour-{os.getpid()}"
        done = self("run", "--detach", "--bundle", str(self.bundle), name)
        if done.status:
            raise Wrong(f"the neighbour: {done}")
        self.neighbour = name
        self.neighbour_pid = json.loads(self("state", name).out)["pid"]
        self.save()

    def mounted(self) -> dict[str, str]:
        """Return the mounts below our directory: the id of each, and its line."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return {line.split()[0]: line for line in lines if str(self.path) in line}

    def cgroups(self) -> list[str]:
        """Return the cgroups that the container has."""
        return [str(top / self.cgroup / "own") for top in hierarchies() if (top / self.cgroup / "own").exists()]

    def looks(self) -> dict[str, Any]:
        """Return what there is to be seen of the neighbour."""
        state = self.root / self.neighbour
        pid = self.neighbour_pid
        procs = {str(top): (top / self.cgroup / "neighbour/cgroup.procs").read_text() for top in hierarchies()}
        return {
            "state": {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()},
            "running": running(pid),
            "cgroups": procs,
            "mounts": Path(f"/proc/{pid}/mountinfo").read_text(),
            "bundle": sorted(str(path) for path in self.bundle.iterdir()),
        }

    # What is done

    @property
    def create(self) -> tuple[str, ...]:
        """Return the words of `create`."""
        return ("create", "--bundle", str(self.bundle), *self._terminal(), self.id)

    @property
    def run_detached(self) -> tuple[str, ...]:
        """Return the words of `run`."""
        return ("run", "--detach", "--bundle", str(self.bundle), *self._terminal(), self.id)

    def _terminal(self) -> tuple[str, ...]:
        return ("--console-socket", str(self.path / "console")) if self.config["process"]["terminal"] else ()

    def __call__(self, *words: str, seconds: float = SECONDS, before: Callable[[], None] | None = None) -> Said:
        """Run the installed program with WORDS; BEFORE is called in the new process."""
        argv = [*self.prefix, self.binary, "--root", str(self.root), *words]

        def execute() -> None:
            if before is not None:
                before()
            os.execvp(argv[0], argv)

        return self.apart(execute, seconds)

    def injected(self, fault: Fault | None, *words: str, recording: bool = False, root: Path | None = None) -> Said:
        """Run WORDS by our own copy of pyrunc's code, with FAULT."""
        from pyrunc.cli.main import main

        assert self.switch is not None
        switch = self.switch
        switch.reset()

        def command() -> None:
            switch.begin(fault, recording=recording)
            os._exit(main(["--root", str(root or self.root), *words]))

        return self.apart(command, SECONDS)

    def apart(self, does: Callable[[], None], seconds: float) -> Said:
        """Call DOES, which does not return, in a new process; kill that after so many SECONDS."""
        out, err = (os.memfd_create(name) for name in ("out", "err"))
        pid = os.fork()
        if pid == 0:
            try:
                null = os.open("/dev/null", os.O_RDONLY)
                for fd, stream in ((null, 0), (out, 1), (err, 2)):
                    os.dup2(fd, stream)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                does()
            finally:
                os._exit(99)
        pidfd = os.pidfd_open(pid)
        watch = select.poll()
        watch.register(pidfd, select.POLLIN)
        end = time.monotonic() + seconds
        while not watch.poll(TICK_MS) and time.monotonic() < end:
            self.reap(pid)  # an init ends only after all in its namespace have been waited for
        hung = not watch.poll(0)
        if hung:
            os.kill(pid, signal.SIGKILL)
        if pid not in self.ended:
            self.ended[pid] = os.waitpid(pid, 0)[1]
        status = os.waitstatus_to_exitcode(self.ended.pop(pid))
        os.close(pidfd)
        texts = []
        for fd in (out, err):
            texts.append(os.pread(fd, 1 << 20, 0).decode(errors="replace"))
            os.close(fd)
        return Said(None if hung else status, *texts)

    def _take_terminals(self) -> None:
        """Take what was sent to the console socket, and look at none."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.console.accept()[0].close()

    def reap(self, mine: int = 0) -> None:
        """Wait for orphans that have ended; keep the status of MINE, which is none."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == mine:
                    self.ended[mine] = found[1]

    # What must be true

    def state(self) -> dict[str, Any]:
        """Return what `state` says of the container, {} if there is none; nothing else may it say."""
        done = self("state", self.id)
        if done.status == 0:
            return json.loads(done.out)  # type: ignore[no-any-return]
        if not done.err.startswith("pyrunc state failed: container does not exist (there is no ") or done.status != 1:
            raise Wrong(f"state: {done}")
        return {}

    def left(self) -> set[int]:
        """Return the processes that are there and were not."""
        self.reap()
        return children(os.getpid()) - self.known

    def shown(self) -> list[str]:
        """Return those with their command lines, for a message."""
        return [shown(pid) for pid in self.left()]

    def truth(self) -> str:
        """Check that `state` says what is so; return the status, "" if there is no container."""
        found = self.state()
        if not found:
            return ""
        init = {found["pid"]} - {0}
        wait_for(lambda: self.left() <= init, "processes to end that are not the init's", found=self.shown)
        if found["status"] in ALIVE and not running(found["pid"]):
            found = self.state()  # it may have ended since
        if found["status"] in ALIVE and not running(found["pid"]):
            raise Wrong(f"it is called {found['status']}, and there is no process {found['pid']}")
        if found["status"] == "stopped" and self.left():
            raise Wrong("it is called stopped, and runs")
        return str(found["status"])

    def said_nothing(self, said: Said) -> bool:
        """Return whether no line in SAID is ours."""
        return all(line.startswith(CRIU) for line in said.err.splitlines())

    def clear(self, said: Said, kind: str, *, warnings: bool = True) -> None:
        """Check that SAID is one clear line, which names the error of that KIND."""
        lines = [line for line in said.err.splitlines() if not line.startswith(CRIU)]
        if warnings:
            lines = [line for line in lines if ": warning: " not in line]
        if len(lines) != 1 or not said.err.endswith("\n") or not lines[0].startswith("pyrunc"):
            raise Wrong(f"not one line: {said.err!r}")
        if OURS.search(said.err):
            raise Wrong(f"a word of ours: {said.err!r}")
        import errno as codes

        words = [os.strerror(getattr(codes, each)).lower() for each in (kind, LIKE.get(kind, kind)) if each in vars(codes)]
        if words and not any(word in said.err.lower() for word in words):
            raise Wrong(f"it does not say {os.strerror(getattr(codes, kind))!r}: {said.err!r}")

    def nothing(self) -> None:
        """Check that nothing of the container is there."""
        self._take_terminals()
        if (self.root / self.id).exists():
            raise Wrong(f"state stays: {os.listdir(self.root / self.id)}")
        wait_for(lambda: not self.left(), "processes to go", found=self.shown)
        if self.cgroups():
            raise Wrong(f"cgroups stay: {self.cgroups()}")
        if self.mounted() != self.mounts:
            raise Wrong(f"mounts stay: {self.mounted()}")

    def goes(self) -> None:
        """Delete the container by force, which must work, and leave nothing."""
        done = self("delete", "--force", self.id)
        if done.status != 0 or [line for line in done.err.splitlines() if ": warning: " not in line]:
            raise Wrong(f"delete --force: {done}")
        self.nothing()

    def untouched(self) -> None:
        """Check that the neighbour is as it was."""
        now = self.looks()
        if now != self.before:
            raise Wrong(f"the neighbour has changed: {[key for key in now if now[key] != self.before[key]]}")

    def as_good(self, pid: int, what: str) -> None:
        """Check that process PID is as confined as that of an undisturbed command WHAT; the first time, remember it."""
        wait_for(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes(), f"process {pid} to run its program", 5)
        found = confined(pid)
        found["tree"] = [line.replace(self.id, "ID") for line in found["tree"]]
        good = self.good.setdefault(what, found)
        if found != good:
            different = {key: (good[key], found[key]) for key in good if found[key] != good[key]}
            raise Wrong(f"it says it has worked, and differs: {different}")

    def recover(self) -> None:
        """After a check that failed: make room for the next one."""
        for pid in self.left():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self("delete", "--force", self.id)
        shutil.rmtree(self.root / self.id, ignore_errors=True)
        for path in sorted(self.cgroups(), reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(path)

    def close(self) -> None:
        """Take all of it away."""
        self.recover()
        if self.neighbour:
            self("delete", "--force", self.neighbour)
        self.console.close()
        for top in hierarchies():
            if (top / self.cgroup).exists():
                os.rmdir(top / self.cgroup)
        shutil.rmtree(self.path)


def make_rootfs(path: Path) -> Path:
    """Fill PATH with busybox and what a container needs."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "mnt", "data"):
        (path / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for name in APPLETS:
        (path / "bin" / name).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\n")
    return path


def confined(pid: int) -> dict[str, Any]:
    """Return what holds process PID: its ids, capabilities, limits, namespaces, mounts, cgroups."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    names = [name for name in sorted(os.listdir(proc / "ns")) if not name.startswith("time")]  # that may be a caller's
    own = [name for name in names if os.readlink(proc / "ns" / name) != os.readlink(f"/proc/self/ns/{name}")]
    mounts = []
    for line in (proc / "mountinfo").read_text().splitlines():
        words = line.split()
        dash = words.index("-")
        kept = [each for each in words[6:dash] if not each[-1].isdigit()]
        mounts.append(" ".join([words[3], words[4], words[5], *kept, *words[dash:]]))
    return {
        "status": {key: status[key].strip() for key in LOOKED_AT},
        # Those that a case lowers for the runtime are handed down, as they should be.
        "limits": [line for line in (proc / "limits").read_text().splitlines() if not line.startswith(("Max address", "Max open"))],
        "namespaces": own,
        "mounts": mounts,
        "tree": sorted((proc / "cgroup").read_text().splitlines()),
        "oom": (proc / "oom_score_adj").read_text(),
        "umask": status.get("Umask", ""),
        "cwd": os.readlink(proc / "cwd"),
        "descriptors": len(os.listdir(proc / "fd")),
        "maps": (proc / "uid_map").read_text() + (proc / "gid_map").read_text(),
    }
