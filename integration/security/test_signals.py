"""Signals: what is inherited by a program, and what lands between two steps of ours."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from integration.harness.runtime import wait_for
from integration.looking import fields, status_inside
from integration.security.naive import caught
from integration.security.racing import SECONDS, TRIES
from pyrunc.container import statefile

if TYPE_CHECKING:
    from pathlib import Path


def as_new(status: dict[str, str]) -> None:
    """Check that a process of STATUS, from /proc, ignores and blocks nothing."""
    assert int(status["SigIgn"], 16) == 0
    assert int(status["SigBlk"], 16) == 0


def test_nothing_is_ignored_or_blocked(runtime, bundle):
    """CPython ignores SIGPIPE and SIGXFSZ, and execve(2) keeps that: in run, in exec, in hooks."""
    as_new(status_inside(runtime, bundle()))
    b = bundle()
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "exec cat /proc/self/status >/data/status"]}
    b.config["hooks"] = {"startContainer": [hook]}
    name = runtime.start(b)
    as_new(fields(runtime.exec(name, "cat", "/proc/self/status").stdout))
    if runtime.name == "pyrunc":
        as_new(fields((b.rootfs / "data/status").read_text()))


def test_nothing_is_ignored_or_blocked_bites():
    """What a Python that does nothing about it hands on."""
    code = "import os; os.execv('/usr/bin/cat', ['cat', '/proc/self/status'])"
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, check=True)
    with caught():
        as_new(fields(done.stdout))


# A signal between any two lines of ours


def whole_or_gone(runtime, name: str) -> None:
    """Check that container NAME is there, as its state says, or that nothing of it is."""
    if not (runtime.root / name).exists():
        return
    assert (runtime.root / name / "state").exists()
    assert runtime.status(name) in ("creating", "created", "running", "stopped")


@pytest.mark.slow_vm
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_at_any_moment_of_a_create(runtime, bundle, number):
    """At times from the start to the end of one, as random as they come; the seed is printed if it fails."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    began = time.monotonic()
    runtime("delete", "--force", runtime.create(bundle()))
    usual = time.monotonic() - began
    b = bundle()
    for _ in range(25):
        name = runtime.prepare(b)
        process = runtime.popen("create", "--bundle", str(b.path), name, stdout=-3, stderr=-3, stdin=-3)
        time.sleep(chance.uniform(0, usual))  # the moment is what is tried
        process.send_signal(number)
        process.wait(20)
        if number == signal.SIGKILL:  # nobody is left to wait for the child that sees its parent go
            wait_for(lambda name=name: runtime("delete", "--force", name, check=False).returncode == 0, f"{name} to be deleted")
        else:
            whole_or_gone(runtime, name)
            runtime("delete", "--force", name)
        assert not (runtime.root / name).exists()


STATES = ("a" * 6000, "b" * 9000)
WRITER = """
import sys
sys.path[:0] = {path!r}
from pyrunc.container import statefile
place, texts = sys.argv[1], [word.encode() for word in sys.argv[2:]]
def naive(path, data):
    with open(path, "wb", buffering=4096) as file:
        file.write(data)
write = naive if {naive} else statefile.write_file
while True:
    for text in texts:
        write(place, text)
"""


def never_half(seen: set[str]) -> None:
    """Check that of the texts SEEN by a reader each is one that was written, whole."""
    assert seen <= set(STATES)


def seen_while_killed(path: Path, *, naive: bool) -> set[str]:
    """Return what a reader sees of PATH while one writer after the other is killed at it: thousands of times."""
    statefile.write_file(str(path), STATES[0].encode())
    code = WRITER.format(path=[entry for entry in sys.path if entry], naive=naive)
    seen, reads, end = set(), 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        with subprocess.Popen([sys.executable, "-c", code, str(path), *STATES]) as writer:
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                seen.add(path.read_text())
                reads += 1
            writer.kill()
        seen.add(path.read_text())
    assert reads > TRIES
    return seen


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("it is our own guard that is called")
def test_a_state_is_whole_whoever_is_killed(tmp_path):
    """It is written beside, and takes the name by rename(2)."""
    never_half(seen_while_killed(tmp_path / "state", naive=False))


@pytest.mark.slow_vm
def test_a_state_is_whole_whoever_is_killed_bites(tmp_path):
    with caught():
        never_half(seen_while_killed(tmp_path / "state", naive=True))
