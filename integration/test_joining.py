"""How a process gets into its cgroup of version 2, and cgroups that none can be in."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from integration.harness.crash import Victim
from integration.harness.runtime import SECONDS, wait_for
from integration.looking import cgroup_of

pytestmark = pytest.mark.v2
TOP = Path("/sys/fs/cgroup")
LATER = [{"memory": {"limit": 64 << 20}}, {"pids": {"limit": 9}}, {"cpu": {"quota": 50000}}, {"unified": {"memory.high": "64000000"}}]


def born_in(runtime, *words, undo=()):
    """Run WORDS, stop the runtime right after its fork, and return the cgroup that the new process is in then.

    Nobody but the runtime could have moved that process; afterwards the runtime goes on.  They are run twice, and UNDO in
    between: the first time tells which system call comes after the fork, as a fork itself cannot be stopped at.
    """
    victim = Victim(runtime)
    after = next(call for call in victim.calls(*words, after="clone3(") if call.name == "rt_sigprocmask")
    if undo:
        runtime(*undo)
    stopped = victim.stop_at(after, *words)
    try:
        found = cgroup_of(stopped.init(), "")
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
        status = stopped.strace.wait(SECONDS * 2)  # not for the end of its standard error, which the container has too
        stopped.strace.stderr.close()
    assert status == 0
    return found


@pytest.mark.pyrunc_only("1.1 moves it there")
def test_without_limits_it_is_born_there(runtime, bundle):
    b = bundle()
    name = runtime.prepare(b)
    there = TOP / f"{name}-parent" / name
    assert born_in(runtime, "create", "--bundle", str(b.path), name, undo=("delete", "--force", name)) == there
    runtime("start", name)
    assert born_in(runtime, "exec", "-d", name, "sleep", "1000") == there
    assert cgroup_of(runtime.pid(name), "") == there


@pytest.mark.pyrunc_only("the point of time is ours")
@pytest.mark.parametrize("resources", LATER, ids=lambda each: next(iter(each)))
def test_where_it_would_be_counted_it_comes_late(runtime, bundle, resources):
    b = bundle()
    b.linux["resources"] |= resources
    name = runtime.prepare(b)
    there = TOP / f"{name}-parent" / name
    assert born_in(runtime, "create", "--bundle", str(b.path), name, undo=("delete", "--force", name)) == cgroup_of("self", "")
    assert cgroup_of(runtime.pid(name), "") == there
    runtime("start", name)
    assert born_in(runtime, "exec", "-d", name, "sleep", "1000") == cgroup_of("self", "")
    assert len((there / "cgroup.procs").read_text().split()) == 3  # its init, and each of both execs


@pytest.mark.pyrunc_only("1.1 needs pids for its own threads")
def test_exec_into_a_container_that_is_full(runtime, bundle):
    """No pid is left, as in a fork bomb: whoever is to help gets in all the same."""
    b = bundle("for i in 1 2 3 4 5 6 7; do sleep 1000 & done; wait")
    b.linux["resources"]["pids"] = {"limit": 8}
    name = runtime.start(b)
    directory = cgroup_of(runtime.pid(name), "")
    assert (directory / "pids.max").read_text() == "8\n"
    wait_for(lambda: (directory / "pids.current").read_text() == "8\n", "it to be full")
    assert runtime.exec(name, "echo", "helped").stdout == "helped\n"


def delegated(b):
    """Give B the whole of its cgroup, as a systemd inside needs it."""
    b.namespace("cgroup")
    for mount in b.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev"]
    return b


def test_exec_where_the_container_has_handed_its_controllers_down(runtime, bundle):
    """Its own cgroup may then have no processes: exec goes where the init has gone."""
    line = "cd /sys/fs/cgroup && mkdir init && echo 0 >init/cgroup.procs && echo +pids >cgroup.subtree_control && touch /data/up && sleep 1000"
    b = delegated(bundle(line))
    name = runtime.start(b)
    wait_for((b.rootfs / "data/up").exists, "the container to be arranged")
    assert runtime.exec(name, "cat", "/proc/self/cgroup").stdout.strip().endswith("/init")
    assert cgroup_of(runtime.pid(name), "").name == "init"


def test_exec_where_the_containers_own_cgroup_is_gone(runtime, bundle):
    """Somebody has moved its init to another cgroup, and removed the one that it had."""
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    first = cgroup_of(pid, "")
    other = TOP / f"pyrunc-test-{os.getpid()}-other"
    other.mkdir()
    try:
        (other / "cgroup.procs").write_text(str(pid))
        first.rmdir()
        assert runtime.exec(name, "cat", "/proc/self/cgroup").stdout.splitlines()[-1].endswith(f"/{other.name}")
    finally:
        runtime("delete", "--force", name)
        wait_for(lambda: not (other / "cgroup.procs").read_text(), "its processes to be gone")
        other.rmdir()


# Threads


@pytest.fixture
def threaded():
    """Return a parent whose children are threaded, and one of them."""
    parent = TOP / f"pyrunc-test-{os.getpid()}-threaded"
    (parent / "child").mkdir(parents=True)
    (parent / "child/cgroup.type").write_text("threaded")
    assert (parent / "cgroup.type").read_text() == "domain threaded\n"
    yield parent
    (parent / "child").rmdir()
    parent.rmdir()


@pytest.mark.pyrunc_only("1.1 says it otherwise, or makes the cgroup threaded")
@pytest.mark.parametrize("below", ["box", "child/box", "child"])
def test_threaded_cgroups_are_refused(runtime, bundle, threaded, below):
    """A parent that is the root of threads, one that is threaded, and one that is there and threaded itself."""
    b = bundle("true")
    b.linux["cgroupsPath"] = f"/{threaded.name}/{below}"
    name = runtime.prepare(b)
    said = runtime.refuses("create", "--bundle", str(b.path), name)
    assert "a container cannot be in a threaded cgroup: " in said
    assert "(at /linux/cgroupsPath; " in said
    if below == "child":
        assert f"{threaded}/child is threaded" in said
        assert (threaded / below).exists()
    else:
        assert f"the parent cgroup {(threaded / below).parent} is threaded" in said
        assert not (threaded / below).exists()
