"""^C at any moment: a command that has begun nothing ends, one that has begun something undoes it, and none shows a traceback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest

from integration.harness.runtime import wait_for

pytestmark = [pytest.mark.slow_vm, pytest.mark.timeout(600)]
STARTS, ALL_AT_ONCE = 200, 3
BY_SIGNAL = -signal.SIGINT
ENDING = (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What is asked, how long it takes at most, and how it ends if ^C comes late.
QUIET = [
    (("state", "absent"), 0.03, 1),
    (("--version",), 0.03, 0),
    (("list", "--format", "nonsense"), 0.05, 1),
    (("create", "--help"), 0.08, 0),  # for this the native program starts the script
]


def interrupted(runtime, words, seconds: float, numbers: list[int]) -> subprocess.CompletedProcess[str]:
    """Run the command of WORDS, with signals NUMBERS after SECONDS; all that it says is in `stdout`."""
    said = runtime.directory / "said"  # no pipe: a container that is made would hold it open
    with said.open("w") as file, runtime.popen(*words, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as command:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        for number in numbers:
            command.send_signal(number)
        command.wait(60)
    return subprocess.CompletedProcess(words, command.returncode, said.read_text())


@pytest.mark.parametrize(("words", "longest", "late"), QUIET, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_what_makes_nothing(runtime, words, longest, late):
    chosen = random.Random(7)
    ends = set()
    for _ in range(STARTS):
        done = interrupted(runtime, words, chosen.random() * longest, [signal.SIGINT] * chosen.randint(1, ALL_AT_ONCE))
        ends.add(done.returncode)
        assert "Traceback" not in done.stdout
        assert "File " not in done.stdout
        assert done.returncode in (BY_SIGNAL, 130, late), done
    assert ends - {late}, "none came early enough"


@pytest.mark.pyrunc_only("passes it on, or ignores it")
@pytest.mark.parametrize("words", [("create",), ("run", "--detach")], ids=" ".join)
def test_what_makes_a_container(runtime, bundle, words):
    """It leaves nothing, or a whole container."""
    chosen = random.Random(7)
    b = bundle()
    name = runtime.prepare(b)
    for _ in range(STARTS):
        numbers = [chosen.choice(ENDING) for _ in range(chosen.randint(1, ALL_AT_ONCE))]
        done = interrupted(runtime, (*words, "--bundle", str(b.path), name), chosen.random() * 0.1, numbers)
        assert done.stdout == "", done
        assert done.returncode in (*(-number for number in numbers), 130, 0)
        there = runtime("state", name, check=False)
        assert (there.returncode == 0) == (done.returncode == 0), there
        runtime("delete", "--force", name)


@pytest.mark.pyrunc_only("passes it on, or ignores it")
def test_exec(runtime, bundle):
    """It leaves no process, or one that runs."""
    chosen = random.Random(7)
    name = runtime.start(bundle())
    for _ in range(STARTS):
        numbers = [chosen.choice(ENDING) for _ in range(chosen.randint(1, ALL_AT_ONCE))]
        done = interrupted(runtime, ("exec", "--detach", name, "sleep", "1000"), chosen.random() * 0.05, numbers)
        assert done.stdout == "", done
        assert done.returncode in (*(-number for number in numbers), 130, 0)
        others = [pid for pid in json.loads(runtime("ps", "--format", "json", name).stdout) if pid != runtime.pid(name)]
        assert len(others) == (done.returncode == 0)
        for pid in others:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(json.loads(runtime("ps", "--format", "json", name).stdout)) == 1, "its end")
