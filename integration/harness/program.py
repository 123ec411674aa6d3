"""Programs that use pyrunc as a library: each in an interpreter of its own, as a user's would be."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

CHECKOUT = Path(__file__).parents[2]
SECONDS = 100
# What each program begins with.
HEAD = """
import asyncio, gc, os, signal, subprocess, sys, threading, time
from pathlib import Path
import pyrunc
from pyrunc import DEVNULL, PIPE, STDOUT, Bundle, Container, aio
root, *words = sys.argv[1:]

def open_fds():
    gc.collect()
    found = os.listdir("/proc/self/fd")
    return sorted(int(each) for each in found if os.path.lexists(f"/proc/self/fd/{each}"))  # but the one of the listing itself

def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

def wait_for(condition, what="it", seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.005)

def helper():
    from pyrunc.library import channel
    return channel.helper().pid
"""


class Program:
    """Runs programs with the interpreter that RUNTIME is installed in, or, without one beside it, with ours and the checkout."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        beside = Path(runtime.binary).parent / "python"
        self.argv = [str(beside if beside.exists() else sys.executable), "-Wd", "-X", "faulthandler"]
        self.env = {} if beside.exists() else {"PYTHONPATH": str(CHECKOUT / "runtime")}

    def words(self, code: str, *words: str) -> list[str]:
        """Return the argument vector of a program of CODE; WORDS are its `words`."""
        path = self.runtime.directory / f"program{len(list(self.runtime.directory.glob('program*.py')))}.py"
        path.write_text(f"{HEAD}\n{textwrap.dedent(code)}")  # a file, so that a traceback shows its lines
        return [*self.argv, str(path), str(self.runtime.root), *words]

    def __call__(self, code: str, *words: str, **options: Any) -> str:
        """Run CODE; return what it prints.  An exception in it is a failure of the test."""
        asked = {"env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.env}, "timeout": SECONDS, **options}
        done = subprocess.run(self.words(code, *words), text=True, capture_output=True, stdin=subprocess.DEVNULL, **asked)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    def of(self, bundle: Bundle, code: str, *words: str, **options: Any) -> str:
        """Run CODE with `bundle`, the path of BUNDLE, and `box`, an id for a container of it."""
        name = self.runtime.prepare(bundle)
        return self(f"box, bundle, *words = words\n{textwrap.dedent(code)}", name, str(bundle.path), *words, **options)

    def popen(self, bundle: Bundle, code: str, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start the same, with pipes; the test has to wait for it."""
        name = self.runtime.prepare(bundle)
        argv = self.words(f"box, bundle, *words = words\n{textwrap.dedent(code)}", name, str(bundle.path), *words)
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(argv, text=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.env}, **{**pipes, **options})
