"""A process that joins a container, and what lies in wait for it there (CVE-2016-9962)."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.looking import become, fingerprint, interpreter, status_outside, with_probe

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

own_program = pytest.mark.pyrunc_only("it runs a sealed copy of itself, and that it may be")


def lie_in_wait(b: Bundle, program: Path, seconds: int) -> Bundle:
    """Let B's process attack whatever runs PROGRAM within its reach."""
    found = program.stat()
    numbers = (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)
    return with_probe(b, "lie-in-wait", str(seconds), *map(str, numbers))


def trapped(runtime: Runtime, b: Bundle, out: Path) -> str:
    """Start B, whose process lies in wait, and return the container's id once it does."""
    with out.open("w") as file:
        name = runtime.start(b, stdout=file)
    while not out.read_text():
        time.sleep(0.02)
    return name


@pytest.mark.slow_vm
def test_a_process_that_joins_cannot_be_caught(runtime, bundle, tmp_path):
    """CVE-2016-9962: neither its memory nor its descriptors nor its program, while it is ours."""
    mine = interpreter(runtime)
    before = fingerprint(mine)
    name = trapped(runtime, lie_in_wait(bundle(), mine, 4), tmp_path / "out")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        runtime.exec(name, "true")
        runtime.exec(name, "/no/such/program", check=False)
        runtime("exec", "--user", "1000", name, "true")
    runtime.wait(name, "stopped")
    assert (tmp_path / "out").read_text().split() == ["ready", "done"]
    assert fingerprint(mine) == before


@pytest.mark.slow_vm
def test_a_process_that_is_created_in_a_shared_pid_namespace_cannot_be_caught(runtime, bundle, tmp_path):
    mine = interpreter(runtime)
    name = trapped(runtime, lie_in_wait(bundle(), mine, 12), tmp_path / "out")
    pid = runtime.pid(name)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        b = bundle("true")
        b.namespace("pid", path=f"/proc/{pid}/ns/pid")
        other = runtime.create(b)
        runtime("start", other)
        runtime("delete", "--force", other)
    runtime.wait(name, "stopped")
    assert (tmp_path / "out").read_text().split() == ["ready", "done"]


@pytest.mark.slow_vm
def test_the_trap_works(runtime, bundle, tmp_path):
    """What the two tests above would find: a dumpable python3 with no more privileges than it has."""
    python = Path("/usr/bin/python3").resolve()
    name = trapped(runtime, lie_in_wait(bundle(), python, 2), tmp_path / "out")
    bait = ["/usr/bin/python3", "-c", "import time; time.sleep(0.5)"]
    bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *bait]
    subprocess.run(["nsenter", "-t", str(runtime.pid(name)), "-p", *bare], check=True)
    runtime.wait(name, "stopped")
    text = (tmp_path / "out").read_text()
    for prey in ("exe", "mem", "fd", "root"):
        assert f"got {prey} of" in text


def test_the_waiting_init_is_not_dumpable(runtime, bundle):
    """What is in /proc/PID belongs to root then, although the process is another user's (proc(5))."""
    name = runtime.create(become(bundle(), 1000))
    pid = runtime.pid(name)
    if runtime.name == "pyrunc":
        assert status_outside(pid)["Uid"].split()[0] == "1000"
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    runtime("start", name)
    assert os.stat(f"/proc/{pid}/fd").st_uid == 1000


@own_program
def test_the_joiner_is_not_dumpable_before_it_joins(runtime, bundle, tmp_path):
    if not Path("/usr/bin/strace").exists():
        pytest.skip("strace is not installed")
    name = runtime.start(bundle())
    trace = tmp_path / "trace"
    words = ["strace", "-f", "-o", str(trace), "-e", "trace=prctl,setns,execve,execveat"]
    subprocess.run([*words, *runtime.argv("exec", name, "true")], check=True, timeout=60, capture_output=True)
    lines = trace.read_text().splitlines()
    joined = [index for index, line in enumerate(lines) if "setns(" in line and "CLONE_NEWNS" in line]
    assert joined
    pid = lines[joined[0]].split()[0]
    before = [line for line in lines[: joined[0]] if line.split()[0] == pid]
    assert any("PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in line for line in before)
