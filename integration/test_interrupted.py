"""^C at any moment: a command that has begun nothing ends, one that has begun something undoes it, and none shows a traceback."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest

STARTS, ALL_AT_ONCE = 200, 3
BY_SIGNAL = -signal.SIGINT
# What is asked, how long it takes at most, and how it ends if ^C comes late.
QUIET = [
    (("state", "absent"), 0.03, 1),
    (("--version",), 0.03, 0),
    (("list", "--format", "nonsense"), 0.05, 1),
    (("create", "--help"), 0.08, 0),  # for this the native program starts the script
]


def interrupted(runtime, words, seconds: float, times: int) -> subprocess.CompletedProcess[str]:
    """Run the command of WORDS, with ^C TIMES over after SECONDS; all that it says is in `stdout`."""
    said = runtime.directory / "said"  # no pipe: a container that is made would hold it open
    with said.open("w") as file, runtime.popen(*words, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as command:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        for _ in range(times):
            command.send_signal(signal.SIGINT)
        command.wait(60)
    return subprocess.CompletedProcess(words, command.returncode, said.read_text())


@pytest.mark.slow_vm
@pytest.mark.parametrize(("words", "longest", "late"), QUIET, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_what_makes_nothing(runtime, words, longest, late):
    chosen = random.Random(7)
    ends = set()
    for _ in range(STARTS):
        done = interrupted(runtime, words, chosen.random() * longest, chosen.randint(1, ALL_AT_ONCE))
        ends.add(done.returncode)
        assert "Traceback" not in done.stdout
        assert "File " not in done.stdout
        assert done.returncode in (BY_SIGNAL, 130, late), done
    assert ends - {late}, "none came early enough"


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("passes it on, or ignores it")
def test_create(runtime, bundle):
    """And it leaves nothing, or a container that is created."""
    chosen = random.Random(7)
    b = bundle()
    for _ in range(STARTS):
        name = runtime.prepare(b)
        words = ("create", "--bundle", str(b.path), name)
        done = interrupted(runtime, words, chosen.random() * 0.1, chosen.randint(1, ALL_AT_ONCE))
        assert done.stdout == "", done
        assert done.returncode in (BY_SIGNAL, 130, 0)
        there = runtime("state", name, check=False)
        assert (there.returncode == 0) == (done.returncode == 0), there
        runtime("delete", "--force", name)
