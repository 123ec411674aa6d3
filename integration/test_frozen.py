"""Cgroups that stand still: nobody begins anything there, and who waits for something there can be told to give up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.leaks import cgroup_directories
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, script, unified

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 10
STILL = Path("/sys/fs/cgroup" if unified() else "/sys/fs/cgroup/freezer")
FILE, FROZEN, THAWED = ("cgroup.freeze", "1", "0") if unified() else ("freezer.state", "FROZEN", "THAWED")
VERBS = [("run",), ("run", "--detach"), ("create",)]
verbs = pytest.mark.parametrize("words", VERBS, ids=" ".join)
waits = pytest.mark.pyrunc_only("runc looks at the container's own cgroup alone, and waits")


def set_state(directory: Path, state: str) -> None:
    (directory / FILE).write_text(state)


@pytest.fixture
def frozen(runtime) -> Iterator[Path]:
    """Return a cgroup that is frozen."""
    path = STILL / f"pyrunc-test-{os.getpid()}-frozen"
    path.mkdir()
    set_state(path, FROZEN)
    yield path
    set_state(path, THAWED)
    runtime.close()
    wait_for(lambda: removed(path), "the cgroup to be empty")


def removed(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, OSError):
        path.rmdir()
    return not path.exists()


def quiet(runtime, b, words: tuple[str, ...], below: str = "") -> subprocess.Popen[str]:
    """Begin to make a container of B by WORDS, in the cgroup BELOW the one that is frozen."""
    if below:
        b.linux["cgroupsPath"] = below
    name = runtime.prepare(b)
    return runtime.popen(*words, "--bundle", str(b.path), name, stdin=-3, stdout=-3)


@verbs
def test_a_cgroup_that_is_frozen(runtime, bundle, frozen, words):
    before = cgroup_directories(f"pyrunc-test-{os.getpid()}")
    command = quiet(runtime, bundle(), words, f"/{frozen.name}")
    said = command.communicate(timeout=SECONDS)[1]
    assert command.returncode == 1
    assert "container's cgroup unexpectedly frozen" in said
    assert not (runtime.root / runtime.ids[-1]).exists()
    if runtime.name == "pyrunc":
        assert "/linux/cgroupsPath" in said
        assert said.count("\n") == 1
        assert cgroup_directories(f"pyrunc-test-{os.getpid()}") == before
    assert (frozen / FILE).read_text().strip() == FROZEN


@waits
@verbs
@pytest.mark.parametrize("below", ["", "/here", "/not/yet"])
def test_a_cgroup_above_that_is_frozen(runtime, bundle, frozen, words, below):
    if below == "/here":
        (frozen / "here").mkdir()
    command = quiet(runtime, bundle(), words, f"/{frozen.name}{below}")
    said = command.communicate(timeout=SECONDS)[1]
    assert command.returncode == 1
    assert f"container's cgroup unexpectedly frozen: {frozen} " in said
    assert not (runtime.root / runtime.ids[-1]).exists()
    if below == "/here":
        (frozen / "here").rmdir()


HYBRID = Path("/sys/fs/cgroup/unified")


@pytest.mark.pyrunc_only("runc looks at version 1 alone")
@pytest.mark.skipif(not (HYBRID / "cgroup.controllers").exists(), reason="this machine has not both versions")
@pytest.mark.parametrize("below", ["", "/here"])
def test_a_frozen_cgroup_of_version_2_beside_version_1(runtime, bundle, below):
    path = HYBRID / f"pyrunc-test-{os.getpid()}-hybrid"
    path.mkdir()
    try:
        (path / "cgroup.freeze").write_text("1")
        command = quiet(runtime, bundle(), ("run",), f"/{path.name}{below}")
        said = command.communicate(timeout=SECONDS)[1]
        assert command.returncode == 1
        assert f"container's cgroup unexpectedly frozen: {path} " in said
    finally:
        (path / "cgroup.freeze").write_text("0")
        path.rmdir()


@pytest.fixture
def above(runtime, bundle) -> Iterator[tuple[str, str, Path]]:
    """Return a container that runs, one that was created, and the cgroup above both, which is frozen."""
    parent = f"pyrunc-test-{os.getpid()}-above"
    names = []
    for verb in (runtime.start, runtime.create):
        b = bundle()
        b.linux["cgroupsPath"] = f"/{parent}/{len(names)}"
        names.append(verb(b))
    set_state(STILL / parent, FROZEN)
    yield names[0], names[1], STILL / parent
    set_state(STILL / parent, THAWED)


@waits
def test_nothing_begins_below_a_cgroup_that_is_frozen(runtime, above):
    running, created, place = above
    for words in (("exec", running, "true"), ("start", created)):
        done = runtime(*words, check=False, timeout=SECONDS)
        assert done.returncode in (1, 255)
        assert f"cgroup {place} is frozen" in done.stderr
    set_state(place, THAWED)
    runtime.exec(running, "true")
    runtime("start", created)
    assert runtime.status(created) == "running"


# Who waits can be told to give up


def freezing(runtime, b) -> Path:
    """Let B's hook freeze B's cgroup, when its process is in there; return a file that is there from then on."""
    mark = b.path / "frozen"
    directory = f"{STILL}/pyrunc-test-{os.getpid()}-meanwhile"
    b.linux["cgroupsPath"] = f"/{Path(directory).name}"
    line = f"echo {FROZEN} >{directory}/{FILE}; touch {mark}"
    b.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", line]}]}
    return mark


@waits
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@verbs
def test_frozen_meanwhile(runtime, bundle, words, number):
    """Somebody freezes the cgroup while the container is made: that is waited for, but no signal is missed."""
    b = bundle()
    mark = freezing(runtime, b)
    command = quiet(runtime, b, words)
    try:
        wait_for(mark.exists, "the hook to have frozen it")
        time.sleep(0.1)
        assert command.poll() is None
        command.send_signal(number)
        command.wait(SECONDS)
    finally:
        command.kill()
        command.communicate()
    assert command.returncode == 130
    assert not (runtime.root / runtime.ids[-1]).exists()
    assert not cgroup_directories(f"pyrunc-test-{os.getpid()}-meanwhile")


@waits
@pytest.mark.parametrize("flags", [(), ("--detach",)], ids=["foreground", "detached"])
def test_an_exec_into_a_paused_container(runtime, bundle, flags):
    name = runtime.start(bundle())
    runtime("pause", name)
    command = runtime.popen("exec", "--ignore-paused", *flags, name, "true", stdin=-3, stdout=-3, stderr=-3)
    directory = cgroup_of(runtime.pid(name), "freezer")
    wait_for(lambda: len((directory / "cgroup.procs").read_text().split()) > 1, "another process in there")
    command.send_signal(signal.SIGTERM)
    assert command.wait(SECONDS) == 130
    runtime("resume", name)
    wait_for(lambda: len((directory / "cgroup.procs").read_text().split()) == 1, "it to be gone")
    runtime.exec(name, "true")


def hanging(b, kind: str) -> Path:
    """Let B have a hook of KIND that ends only when a file is gone; return that."""
    up = b.path / "up"
    inside = kind == "startContainer"
    line = f"touch {up}; while test -e {up}; do sleep 0.05; done"
    if inside:
        line = "touch /up; while test -e /up; do sleep 0.05; done"
        script(b, "/bin/hook", f"#!/bin/sh\n{line}\n")
        up = b.rootfs / "up"
    hook = {"path": "/bin/hook"} if inside else {"path": "/bin/sh", "args": ["sh", "-c", line]}
    b.config["hooks"] = {kind: [hook]}
    return up


KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]


@pytest.mark.pyrunc_only("runc waits on: what comes by signal is for the container")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [(), ("--detach",)], ids=["foreground", "detached"])
def test_a_hook_that_hangs(runtime, bundle, kind, flags):
    b = bundle()
    up = hanging(b, kind)
    command = quiet(runtime, b, ("run", *flags))
    try:
        wait_for(up.exists, "the hook to run")
        command.send_signal(signal.SIGTERM)
        command.wait(SECONDS)
    finally:
        up.unlink(missing_ok=True)  # a hook is the caller's: it is not killed with the runtime
        command.kill()
        command.communicate()
    assert command.returncode == 130
    assert not (runtime.root / runtime.ids[-1]).exists()


@pytest.mark.pyrunc_only("runc waits on: what comes by signal is for the container")
def test_a_last_hook_that_hangs(runtime, bundle):
    b = bundle("true")
    up = hanging(b, "poststop")
    command = quiet(runtime, b, ("run",))
    try:
        wait_for(up.exists, "the hook to run")
        command.send_signal(signal.SIGTERM)
        command.wait(SECONDS)
    finally:
        up.unlink(missing_ok=True)
        command.kill()
        command.communicate()
    assert not (runtime.root / runtime.ids[-1]).exists()


def test_signals_are_the_containers_once_it_runs(runtime, bundle):
    b = bundle("trap 'echo got; exit 7' TERM; echo up; while true; do usleep 10000; done")
    name = runtime.prepare(b)
    command = runtime.popen("run", "--bundle", str(b.path), name)
    assert command.stdout.readline() == "up\n"
    command.send_signal(signal.SIGTERM)
    out, _ = command.communicate(timeout=SECONDS)
    assert (out, command.returncode) == ("got\n", 7)
