"""Every pair of verbs on one container at once, without hooks and with some that call back, die, or hang.

Each command does what one after the other would do, or says in one line why not; `state` tells the truth; nothing
stays, and a neighbour is as it was.  PYRUNC_EVERY_RACE=1 tries each pair several times, which takes eight
minutes; otherwise a sample is drawn, of PYRUNC_SEED if that is set.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from integration.harness import keeper
from integration.harness.beside import Beside
from integration.harness.leaks import cgroup_directories, mounts
from integration.harness.runtime import WAIT, wait_for
from integration.looking import cgroup_of, unified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

pytestmark = [pytest.mark.pyrunc_only("it does not lock: some fail half-way"), pytest.mark.timeout(3000), pytest.mark.slow_vm]
EVERY = bool(os.environ.get("PYRUNC_EVERY_RACE"))
SEED = int(os.environ.get("PYRUNC_SEED", random.randrange(1 << 32)))
DELAY = 0.04  # seconds at most between two commands, less than the longest takes
VERBS: dict[str, tuple[str, ...]] = {
    "create": ("create", "--bundle", "BUNDLE", "ID"),
    "start": ("start", "ID"),
    "run": ("run", "--detach", "--bundle", "BUNDLE", "ID"),
    "exec": ("exec", "ID", "true"),
    "kill": ("kill", "ID", "KILL"),
    "delete": ("delete", "ID"),
    "delete --force": ("delete", "--force", "ID"),
    "pause": ("pause", "ID"),
    "resume": ("resume", "ID"),
    "update": ("update", "--pids-limit", "50", "ID"),
    "state": ("state", "ID"),
    "ps": ("ps", "ID"),
    "events": ("events", "--stats", "ID"),
    "checkpoint": ("checkpoint", "--image-path", "IMAGE", "ID"),
}
NONE, CREATED, RUNNING, PAUSED, STOPPED = "", "created", "running", "paused", "stopped"
ALIVE = (CREATED, RUNNING, PAUSED)
BEGINNINGS = (NONE, CREATED, RUNNING, PAUSED, STOPPED)
# What a verb makes of a state, without an error; one that is not there is an error.
MAKES: dict[str, dict[str, str]] = {
    "create": {NONE: CREATED},
    "start": {CREATED: RUNNING},
    "run": {NONE: RUNNING},
    "exec": {CREATED: CREATED, RUNNING: RUNNING},
    "kill": dict.fromkeys(ALIVE, STOPPED),
    "delete": dict.fromkeys((CREATED, STOPPED), NONE),
    "delete --force": dict.fromkeys(BEGINNINGS, NONE),
    "pause": dict.fromkeys((CREATED, RUNNING), PAUSED),
    "resume": {PAUSED: RUNNING},
    "update": {each: each for each in ALIVE},
    "state": {each: each for each in (*ALIVE, STOPPED)},
    "ps": {each: each for each in (*ALIVE, STOPPED)},
    "events": {each: each for each in ALIVE},
    "checkpoint": {},  # there is no CRIU here
}
UNLOCKED = ("exec", "kill", "state", "ps", "events")  # they may come in the middle of another
ENDS = ("kill", "delete", "delete --force")  # beside these, others may fail half-way, and say so
KILLED = 128 + signal.SIGKILL  # the status of what exec began, and another ended
MIDDLE = "create", "run", "delete", "delete --force", "start"  # in the middle of these, what the rest sees is open


class Race(NamedTuple):
    """Two verbs on one container that is in state `beginning`; the second comes `delay` seconds after the first."""

    beginning: str
    verbs: tuple[str, str]
    delay: float
    hook: str = ""  # its kind, and what it does
    does: str = ""

    def __str__(self) -> str:
        hook = f" with a {self.hook} hook that {self.does}" if self.hook else ""
        return f"{' | '.join(self.verbs)} from {self.beginning or 'none'} after {self.delay * 1000:.1f} ms{hook}"


class Begun(NamedTuple):
    """A command that has begun, and its log."""

    verb: str
    log: Path
    process: subprocess.Popen[str]


def serial(race: Race) -> set[tuple[bool, bool, str]]:
    """Return what may come of RACE: whether each verb works, and the state in the end, in either order."""
    found = set()
    for order in ((0, 1), (1, 0)):
        state, worked = race.beginning, {}
        paused_from = CREATED if race.beginning == CREATED else RUNNING
        for place in order:
            verb = race.verbs[place]
            makes = MAKES[verb]
            worked[place] = state in makes
            if verb == "pause" and state in makes:
                paused_from = state
            state = paused_from if verb == "resume" and state in makes else makes.get(state, state)
        found.add((worked[0], worked[1], state))
    return found


def open_to_either(verb: str, other: str) -> bool:
    """Return whether VERB may work or not beside OTHER, whatever comes in the end: it takes no lock, or is cut off."""
    return (verb in UNLOCKED and other in MIDDLE + ENDS + ("pause", "resume")) or (other in ENDS and verb not in ENDS)


class Races:
    """Races of commands on containers of one id."""

    def __init__(self, runtime: Runtime, b: Bundle) -> None:
        """Start the neighbour, and look at the machine."""
        self.runtime, self.b = runtime, b
        self.beside = Beside(runtime, b)
        self.name = runtime.new_id()
        b.namespace("network", path=f"/proc/{self.beside.pid}/ns/net")
        b.linux["cgroupsPath"] = self.beside.path(self.name)
        b.linux["resources"] = {"pids": {"limit": 100}}
        self.known, self.mounted = keeper.left(), self.mounts()
        self.numbers = itertools.count()
        self.up = runtime.directory / "up"

    def mounts(self) -> set[str]:
        """Return the machine's mounts that are about us: others mount and unmount too."""
        return {line for line in mounts().values() if str(self.runtime.directory) in line}

    def begin(self, verb: str) -> Begun:
        """Begin VERB; the streams of what it makes are nobody's, so it is its log that tells."""
        log = self.runtime.directory / f"race{next(self.numbers)}.log"
        makes = verb in ("create", "run")
        names = {"ID": self.name, "BUNDLE": str(self.b.path), "IMAGE": str(self.runtime.directory / "image")}
        argv = self.runtime.argv("--log", str(log), *(names.get(word, word) for word in VERBS[verb]))
        pipe = subprocess.DEVNULL if makes else subprocess.PIPE
        return Begun(verb, log, subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe))

    def end(self, begun: Begun, where: object) -> tuple[int, str]:
        """Wait for what has BEGUN; check that it has worked, or said in one line why not; return its status and that line."""
        verb, log, process = begun
        out, said = process.communicate(timeout=WAIT * 3)
        if verb in ("create", "run"):
            lines = log.read_text().splitlines() if log.exists() else []
            said = "".join(line + "\n" for line in lines if "level=error" in line)
        status = process.returncode
        if status == 0 or (verb == "exec" and status == KILLED and not said):
            assert not said, (where, verb, said)
            if verb in ("state", "events"):
                json.loads(out)
            return status, ""
        assert status in (1, 255), (where, verb, status, said)
        assert said.count("\n") == 1, (where, verb, said)
        assert not [bug for bug in ("Traceback", "internal error", ".py") if bug in said], (where, verb, said)
        return status, said

    def prepare(self, race: Race) -> None:
        """Bring the container into the state where RACE begins."""
        self.up.unlink(missing_ok=True)
        self.b.config["hooks"] = {race.hook: [self.hook(race.does)]} if race.hook else {}
        self.b.save()
        words = {NONE: (), CREATED: ("create",), RUNNING: ("run",), PAUSED: ("run", "pause"), STOPPED: ("run", "kill")}
        for verb in words[race.beginning]:
            status, said = self.end(self.begin(verb), race)
            assert status == 0, (race, said)
        if race.beginning == STOPPED:
            self.runtime.wait(self.name, "stopped")

    def hook(self, does: str) -> dict[str, Any]:
        """Return the hook that hangs, dies, or calls the runtime for its own container; hooks inside know it is there by a file."""
        environment = {"path": "/bin/sh", "env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"]}
        command = " ".join(self.runtime.argv())
        scripts = {
            "hangs": f"echo >{self.up}; exec sleep 1000",
            "dies": "kill -KILL $$",
            "calls back": f"{command} state {self.name} && {command} ps {self.name}; true",
        }
        return {**environment, "args": ["sh", "-c", scripts[does]]}

    def __call__(self, race: Race) -> None:
        """Let the two verbs of RACE work at once, and look at what comes of it."""
        self.prepare(race)
        first = self.begin(race.verbs[0])
        if race.does == "hangs":
            wait_for(lambda: self.up.exists() or first.process.poll() is not None, f"{race}: the hook")
        time.sleep(race.delay)
        second = self.begin(race.verbs[1])
        if race.does == "hangs":
            self.hangs(race, first, second)
        else:
            self.let_go(race, first, second)
            ended = [self.end(begun, race) for begun in (first, second)]
            self.look(race, [not status for status, _ in ended], [said for _, said in ended])
        self.truth(race)
        self.remove(race)

    def let_go(self, race: Race, *begun: Begun) -> None:
        """If a pause has stopped what an exec has begun, which is what it is for, resume the container."""
        by_verb = {each.verb: each.process for each in begun}
        if set(by_verb) != {"exec", "pause"}:
            return
        by_verb["pause"].wait(WAIT)
        wait_for(lambda: by_verb["exec"].poll() is not None or self.status() == PAUSED, f"{race}: either of them")
        if by_verb["exec"].poll() is None:
            self.runtime("resume", self.name)
            by_verb["exec"].wait(WAIT)
            self.runtime("pause", self.name)

    def hangs(self, race: Race, first: Begun, second: Begun) -> None:
        """Check that the SECOND beside the FIRST, whose hook hangs, is told of it or works, and that delete by force ends it."""
        status, said = self.end(second, race)
        if "another command has been working" in said:
            assert f"{race.verbs[0]} (pid {first.process.pid})" in said, (race, said)
        if race.verbs[1] == "delete --force":
            assert status == 0, (race, said)
        else:
            self.truth(race)
            self.runtime("delete", "--force", self.name)
        status, said = self.end(first, race)
        assert status == 1, (race, said)

    def look(self, race: Race, worked: list[bool], said: list[str]) -> None:
        """Check that what each verb did, and what came in the end, is what one after the other would give."""
        if race.hook and race.does != "calls back":
            return
        expected = serial(race)
        first, second = race.verbs
        for results in list(expected):
            for change in ((not results[0], results[1]), (results[0], not results[1]), (not results[0], not results[1])):
                turned = [verb for verb, new, old in zip(race.verbs, change, results, strict=False) if new != old]
                if all(open_to_either(verb, second if verb == first else first) for verb in turned):
                    expected.add((*change, results[2]))
        # A signal is on its way for a moment.
        wait_for(lambda: (*worked, self.status()) in expected, lambda: (self.status(), worked, said, expected), what=f"{race}")

    def status(self) -> str:
        """Return the state of the container, "" if `state` says in its own words that there is none."""
        done = self.runtime("state", self.name, check=False)
        if done.returncode:
            assert done.stderr.startswith("pyrunc state failed: container does not exist (there is no "), done.stderr
            return NONE
        return str(json.loads(done.stdout)["status"])

    def truth(self, race: Race) -> None:
        """Check that `state` says what can be seen of the container."""
        done = self.runtime("state", self.name, check=False)
        if done.returncode:
            assert done.stderr.startswith("pyrunc state failed: container does not exist (there is no "), (race, done.stderr)
            assert not (self.runtime.root / self.name).exists(), race
            return
        state = json.loads(done.stdout)
        status, pid = state["status"], state["pid"]
        assert (status in ALIVE) == (pid > 0 and keeper.running(pid)), (race, state)
        if status in ALIVE:
            frozen = cgroup_of(pid, "freezer") / ("cgroup.events" if unified() else "freezer.state")
            assert (status == PAUSED) == any(word in frozen.read_text() for word in ("frozen 1", "FROZEN")), (race, state)
            program = b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert status == PAUSED or program == (status == RUNNING), (race, state)

    def remove(self, race: Race) -> None:
        """Delete what is left by force, and look that nothing stays."""
        done = self.runtime("delete", "--force", self.name, check=False)
        assert (done.returncode, done.stderr) == (0, ""), (race, done.stderr)
        assert not (self.runtime.root / self.name).exists(), race
        assert not cgroup_directories(self.name, f"{self.name}-parent"), race
        gone = lambda: keeper.left() <= self.known  # noqa: E731
        wait_for(gone, lambda: [keeper.shown(pid) for pid in keeper.left() - self.known], what=f"{race}: processes to end")
        wait_for(lambda: self.mounts() == self.mounted, f"{race}: mounts to go")
        self.beside.unhurt(race)


@pytest.fixture
def races(runtime: Runtime, bundle: Bundles) -> Iterator[Races]:
    made = Races(runtime, bundle())
    yield made
    runtime("delete", "--force", made.name)
    made.beside.close()


def beginnings(verbs: tuple[str, str]) -> list[str]:
    """Return the states from which one of VERBS at least has something to do; without any, one that is running."""
    return [each for each in BEGINNINGS if any(each in MAKES[verb] for verb in verbs)] or [RUNNING]


def plain(chosen: random.Random, tries: int) -> list[Race]:
    """Return races of each ordered pair, TRIES times each, from states and after delays that are CHOSEN by chance."""
    pairs = list(itertools.product(VERBS, repeat=2))
    return [Race(chosen.choice(beginnings(pair)), pair, chosen.uniform(0, DELAY)) for pair in pairs for _ in range(tries)]


OUTSIDE = {"create": ("prestart", "createRuntime", "createContainer"), "start": ("poststart",)}
HOOKS = {**OUTSIDE, "run": OUTSIDE["create"] + OUTSIDE["start"]}


def with_hooks(chosen: random.Random, does: str) -> list[Race]:
    """Return races of the verbs that run hooks, which do what DOES says, with each of the verbs."""
    found = []
    for first, second in itertools.product(HOOKS, VERBS):
        beginning = CREATED if first == "start" else NONE
        found.append(Race(beginning, (first, second), chosen.uniform(0, DELAY), chosen.choice(HOOKS[first]), does))
    return found


def run_some(races: Races, found: list[Race], most: int) -> None:
    """Run all that were FOUND, or a sample of MOST."""
    print(f"PYRUNC_SEED={SEED}")
    begun = time.monotonic()
    for race in found if EVERY else random.Random(SEED).sample(found, most):
        races(race)
    print(f"{len(found) if EVERY else most} races in {time.monotonic() - begun:.0f} s")


def test_every_pair_of_verbs(races: Races) -> None:
    run_some(races, plain(random.Random(SEED), 5), 200)


def test_beside_hooks_that_call_back(races: Races) -> None:
    run_some(races, with_hooks(random.Random(SEED), "calls back"), 24)


def test_beside_hooks_that_die(races: Races) -> None:
    run_some(races, with_hooks(random.Random(SEED), "dies"), 24)


def test_beside_hooks_that_hang(races: Races) -> None:
    run_some(races, with_hooks(random.Random(SEED), "hangs"), 3)
