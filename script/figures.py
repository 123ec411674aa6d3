"""What the measurements share: starting commands, what the machine is, tables."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

PR_SET_CHILD_SUBREAPER = 36
RUNC_VERSION = "v1.5.1"

Actions = list[tuple[Any, ...]]  # posix_spawn(3)'s


class Row(NamedTuple):
    """What was measured: its name, medians by runtime, and the mark, if any: a ratio to runc's, or a value if ABSOLUTE."""

    what: str
    values: dict[str, float]
    mark: float | None = None
    absolute: bool = False

    @property
    def met(self) -> bool:
        """Return whether pyrunc keeps to the mark."""
        return self.mark is None or (self.values["pyrunc"] if self.absolute else ratio(self.values)) <= self.mark



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
    """Return the interpreter that script PYRUNC names in its first line; the machine's own for a native program."""
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
    names = list(found[0].values)
    marked = any(row.mark is not None for row in found)
    lines = [[title, *names, "pyrunc/runc", *(("mark", "met") if marked else ())]]
    for row in found:
        cells = [shown(row.values[name]) if name in row.values else "-" for name in names]
        mark = "-" if row.mark is None else f"{row.mark:g} itself" if row.absolute else f"{row.mark:.2f}"
        met = "-" if row.mark is None else "yes" if row.met else "no"
        compared = f"{ratio(row.values):.2f}" if "runc" in row.values else "-"
        lines.append([row.what, *cells, compared, *((mark, met) if marked else ())])
    if markdown:
        lines.insert(1, ["---"] + ["---:"] * (len(names) + (2 if marked else 1)) + (["---"] if marked else []))
        return ["| " + " | ".join(line) + " |" for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) for line in lines
    ]


def shown(value: float) -> str:
    """Return VALUE with as many digits as mean something."""
    return f"{value:.{0 if value > 100 else 1 if value >= 1 else 2}f}"


def ratio(values: dict[str, float]) -> float:
    """Return how much pyrunc takes of what runc takes."""
    return values["pyrunc"] / values["runc"]


def interrupt(number: int, _: object) -> NoReturn:
    """Leave by an exception, so that everything is cleaned up."""
    raise SystemExit(128 + number)


def runc_1_5() -> str | None:
    """Return runc 1.5, built once below .cache by the Go toolchain, None where there is none of both."""
    bin_directory = Path(__file__).resolve().parents[1] / ".cache/go/bin"
    program = bin_directory / "runc"
    if not program.exists() and shutil.which("go"):
        module = f"github.com/opencontainers/runc@{RUNC_VERSION}"
        environment = {**os.environ, "GOBIN": str(bin_directory)}
        subprocess.run(["go", "install", "-tags", "seccomp", module], env=environment, check=False)
    return str(program) if program.exists() else None
