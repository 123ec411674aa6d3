"""Measure the library: a container's life within one program, beside crun's commands for the same.

A program (CALLER, below) stays, in the interpreter that pyrunc is installed in, and does one life, or one exec, each time it is
told to; in between the commands are timed, so that whatever else the machine does meets both. `kill` counts for neither.
What a large caller costs is measured, too: the start of a helper, and what a fork would take.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from figures import Failure, interrupt, machine, runc_1_5

LIFE = ("create", "start", "delete")
MARKS = {"create + start + delete": 0.5, "exec and wait": 0.6}  # of crun's commands
WARM_UP = 3
LARGE = 1 << 30
CALLER = """
import json, os, sys, time
import pyrunc
from pyrunc.library import channel
root, bundle, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
large = bytearray(size)
large[::4096] = b"x" * len(range(0, size, 4096))

def timed(call):
    began = time.perf_counter_ns()
    value = call()
    return value, (time.perf_counter_ns() - began) / 1e6

def make(number):
    return pyrunc.Container.create(bundle, f"bench-{os.getpid()}-{number}", root=root, stdin=-3, stdout=-3, stderr=-3)

def life(number):
    container, create = timed(lambda: make(number))
    start = timed(container.start)[1]
    container.kill("KILL")
    container.wait()
    delete = timed(container.delete)[1]
    return {"create": create, "start": start, "delete": delete}

def execute():
    with running.exec(["/bin/true"], stdin=-3, stdout=-3, stderr=-3) as process:
        assert process.wait() == 0

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

def helper():
    pyrunc.close()
    return {"helper": timed(channel.helper)[1], "fork": timed(fork)[1]}

running = make("running").__enter__()
running.start()
for number, line in enumerate(sys.stdin):
    what = line.strip()
    said = life(number) if what == "life" else helper() if what == "helper" else {"exec": timed(execute)[1]}
    print(json.dumps(said), flush=True)
running.__exit__(None, None, None)
"""


class Caller:
    """The program: tells how many milliseconds what it is asked to do has taken."""

    def __init__(self, python: str, root: Path, bundle: Path, size: int) -> None:
        """Start it, with SIZE bytes of its own."""
        command = [python, "-c", CALLER, str(root), str(bundle), str(size)]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, what: str) -> dict[str, float]:
        """Have it do WHAT, and return the times."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        if not said:
            raise Failure(f"the library: {what} has failed")
        times: dict[str, float] = json.loads(said)
        return times


@contextmanager
def caller(python: str, root: Path, bundle: Path, size: int = 0) -> Iterator[Caller]:
    """Hand out a caller, and end it."""
    found = Caller(python, root, bundle, size)
    try:
        yield found
    finally:
        assert found.process.stdin is not None
        assert found.process.stdout is not None
        found.process.stdin.close()
        found.process.wait()
        found.process.stdout.close()


def measure(runtimes: list[Any], python: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of ROUNDS, in milliseconds: by what was done, and by who."""
    ours: dict[str, list[float]] = {name: [] for name in (*LIFE, "exec", "life", "helper", "fork")}
    theirs = {each.name: {name: list[float]() for name in (*LIFE, "exec", "life")} for each in runtimes}
    work, bundle = runtimes[0].work.parent, runtimes[0].waiting
    with caller(python, work / "library", bundle) as small:
        for number in range(WARM_UP + rounds):
            took = {**small("life"), **small("exec")}
            took["life"] = sum(took[name] for name in LIFE)
            for name, value in took.items() if number >= WARM_UP else ():
                ours[name].append(value)
            for runtime in runtimes:
                runtime.made += 1
                for verb in ("create", "start", "exec", "kill", "delete"):
                    runtime.do(verb, "time", None)
                spent = {name: runtime.times[name][-1] for name in (*LIFE, "exec")}
                spent["life"] = sum(spent[name] for name in LIFE)
                for name, value in spent.items() if number >= WARM_UP else ():
                    theirs[runtime.name][name].append(value)
    with caller(python, work / "library", bundle, LARGE) as large:
        for _ in range(max(3, rounds // 5)):
            for name, value in large("helper").items():
                ours[name].append(value)
    who = {"library": ours, **theirs}
    return {name: {each: median(found[name]) for each, found in who.items() if found.get(name)} for name in ours}


def main(argv: list[str], made: Callable[[dict[str, str]], AbstractContextManager[list[Any]]]) -> int:
    """Measure as ARGV says, with runtimes as MADE hands them out, and print."""
    parser = argparse.ArgumentParser(prog="bench library", description=__doc__)
    parser.add_argument("--runtime", default="pyrunc", help="bin/pyrunc of the installation: a name or a path")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--check", action="store_true", help="fail if a mark is missed")
    options = parser.parse_args(argv)
    found = {"runc": runc_1_5() or shutil.which("runc"), "crun": shutil.which("crun"), "pyrunc": shutil.which(options.runtime)}
    paths = {name: os.path.abspath(path) for name, path in found.items() if path}
    if "crun" not in paths or "pyrunc" not in paths:
        raise Failure("crun and pyrunc have to be installed")
    python = str(Path(paths["pyrunc"]).parent / "python")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    with made(paths) as runtimes:
        medians = measure(runtimes, python, options.rounds)
    print("\n".join(machine(paths)))
    print(f"\nMedians of {options.rounds} rounds, in milliseconds:\n")
    names = ["library", *paths]
    print("  ".join(["what".ljust(24), *(name.rjust(8) for name in names)]))
    for what, values in medians.items():
        label = {"life": "create + start + delete", "exec": "exec and wait", "helper": "helper, caller of 1 GiB"}.get(what, what)
        label = "fork of a caller of 1 GiB" if what == "fork" else label
        print("  ".join([label.ljust(24), *(f"{values[name]:8.1f}" if name in values else " " * 8 for name in names)]))
    missed = []
    for what, mark in MARKS.items():
        values = medians["exec" if what.startswith("exec") else "life"]
        share = values["library"] / values["crun"]
        print(f"\n{what}: {share:.2f} of crun's, mark {mark}: {'met' if share <= mark else 'missed'}", end="")
        missed += [what] if share > mark else []
    print()
    return 1 if options.check and missed else 0


__all__ = ["main"]
if __name__ == "__main__":
    sys.exit("call it as: bench library")
