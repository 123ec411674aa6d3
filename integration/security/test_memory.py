"""What the runtime itself uses is not the container's: one of two megabytes starts, where an interpreter would not."""

from __future__ import annotations

import subprocess

import pytest

from integration.harness.neighbour import Neighbour
from integration.looking import cgroup_of, unified
from integration.security.naive import caught

MIB = 1 << 20


def started(done) -> None:
    """Check that the program has run, and said so."""
    assert done.returncode == 0, done
    assert done.stdout == "ran\n"


@pytest.mark.parametrize("limit", [2 * MIB, pytest.param(MIB, marks=pytest.mark.pyrunc_only("needs more"))])
def test_a_small_container_starts(runtime, bundle, limit):
    if runtime.name == "runc" and limit < 4 * MIB:
        pytest.skip("runc: needs 4 MiB")
    b = bundle("echo", "ran")
    b.linux["resources"] = {"memory": {"limit": limit}}
    started(runtime.run(b, check=False))


@pytest.mark.pyrunc_only("needs more")
def test_a_small_container_takes_an_exec(runtime, bundle):
    b = bundle()
    b.linux["resources"] = {"memory": {"limit": 2 * MIB}}
    name = runtime.start(b)
    started(runtime.exec(name, "echo", "ran", check=False))
    if not unified():
        used = cgroup_of(runtime.pid(name), "memory") / "memory.max_usage_in_bytes"
        assert int(used.read_text()) <= 2 * MIB


def test_a_small_container_starts_bites():
    """A runtime in Python that forks into the cgroup, and does the rest there."""
    neighbour = Neighbour(f"pyrunc-test-small-{MIB}")
    try:
        neighbour.limit("memory.max" if unified() else "memory.limit_in_bytes", str(MIB))
        (where,) = [top for top in neighbour.tops if (top / "memory.max").exists() or (top / "memory.limit_in_bytes").exists()]
        script = 'echo 0 >"$0/cgroup.procs"; exec /usr/bin/python3 -c "import json, ctypes, subprocess; print(\'ran\')"'
        done = subprocess.run(["sh", "-c", script, str(where)], capture_output=True, text=True, check=False)
        with caught():
            started(done)
    finally:
        neighbour.close()
