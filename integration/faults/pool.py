"""Many cases at once: a worker for each kind of container and processor, and what all of them have found."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.faults.scene import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

TOLD_EVERY = 1000  # of how many cases that are done, so that a long run is seen to go on
WORKER = str(Path(__file__).with_name("worker.py"))


class Pool:
    """Runs cases with the installed program BINARY."""

    def __init__(self, binary: str, say: Callable[[str], None]) -> None:
        """Look for the Python that BINARY was installed for; SAY is told what is found."""
        self.binary, self.say = binary, say
        self.python = str(Path(binary).parent / "python3")
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()

    def list(self, verbs: tuple[str, ...], *, every: bool) -> list[Any]:
        """Return the cases of VERBS, of all kinds."""
        found = []
        for kind in KINDS:
            words = [self.python, "-I", WORKER, "list", kind, self.binary, *verbs, *(["--every"] if every else [])]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
            found += [json.loads(line) for line in done.stdout.splitlines()]
        return found

    def run(self, cases: list[Any], workers: int, seconds: float) -> None:
        """Run CASES with so many WORKERS for each kind, until they are done or SECONDS are over."""
        end = time.monotonic() + seconds
        threads = []
        for kind in KINDS:
            own = [case for case in cases if case[0] == kind]
            threads += [threading.Thread(target=self._work, args=(kind, own[i::workers], end)) for i in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, kind: str, cases: list[Any], end: float) -> None:
        """Let one worker run CASES of KIND until END."""
        if not cases:
            return
        words = [self.python, "-I", WORKER, "run", kind, self.binary]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        done = 0
        for case in cases:
            if time.monotonic() > end:
                break
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                break
            done += 1
            self._take(*json.loads(line))
        process.stdin.close()
        if process.wait():
            self._take(f"the worker of {kind}, after {done} cases", f"status {process.returncode}", 0)
        self.counts["not run"] += len(cases) - done

    def surroundings(self, share: float, seed: int, seconds: float, verbs: tuple[str, ...]) -> None:
        """Run a random SHARE of what happens around the installed program, for SECONDS at most."""
        threads = [threading.Thread(target=self._around, args=(kind, share, seed, seconds, verbs)) for kind in KINDS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _around(self, kind: str, share: float, seed: int, seconds: float, verbs: tuple[str, ...]) -> None:
        """Let one worker run those cases on one KIND of container."""
        words = [self.python, "-I", WORKER, "scarce", kind, self.binary, str(share), str(seed), str(seconds), ",".join(verbs)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for line in process.stdout or ():
            self._take(*json.loads(line))
        if process.wait():
            self._take(f"the worker of {kind}", f"status {process.returncode}", 0)

    def _take(self, name: str, result: str, _: float) -> None:
        """Count a RESULT."""
        with self.lock:
            if result in ("clean", "not reached"):
                self.counts[result] += 1
            elif result.startswith("not run"):
                self.counts["not run"] += int(name)
            else:
                self.counts["wrong"] += 1
                self.wrong.append(name)
                self.say(f"WRONG  {name}\n       {result}")
            done = self.counts.total()
            if done % TOLD_EVERY == 0:
                self.say(f"{done} cases so far, {self.counts['wrong']} not clean")


def sample(cases: list[Any], share: float, seed: int) -> list[Any]:
    """Return a random SHARE of CASES, in random order, as SEED says."""
    chance = random.Random(seed)
    return chance.sample(cases, max(1, round(len(cases) * share)))
