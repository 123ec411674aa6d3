"""What the measurements share: starting commands, what the machine is, tables."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

PR_SET_CHILD_SUBREAPER = 36

Actions = list[tuple[Any, ...]]  # posix_spawn(3)'s
Row = tuple[str, dict[str, float], float]  # what, medians by runtime, mark


class Failure(Exception):
    """A command did not do what it was told: there is nothing to compare."""


def spawn(command: list[str], actions: Actions) -> tuple[float, int]:
    """Run COMMAND; return how many milliseconds it took, and its exit status."""
    began = time.perf_counter_ns()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, _ = os.wait4(pid, 0)
    return (time.perf_counter_ns() - began) / 1e6, os.waitstatus_to_exitcode(status)


def adopt() -> None:
    """Let what the commands leave become our children (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")


def version(path: str) -> str:
    """Return the first line of what PATH says about its version."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{path} --version ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout.splitlines()[0]


def interpreter(pyrunc: str) -> str:
    """Return the interpreter that script PYRUNC names in its first line."""
    first = Path(pyrunc).read_bytes().split(b"\n", 1)[0][2:].split()
    return os.fsdecode(first[0]) if first and b"python" in first[0] else sys.executable


def machine(paths: dict[str, str]) -> list[str]:
    """Return what the figures depend on: processor, kernel, versions."""
    models = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    model = models[0] if models else platform.machine()
    versions = [version(path) for path in paths.values()]
    return [f"{os.cpu_count()} x {model}, Linux {platform.release()}", *versions, version(interpreter(paths["pyrunc"]))]


def table(title: str, found: list[Row], *, markdown: bool) -> list[str]:
    """Return the lines of a table of FOUND."""
    names = list(found[0][1])
    lines = [[title, *names, "pyrunc/runc", "mark", "met"]]
    for what, values, mark in found:
        cells = [f"{values[name]:.1f}" for name in names]
        met = "yes" if ratio(values) <= mark else "no"
        lines.append([what, *cells, f"{ratio(values):.2f}", f"{mark:.2f}", met])
    if markdown:
        lines.insert(1, ["---"] + ["---:"] * (len(lines[0]) - 2) + ["---"])
        return ["| " + " | ".join(line) + " |" for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) for line in lines
    ]


def ratio(values: dict[str, float]) -> float:
    """Return how much pyrunc takes of what runc takes."""
    return values["pyrunc"] / values["runc"]


def interrupt(number: int, _: object) -> NoReturn:
    """Leave by an exception, so that everything is cleaned up."""
    raise SystemExit(128 + number)
