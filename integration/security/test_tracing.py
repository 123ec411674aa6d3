"""A process that may trace others (CAP_SYS_PTRACE), and what it gets of a process that joins: nothing of the host's."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from integration.looking import fingerprint, give, interpreter, with_probe
from integration.security.test_joining import trapped

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle


def taken(text: str, b: Bundle) -> set[str]:
    """Return what the process of B has told in TEXT that it could write to, other than by its own cgroups to join them."""
    own = b.linux.get("cgroupsPath", "no such path")
    lines = {line.partition(" (process ")[0] for line in text.splitlines()} - {"ready", "done"}
    return {line for line in lines if not (own in line and line.endswith("/tasks"))}


@pytest.mark.slow_vm
@pytest.mark.parametrize("given", ["by the configuration", "by an exec before", "in a namespace of another"])
def test_who_may_trace_gets_nothing_of_the_hosts_from_one_that_joins(runtime, bundle, tmp_path, given):
    """CAP_SYS_PTRACE opens /proc/PID of what is not dumpable, too: program, descriptors and root are then the container's."""
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    mine = interpreter(runtime)
    before = fingerprint(mine)
    b = with_probe(bundle())
    b.linux["cgroupsPath"] = f"/{tmp_path.name}"
    if given != "by an exec before":
        give(b, "CAP_SYS_PTRACE")
    tracer = name = runtime.start(b)
    if given == "in a namespace of another":
        other = bundle()
        other.namespace("pid", path=f"/proc/{runtime.pid(tracer)}/ns/pid")
        name = runtime.start(other)
    out = tmp_path / "out"
    with out.open("w") as file:
        words = ("exec", "--detach", "--cap", "CAP_SYS_PTRACE", tracer, "probe", "trace", "5", str(victim))
        runtime(*words, stdout=file, stderr=subprocess.DEVNULL)
    while not out.read_text():
        time.sleep(0.02)
    tries, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        runtime.exec(name, "true")
        runtime("exec", "--user", "1000", "--cwd", "/tmp", name, "true")
        tries += 2
    while "done" not in out.read_text():
        time.sleep(0.02)
    assert tries > 8  # on a machine that is busy with other things
    allowed = {f"program {mine}"} if mine.name.startswith("python") else set()  # a script's is the host's
    assert taken(out.read_text(), b) <= allowed, out.read_text()
    assert victim.read_text() == "the host's"
    assert fingerprint(mine) == before


@pytest.mark.slow_vm
def test_the_trap_of_who_may_trace_works(runtime, bundle, tmp_path):
    """What the test above would find."""
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    copy = tmp_path / "sleep"
    shutil.copy("/bin/sleep", copy)
    b = with_probe(give(bundle(), "CAP_SYS_PTRACE"), "trace", "2", str(victim))
    name = trapped(runtime, b, tmp_path / "out")
    with victim.open("a") as file:
        argv = ["nsenter", "-t", str(runtime.pid(name)), "-p", str(copy), "0.5"]
        subprocess.run(argv, check=True, stdout=file, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    runtime.wait(name, "stopped")
    found = taken((tmp_path / "out").read_text(), b)
    assert {f"program {copy}", "victim by root of it", f"file {victim}"} <= found
