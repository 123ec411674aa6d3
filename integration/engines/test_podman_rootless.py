"""Podman without root: the runtime is root of a user namespace, in the pid namespace of the machine."""

from __future__ import annotations

import os
import select
import shutil
import socket
from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.rootless import podman_of
from integration.harness.ordinary import public_directory
from integration.harness.runtime import wait_for
from integration.looking import compiled
from integration.test_service import READY

need("podman", "newuidmap")
WAIT = 100


@pytest.fixture(scope="module")
def rootless_engine(place, binary, image):
    with public_directory() as directory, podman_of(place, binary, directory, image) as made:
        yield made


@pytest.fixture
def rootless(rootless_engine):
    yield rootless_engine
    rootless_engine.remove_used()


@pytest.fixture(scope="module")
def box(rootless_engine):
    name = rootless_engine.start("--env=A=1")
    rootless_engine.used.remove(name)
    return name


def test_the_runtime_is_the_one_under_test(rootless, box, binary):
    assert rootless.output("inspect", "--format={{.OCIRuntime}}", box).endswith(Path(binary).name)
    assert any("create" in argv for argv in rootless.argvs())


def test_run(rootless):
    assert rootless.inside("id -u; cat /proc/1/comm; exec cat /proc/1/comm").splitlines() == ["0", "sh", "cat"]


@pytest.mark.parametrize("status", [0, 3, 126])
def test_the_status_of_exec(rootless, box, status):
    done = rootless("exec", box, "sh", "-c", f"cat /proc/$$/comm; exit {status}", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "sh\n", "")


def test_a_program_that_is_not_there(rootless, box):
    done = rootless("exec", box, "no-such-program", check=False)
    assert done.returncode == 127
    assert "executable file not found" in done.stderr


@pytest.mark.parametrize(
    ("options", "command", "found"),
    [
        ((), "echo $A; pwd", "1\n/"),
        (("--env=A=2", "--workdir=/data"), "echo $A; pwd", "2\n/data"),
        (("--user=app",), "id -u; id -G", "1000\n1000\n2000"),
        (("--user=0:2000",), "id -u; id -g", "0\n2000"),
        (("--tty",), "test -t 1 && echo terminal", "terminal"),
        (("--privileged",), "grep -c 'CapEff:.*ff$' /proc/self/status", "1"),
    ],
)
def test_exec_with_options(rootless, box, options, command, found):
    out = rootless.output("exec", *options, box, "sh", "-c", command)
    assert out.replace("\r", "").split() == found.split()


def test_exec_with_input(rootless, box):
    assert rootless("exec", "--interactive", box, "cat", input="through\n").stdout == "through\n"


def test_exec_in_the_background(rootless, box):
    rootless("exec", "--detach", box, "sh", "-c", "echo done >/tmp/mark; exec sleep 1000")
    wait_for(lambda: rootless.output("exec", box, "cat", "/tmp/mark") == "done", "the mark")
    assert "sleep 1000" in rootless.output("top", box, "args")


def test_exec_of_processes_that_each_see_each_other(rootless, box):
    """An exec is in the container's own pid namespace, not in one between."""
    comm, first, second = rootless.exec(box, "cat /proc/1/comm; for p in 1 self; do readlink /proc/$p/ns/pid; done").split()
    assert (comm, first) == ("sleep", second)


def test_a_user_namespace_of_its_own(rootless):
    """Then the container's is below the one that Podman works in."""
    name = rootless.start("--userns=auto:size=1000")
    done = rootless("exec", name, "sh", "-c", "cut -c1-40 /proc/self/uid_map; exit 4", check=False)
    assert (done.returncode, done.stdout.split()[0], done.stdout.split()[2]) == (4, "0", "1000")


def test_the_same_user_inside(rootless):
    name = rootless.start("--userns=keep-id")
    assert rootless.output("exec", name, "id", "-u") == "1000"


def test_it_stops(rootless):
    name = rootless.start(command="trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done")
    wait_for(lambda: "up" in rootless.output("logs", name), "the trap")
    rootless("stop", "--time=20", name)
    assert rootless.output("inspect", "--format={{.State.ExitCode}}", name) == "7"


def test_a_container_that_says_that_it_is_ready(rootless):
    """Podman passes NOTIFY_SOCKET to the runtime (--sdnotify=container), which makes the container's own."""
    program = rootless.directory / "ready"
    shutil.copy(compiled(READY, "-static"), program)
    program.chmod(0o755)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = rootless.directory / "manager"
    manager.bind(str(path))
    path.chmod(0o777)
    environment = {**rootless.environment, "NOTIFY_SOCKET": str(path)}
    words = ("--sdnotify=container", f"--volume={program}:/ready:ro")
    name = rootless.start(*words, command="exec /ready 1000 READY=1", env=environment)
    said = b""
    while b"READY=1" not in said or b"MAINPID=" not in said:
        assert select.select([manager], [], [], WAIT)[0], said
        data, fds, _, _ = socket.recv_fds(manager, 4096, 8)
        for fd in fds:
            os.close(fd)
        said += data + b"\n"
    assert rootless.output("logs", name) == "/run/notify/notify.sock"
