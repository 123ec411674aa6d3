"""What engines look for in a runtime's errors, and in its version: a different word there is another behaviour of theirs.

Docker makes exit statuses of them (127 and 126), containerd's shim `not found`, and with it an end that is no error; Podman the
kind of its error. They read the last error of the JSON log, or standard error.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess

import pytest

from integration.harness.receiver import Receiver

MISSING = ("executable file not found in $PATH", "no such file or directory")  # Docker: 127; Podman: not found
REFUSED = ("permission denied", "is a directory", "not a directory")  # Docker: 126


def logged(runtime, tmp_path, *words, status: int) -> str:
    """Run a command that fails; return the message that an engine finds in the log, which standard error has too."""
    log = tmp_path / "log.json"
    done = runtime("--log", str(log), "--log-format", "json", *words, check=False)
    assert done.returncode == status, done
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    last = [row["msg"] for row in rows if row["level"] == "error"][-1]
    assert done.stderr.strip().endswith(last) or runtime.name == "runc", done.stderr
    return last


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such", MISSING[:1]),
        ("/no/such", MISSING[1:]),
        ("./no/such", MISSING[1:]),
        ("/etc/passwd", REFUSED[:1]),
        ("/etc", REFUSED[:2]),
        ("/etc/passwd/x", REFUSED[2:]),
    ],
)
@pytest.mark.parametrize("verb", ["create", "exec"])
def test_a_program_that_cannot_run(runtime, bundle, tmp_path, verb, program, words):
    b = bundle(program) if verb == "create" else bundle()
    if verb == "create":
        b.process["args"] = [program]
        said = logged(runtime, tmp_path, "create", "--bundle", str(b.path), runtime.prepare(b), status=1)
    else:
        said = logged(runtime, tmp_path, "exec", runtime.start(b), program, status=255)
    assert any(word in said for word in words), said
    others = [word for word in (*MISSING, *REFUSED) if word not in words and word in said]
    assert not others, f"{said}: Docker would take this for {others}"


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete", "pause", "resume", "ps", "exec", "update", "events"])
def test_a_container_that_is_gone(runtime, tmp_path, verb):
    """containerd and Podman: gone, and no error of theirs."""
    flags = {"events": ["--stats"], "update": ["--pids-limit", "9"]}.get(verb, [])
    extra = {"kill": ["9"], "exec": ["true"]}.get(verb, [])
    said = logged(runtime, tmp_path, verb, *flags, runtime.new_id(), *extra, status=255 if verb == "exec" else 1)
    assert "container does not exist" in said


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("kill", "container not running"),  # containerd: the process has finished already
        ("start", "cannot start a container that has stopped"),
        ("exec", "cannot exec in a stopped container"),
        ("pause", "container not running"),
        ("create", "container with given ID already exists"),
    ],
)
def test_a_container_that_has_ended(runtime, bundle, tmp_path, verb, words):
    b = bundle("true")
    name = runtime.start(b)
    runtime.wait(name, "stopped")
    extra = {"kill": ["9"], "exec": ["true"]}.get(verb, [])
    flags = ["--bundle", str(b.path)] if verb == "create" else []
    assert words in logged(runtime, tmp_path, verb, *flags, name, *extra, status=255 if verb == "exec" else 1)


def test_other_states(runtime, bundle, tmp_path):
    name = runtime.start(bundle())
    assert "cannot start an already running container" in logged(runtime, tmp_path, "start", name, status=1)
    assert "cannot delete container" in logged(runtime, tmp_path, "delete", name, status=1)
    assert "not paused" in logged(runtime, tmp_path, "resume", name, status=1)
    runtime("pause", name)
    assert "cannot exec in a paused container" in logged(runtime, tmp_path, "exec", name, "true", status=255)
    runtime("resume", name)


def test_the_version_as_it_is_parsed(runtime):
    """Docker: words of a line with `version`, and what follows `commit: `; go-runc: lines split at `version ` and `: `."""
    lines = runtime("--version").stdout.splitlines()
    assert re.fullmatch(r"\S+ version \S+", lines[0])
    assert all(len(line.split(": ")) == 2 for line in lines[1:])
    assert [line.partition(":")[0] for line in lines[1:3]] == ["commit", "spec"]
    assert runtime("-v").stdout.splitlines() == lines


def pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        return int(next(line for line in file if line.startswith("Pid:")).split()[1])


@pytest.mark.pyrunc_only("1.2 has it first")
@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_a_pidfd_is_sent(runtime, bundle, tmp_path, verb):
    """It is the process', and tells of its end."""
    listening = Receiver(tmp_path / "s")
    pid_file = tmp_path / "pid"
    given = ["--pidfd-socket", listening.path, "--pid-file", str(pid_file)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if verb == "exec":
        name = runtime.start(bundle())
        runtime("exec", "--detach", *given, name, "sleep", "1000", **quiet)
    elif verb == "create":
        name = runtime.create(bundle(), *given)
    else:
        b = bundle()
        name = runtime.prepare(b)
        runtime("run", "--detach", "--bundle", str(b.path), *given, name, **quiet)
    word, pidfd = listening.receive()
    assert word == (b"setns" if verb == "exec" else b"standard")
    assert pid_of(pidfd) == int(pid_file.read_text())
    if verb != "exec":
        assert pid_of(pidfd) == runtime.pid(name)
    assert select.select([pidfd], [], [], 0)[0] == []
    runtime("delete", "--force", name)
    assert select.select([pidfd], [], [], 20)[0] == [pidfd]
    os.close(pidfd)


@pytest.mark.pyrunc_only("1.2 has it first")
def test_a_pidfd_that_nobody_takes(runtime, bundle, tmp_path):
    b = bundle()
    name = runtime.prepare(b)
    said = runtime.refuses("create", "--bundle", str(b.path), "--pidfd-socket", str(tmp_path / "none"), name)
    assert f"cannot send a descriptor to socket {tmp_path}/none: no such file or directory" in said
    assert "does not exist" in runtime.refuses("state", name)
