"""A source that nobody answers for: `create` waits for ever, and whoever gives up finds everything gone.

It is a FUSE file system whose server reads no request.  Only this test's own mount namespace has it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.harness.leaks import cgroup_directories
from integration.harness.runtime import wait_for
from integration.harness.silent import SERVER
from integration.looking import mapped

STUCK = ("fuse", "request_wait_answer")
pytestmark = [
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE"),
    pytest.mark.pyrunc_only("1.1 waits on, or leaves its process and the cgroups"),
]


@pytest.fixture
def silent(runtime, tmp_path):
    """Return a directory that hangs, for what RUNTIME runs from here on."""
    place = tmp_path / "silent"
    place.mkdir()
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", SERVER, str(place)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"mounted\n"
    runtime.prefix = ("nsenter", f"--mount=/proc/{server.pid}/ns/mnt", "--")
    yield place
    runtime.close()  # while the namespace is there
    runtime.prefix = ()
    server.communicate(b"")
    assert server.returncode == 0


def stuck(pid):
    """Return whether a child of process PID waits for an answer."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(Path(f"/proc/{child}/wchan").read_text().startswith(STUCK) for child in children)


@pytest.fixture(params=["own ids", "mapped ids"])
def waiting(request, runtime, bundle, silent):
    """Return the id of a container that is being created for ever, and the command that waits for it."""
    b = bundle()
    if request.param == "mapped ids":  # there a helper of the host's opens the sources
        mapped(b)
    b.mount("/data", "bind", str(silent / "sub"), "bind")
    name = runtime.prepare(b)
    command = runtime.popen("create", "--bundle", str(b.path), name)
    try:
        wait_for(lambda: stuck(command.pid), "a process to hang")
        yield name, command
    finally:
        command.kill()
        runtime("delete", "--force", name)  # its init has the other ends of the pipes
        command.communicate()


def gone(runtime, name):
    """Return whether nothing of container NAME is left; processes are the harness's to look for."""
    return not (runtime.root / name).exists() and not cgroup_directories(name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_who_gives_up_waiting_leaves_nothing(runtime, waiting, number):
    name, command = waiting
    command.send_signal(number)
    assert command.wait(timeout=20) == 130
    assert gone(runtime, name)


def test_delete_force_ends_the_create(runtime, waiting):
    name, command = waiting
    runtime("delete", "--force", name)
    said = command.communicate(timeout=20)[1]
    assert command.returncode == 1
    assert "was killed" in said, said
    assert said.count("\n") == 1
    assert gone(runtime, name)


def test_delete_force_after_the_create_was_killed(runtime, waiting):
    name, command = waiting
    command.kill()
    command.wait(timeout=20)
    assert runtime.state(name)["status"] == "creating"
    runtime("delete", "--force", name)
    assert gone(runtime, name)


def test_the_rest_goes_on(runtime, bundle, waiting):
    """Other containers do not wait for it."""
    assert runtime.output(bundle("echo", "here")) == "here\n"
    assert waiting[0] in runtime("list", "--quiet").stdout
