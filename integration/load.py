"""Many containers: at once, one after the other, in any order with commands that are killed; and what a command costs then.

script/load prints what is found.  Costs are system calls and CPU time, which other work on the machine changes little.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.faults.scene import Scene, Wrong, children, hierarchies, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECONDS = 300
BUGS = re.compile(r"Traceback|internal error|\.py\b|panic")
COMMANDS = ("create", "start", "state", "exec", "pause", "resume", "update", "ps", "events", "kill", "delete", "list")
TOTAL = re.compile(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", re.M)


class Load:
    """Containers like one bundle, below one cgroup."""

    def __init__(self, binary: str) -> None:
        """Make the bundle, whose containers only sleep."""
        self.scene = Scene(binary, "plain")
        self.scene.config["hooks"] = {}
        self.binary, self.root = binary, self.scene.root
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.reaper = threading.Thread(target=self._reap, daemon=True)
        self.over = threading.Event()
        self.own: set[int] = set()
        self.reaper.start()

    def close(self) -> None:
        """Take all of it away."""
        self.over.set()
        self.reaper.join()
        for name in os.listdir(self.root):
            if not name.startswith("."):
                self("delete", "--force", name)
        for top in hierarchies():
            for path in (top / self.scene.cgroup).glob("load-*"):
                with contextlib.suppress(OSError):
                    path.rmdir()
        self.scene.close()

    def _reap(self) -> None:
        """Wait for orphans that have ended, which fall to us; commands are waited for by who has started them."""
        while not self.over.wait(0.01):
            with self.lock:  # a command is known before it can be seen
                for pid in _zombies(os.getpid()):
                    if pid not in self.own:
                        with contextlib.suppress(ChildProcessError):
                            os.waitpid(pid, os.WNOHANG)

    def bundle(self, name: str) -> str:
        """Return a bundle for container NAME, with a cgroup of its own."""
        path = self.scene.path / "bundles" / name
        if not path.exists():
            path.mkdir(parents=True)
            config = json.loads(json.dumps(self.scene.config))
            config["root"]["path"] = str(self.scene.rootfs)
            config["linux"]["cgroupsPath"] = f"/{self.scene.cgroup}/load-{name}"
            (path / "config.json").write_text(json.dumps(config))
        return str(path)

    def words(self, command: str, name: str) -> tuple[str, ...]:
        """Return the words of COMMAND on container NAME."""
        return {
            "create": ("create", "--bundle", self.bundle(name), name),
            "run": ("run", "--detach", "--bundle", self.bundle(name), name),
            "exec": ("exec", name, "true"),
            "update": ("update", "--pids-limit", "77", name),
            "events": ("events", "--stats", name),
            "kill": ("kill", name, "KILL"),
            "delete --force": ("delete", "--force", name),
            "list": ("list", "--quiet"),
        }.get(command, (command, name))

    def __call__(self, *words: str, kill_after: float | None = None) -> tuple[int, str]:
        """Run one command; return its status and standard error. KILL_AFTER so many seconds it is killed."""
        with (self.scene.path / f"said-{threading.get_ident()}").open("w+") as file:
            argv = [self.binary, "--root", str(self.root), *words]
            with self.lock:
                process = subprocess.Popen(argv, stdin=-3, stdout=-3, stderr=file)
                self.own.add(process.pid)
            try:
                process.wait(SECONDS if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                if kill_after is None:
                    self.fault(f"{words} hangs")
            self.own.discard(process.pid)
            file.seek(0)
            said = file.read()
        if BUGS.search(said) or (process.returncode not in (0, -9) and said.count("\n") != 1 and "exec" not in words):
            self.fault(f"{words}: {process.returncode}: {said!r}")
        return process.returncode, said

    def fault(self, text: str) -> None:
        """Note TEXT, which ought not to be."""
        self.faults.append(text)
        print(f"WRONG  {text}", flush=True)

    def must(self, *words: str) -> None:
        """Run WORDS, which have to work."""
        status, said = self(*words)
        if status:
            self.fault(f"{words}: status {status}: {said!r}")

    # What is tried

    def at_once(self, count: int) -> None:
        """Take COUNT containers through their life, each step of all in parallel."""
        names = [f"p{number}" for number in range(count)]
        _parallel(names, lambda name: self.must(*self.words("create", name)))
        for command in ("start", "state", "exec", "pause", "resume", "update", "kill"):
            _parallel(names, lambda name, command=command: self.must(*self.words(command, name)))
        _parallel(names, self.stopped)
        _parallel(names, lambda name: self.must("delete", name))
        self.nothing(f"{count} at once")

    def stopped(self, name: str) -> None:
        """Wait until container NAME is stopped."""
        wait_for(lambda: '"stopped"' in self.scene_state(name), f"{name} to be stopped")

    def scene_state(self, name: str) -> str:
        """Return what `state` says of container NAME."""
        done = subprocess.run([self.binary, "--root", str(self.root), "state", name], stdin=-3, capture_output=True, text=True, check=False)
        return done.stdout or "{}"

    def in_sequence(self, count: int) -> None:
        """Run COUNT containers one after the other, each with `run`, an exec and `delete --force`."""
        for number in range(count):
            name = f"s{number % 7}"
            self.must(*self.words("run", name))
            if number % 5 == 0:
                self.must(*self.words("exec", name))
            self.must("delete", "--force", name)
        self.nothing(f"{count} in sequence")

    def at_random(self, containers: int, commands: int, seed: int, threads: int = 4) -> None:
        """Let THREADS run so many COMMANDS in any order on CONTAINERS, one in five of them killed in the middle."""
        names = [f"r{number}" for number in range(containers)]

        def work(number: int) -> None:
            chance = random.Random(seed + number)
            for _ in range(commands // threads):
                command, name = chance.choice((*COMMANDS, "run", "delete --force")), chance.choice(names)
                after = chance.uniform(0, 0.06) if chance.random() < 0.2 else None
                status, _ = self(*self.words(command, name), kill_after=after)
                with self.lock:
                    self.counts["killed" if status == -9 and after is not None else "worked" if status == 0 else "refused"] += 1

        _parallel(range(threads), work)
        for name in names:
            self.must("delete", "--force", name)
        self.nothing(f"{commands} commands at random")

    def pause_against_delete(self, rounds: int) -> None:
        """Pause a container and delete it by force at once, again and again: it always goes."""
        for number in range(rounds):
            name = f"d{number % 3}"
            self.must(*self.words("run", name))
            commands = [("pause", name), ("delete", "--force", name), ("pause", name), ("resume", name)]
            results = _parallel(commands, lambda words: self(*words))
            if results[1][0]:
                self.fault(f"pause against delete --force: {results[1]}")
            if (self.root / name).exists():
                self.fault(f"pause against delete --force: {name} stays")
                self("delete", "--force", name)
        self.nothing(f"{rounds} times pause against delete --force")

    def nothing(self, what: str) -> None:
        """Check that nothing is left of WHAT."""
        try:
            wait_for(lambda: children(os.getpid()) <= self.scene.known, "processes to end", 15)
        except Wrong as error:
            self.fault(f"{what}: {error}: {children(os.getpid()) - self.scene.known}")
        left = [str(path) for top in hierarchies() for path in (top / self.scene.cgroup).glob("load-*")]
        left += [name for name in os.listdir(self.root) if not name.startswith(".") and name != self.scene.neighbour]
        if left:
            self.fault(f"{what}: {left[:5]} and {len(left)} in all stay")
        try:
            self.scene.untouched()
        except Wrong as error:
            self.fault(f"{what}: {error}")

    def growth(self, counts: Iterable[int]) -> dict[int, dict[str, tuple[int, float]]]:
        """Return what each command costs beside so many containers: system calls, ms of CPU time."""
        found: dict[int, dict[str, tuple[int, float]]] = {}
        made = 0
        for count in counts:
            while made < count:
                self.must(*self.words("run", f"g{made}"))
                made += 1
            found[count] = {command: self.cost(command) for command in ("run", "state", "exec", "ps", "update", "list", "delete --force")}
        for number in range(made):
            self.must("delete", "--force", f"g{number}")
        self.nothing(f"growth to {made}")
        return found

    def cost(self, command: str) -> tuple[int, float]:
        """Return what COMMAND costs now."""
        name = "cost" if command in ("run", "delete --force") else "g0"
        words = self.words(command, name)
        best, calls, argv = float("inf"), 0, [self.binary, "--root", str(self.root), *words]
        for turn in range(4):
            if command == "delete --force":
                self.must(*self.words("run", name))
            if turn == 0:
                log = str(self.scene.path / "strace")
                # Of the runtime's own process: its child goes on after it.
                subprocess.run(["strace", "-q", "-c", "-o", log, *argv], stdin=-3, stdout=-3, stderr=-3, check=False, timeout=SECONDS)
                match = TOTAL.search(Path(log).read_text())
                calls = int(match[1]) if match else 0
            else:
                with self.lock:
                    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=_QUIET)
                    self.own.add(pid)
                usage = os.wait4(pid, 0)[2]
                self.own.discard(pid)
                best = min(best, (usage.ru_utime + usage.ru_stime) * 1000)
            if command == "run":
                self.must("delete", "--force", name)
        return calls, best


_QUIET = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3)]


def _zombies(pid: int) -> list[int]:
    """Return the children of process PID that have ended."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return [each for each in found if _is_zombie(each)]


def _is_zombie(pid: int) -> bool:
    """Return whether process PID has ended, and nobody has waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _parallel(items: Iterable[Any], does: Callable[[Any], Any]) -> list[Any]:
    """Call DOES with each of ITEMS in parallel; return the results."""
    items = list(items)
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(does, items))


def table(found: dict[int, dict[str, tuple[int, float]]]) -> str:
    """Return what `growth` has FOUND as lines of a table for a document."""
    counts = list(found)
    lines = ["| command | " + " | ".join(f"{count}" for count in counts) + " |", "|---|" + "---|" * len(counts)]
    for command in found[counts[0]]:
        cells = (f"{calls} calls, {cpu:.1f} ms" for calls, cpu in (found[count][command] for count in counts))
        lines.append(f"| `{command}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def elapsed(does: Callable[[], None]) -> float:
    """Return how many seconds DOES takes."""
    began = time.monotonic()
    does()
    return time.monotonic() - began
