"""A process that joins a container, and what lies in wait for it there (CVE-2016-9962)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.looking import become, fingerprint, give, interpreter, status_outside, with_probe
from integration.security.naive import caught

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

REMAINS = pytest.mark.xfail(reason="docs/security.md, row T1: what remains", strict=False)  # it is a race
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


def beside(runtime: Runtime, name: str, bundle: Bundles, **more: object) -> None:
    """For two seconds, make containers that run in the pid namespace of container NAME, with MORE in their configuration."""
    path = f"/proc/{runtime.pid(name)}/ns/pid"
    b = bundle("true")
    b.namespace("pid", path=path)
    b.config |= more
    end = time.monotonic() + 2
    while time.monotonic() < end:
        other = runtime.create(b)
        runtime("start", other)
        runtime("delete", "--force", other)


def out_of_reach(text: str) -> None:
    """Check that who lay in wait, and says TEXT, could get at nothing: neither program, memory, descriptors nor root."""
    assert [line for line in text.splitlines() if line not in ("ready", "done")] == []


def nothing_writable(text: str) -> None:
    """Check that who lay in wait, and says TEXT, has got no descriptor by which our program could be written."""
    assert "writable" not in text


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
    out_of_reach((tmp_path / "out").read_text())
    assert fingerprint(mine) == before


@pytest.mark.slow_vm
def test_a_process_that_is_created_in_a_shared_pid_namespace_cannot_be_caught(runtime, bundle, tmp_path):
    name = trapped(runtime, lie_in_wait(bundle(), interpreter(runtime), 12), tmp_path / "out")
    beside(runtime, name, bundle)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    out_of_reach((tmp_path / "out").read_text())


@pytest.mark.slow_vm
def test_a_hook_in_a_shared_pid_namespace_cannot_be_caught(runtime, bundle, tmp_path):
    """Until it is the hook's own program, which runs as the specification has it."""
    name = trapped(runtime, lie_in_wait(bundle(), interpreter(runtime), 12), tmp_path / "out")
    hooks = {kind: [{"path": "/bin/true"}] * 3 for kind in ("createContainer", "startContainer")}
    beside(runtime, name, bundle, hooks=hooks)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    out_of_reach((tmp_path / "out").read_text())


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
    with caught():
        out_of_reach(text)


# With CAP_SYS_PTRACE, and no user namespace between


@pytest.mark.slow_vm
@pytest.mark.parametrize("how", ["exec", pytest.param("create", marks=REMAINS)])
def test_the_program_is_not_written_with_cap_sys_ptrace(runtime, bundle, tmp_path, how):
    """That capability opens every process in the pid namespace, dumpable or not; the host's program it must not."""
    mine = interpreter(runtime)
    before = fingerprint(mine)
    name = trapped(runtime, lie_in_wait(give(bundle(), "CAP_SYS_PTRACE"), mine, 12), tmp_path / "out")
    end = time.monotonic() + 2
    if how == "create":
        beside(runtime, name, bundle)
    while time.monotonic() < end:
        runtime.exec(name, "true", check=False)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    nothing_writable((tmp_path / "out").read_text())
    assert fingerprint(mine) == before


@pytest.mark.slow_vm
def test_the_program_is_not_written_with_cap_sys_ptrace_bites(runtime, bundle, tmp_path):
    """A copy of a program that nobody protects, and that enters the pid namespace again and again, is lost."""
    bait = Path(shutil.copy("/usr/bin/sleep", tmp_path / "bait"))
    name = trapped(runtime, lie_in_wait(give(bundle(), "CAP_SYS_PTRACE"), bait, 12), tmp_path / "out")
    end = time.monotonic() + 5
    while time.monotonic() < end and "writable" not in (tmp_path / "out").read_text():
        subprocess.run(["nsenter", "-t", str(runtime.pid(name)), "-p", str(bait), "0.005"], check=False, capture_output=True)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    with caught():
        nothing_writable((tmp_path / "out").read_text())


# What is dumpable, and when


def test_the_waiting_init_is_not_dumpable(runtime, bundle):
    """What is in /proc/PID belongs to root then, although the process is another user's (proc(5))."""
    name = runtime.create(become(bundle(), 1000))
    pid = runtime.pid(name)
    if runtime.name == "pyrunc":
        assert status_outside(pid)["Uid"].split()[0] == "1000"
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    runtime("start", name)
    assert os.stat(f"/proc/{pid}/fd").st_uid == 1000


def traced(trace: Path, argv: list[str]) -> list[tuple[str, str]]:
    """Run ARGV under strace; return pid and text of each call that joins, forks or makes dumpable."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    words = ["strace", "-f", "-o", str(trace), "-e", "trace=prctl,setns,clone,clone3,fork,vfork,execve,execveat"]
    subprocess.run([*words, *argv], check=True, timeout=60, capture_output=True)
    rows = (line.partition(" ") for line in trace.read_text().splitlines())
    return [(pid, text.strip()) for pid, _, text in rows]


HIDES = "PR_SET_DUMPABLE, SUID_DUMP_DISABLE"


def hidden_before_it_joins(calls: list[tuple[str, str]]) -> None:
    """Check that in CALLS who enters the container's mounts was not dumpable any more."""
    joined = next(place for place, (_, text) in enumerate(calls) if "setns(" in text and "CLONE_NEWNS" in text)
    assert any(pid == calls[joined][0] and HIDES in text for pid, text in calls[:joined])


def hidden_when_it_is_born(calls: list[tuple[str, str]]) -> None:
    """Check that in CALLS who forks into the container's pid namespace was not dumpable: the new process inherits that."""
    joined = next(place for place, (_, text) in enumerate(calls) if "setns(" in text and "CLONE_NEWPID" in text)
    mine = [text for pid, text in calls if pid == calls[joined][0]]
    forked = next(place for place, text in enumerate(mine) if text.startswith(("clone", "fork", "vfork")))
    settings = [text for text in mine[:forked] if "PR_SET_DUMPABLE" in text]
    assert settings
    assert HIDES in settings[-1]


@own_program
def test_the_joiner_is_not_dumpable_at_any_moment(runtime, bundle, tmp_path):
    calls = traced(tmp_path / "trace", runtime.argv("exec", runtime.start(bundle()), "true"))
    hidden_before_it_joins(calls)
    hidden_when_it_is_born(calls)


def test_the_joiner_is_not_dumpable_at_any_moment_bites(runtime, bundle, tmp_path):
    """nsenter(1), which is no runtime and need not care."""
    pid = runtime.pid(runtime.start(bundle()))
    calls = traced(tmp_path / "trace", ["nsenter", "-t", str(pid), "-m", "-p", "/bin/true"])
    with caught():
        hidden_before_it_joins(calls)
    with caught():
        hidden_when_it_is_born(calls)
