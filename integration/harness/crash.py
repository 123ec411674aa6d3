"""Commands that are killed, or stopped, at an exact system call.

strace(1) follows the runtime's own process and not its children (no -f), and injects a
signal as that process enters a system call.  So nothing in the product knows of the test.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from integration.harness import keeper
from integration.harness.runtime import SECONDS, wait_for

if TYPE_CHECKING:
    from integration.harness.runtime import Runtime

LINE = re.compile(r"^(\w+)\(")
KILLED = -9


class Call(NamedTuple):
    """The NUMBER-th time that a command makes system call NAME; `line` is what strace wrote of it."""

    name: str
    number: int
    line: str = ""

    def inject(self, signal: str) -> str:
        """Return what makes strace send SIGNAL then."""
        return f"inject={self.name}:signal={signal}:when={self.number}"


class Victim:
    """Runs commands of RUNTIME under strace, whose log is below the runtime's directory."""

    def __init__(self, runtime: Runtime) -> None:
        """Look for strace."""
        if shutil.which("strace") is None:
            pytest.skip("strace is not installed")
        self.runtime, self.log = runtime, runtime.directory / "strace.log"

    def argv(self, words: tuple[str, ...], *expressions: str) -> list[str]:
        """Return the command WORDS under strace."""
        chosen = [word for expression in expressions for word in ("-e", expression)]
        return ["strace", "-q", "-s", "256", "-o", str(self.log), *chosen, *self.runtime.argv(*words)]

    def calls(self, *words: str, after: str = "") -> list[Call]:
        """Run WORDS to their end; return the system calls from the first on whose line has AFTER."""
        done = subprocess.run(self.argv(words), check=False, stdin=subprocess.DEVNULL, timeout=SECONDS, **QUIET)
        assert done.returncode == 0, f"{words}: status {done.returncode}\n{self.log.read_text()[-2000:]}"
        return self.written(after)

    def written(self, after: str = "") -> list[Call]:
        """Return the system calls in the log, from the first on whose line has AFTER."""
        counts: dict[str, int] = {}
        found: list[Call] = []
        seen = False
        for line in self.log.read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if match is None:
                continue
            name = match[1]
            counts[name] = counts.get(name, 0) + 1
            seen = seen or after in line
            if seen and name not in ("exit_group", "execve", "rt_sigreturn"):
                found.append(Call(name, counts[name], line))
        assert seen, f"no system call of the log names {after}"
        return found

    def kill_at(self, call: Call, *words: str) -> bool:
        """Run WORDS and kill -9 them as they enter CALL; return whether they got there."""
        argv = self.argv(words, call.inject("KILL"))
        done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, timeout=SECONDS, **QUIET)
        return done.returncode == KILLED

    def stop_at(self, call: Call, *words: str) -> Stopped:
        """Run WORDS and stop them at the end of CALL: unlike a kill, a stop lets a call that does not wait be done."""
        argv = self.argv(words, call.inject("STOP"))
        self.log.unlink(missing_ok=True)
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(self._stopped, f"{words} to stop at {call}")
        return Stopped(process, next(iter(keeper.children(process.pid))))

    def _stopped(self) -> bool:
        """Return whether the log says that the command is stopped."""
        return self.log.exists() and "stopped by SIGSTOP" in self.log.read_text(errors="replace")


class Stopped(NamedTuple):
    """A command that is stopped at a system call: strace, and the pid of the runtime itself."""

    strace: subprocess.Popen[str]
    pid: int

    def init(self) -> int:
        """Return the pid of the process that the runtime has made."""
        (pid,) = keeper.children(self.pid)
        return pid


QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def every(calls: list[Call], step: int, most: int) -> list[Call]:
    """Return every STEP-th of CALLS, or fewer, but from all over them, if that makes more than MOST."""
    step = max(step, -(-len(calls) // most))
    return calls[step // 2 :: step]


def log_path(runtime: Runtime) -> Path:
    """Return where a killed command may log to."""
    return runtime.directory / "killed.log"
