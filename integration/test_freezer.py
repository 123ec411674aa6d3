"""pause, resume and kill --all: all of a container's processes at once, whatever they are doing."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.crash import Victim
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, compiled, give, unified

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

TICKERS = 'for i in $(seq 20); do (while true; do echo . >>/data/t$i; usleep 10000; done) & done; touch /data/there; wait'
# Waits for a page that nobody brings (userfaultfd(2)), and in a call that signals do not end: killing does.
HANG = r"""
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
int main(void) {
    char room[1], *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register all = {.range = {(unsigned long)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    struct iovec here = {room, 1}, there = {page, 1};
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &all)) return perror("hang"), 1;
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0);
}
"""
FORKERS = 'for i in 1 2 3 4; do (while true; do true | cat; echo . >>/data/t$i; done) & done; touch /data/there; wait'


def busy(runtime: Runtime, b: Bundle) -> str:
    name = runtime.start(b)
    wait_for(lambda: (b.rootfs / "data/there").exists() and ticks(b), "the container to be busy")
    return name


def ticks(b: Bundle) -> int:
    return sum(path.stat().st_size for path in (b.rootfs / "data").glob("t[0-9]*"))


def members(runtime: Runtime, name: str) -> set[int]:
    directory = cgroup_of(runtime.pid(name), "freezer")
    return {int(word) for path in directory.rglob("cgroup.procs") for word in path.read_text().split()}


def switches(pid: int) -> str:
    """Return how often process PID was on a processor."""
    return "".join(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt_switches" in line)


@pytest.mark.parametrize("line", [TICKERS, FORKERS], ids=["tickers", "forkers"])
def test_nothing_runs_while_it_is_paused(runtime, bundle, line):
    b = bundle(line)
    name = busy(runtime, b)
    for _ in range(30):
        runtime("pause", name)
        assert runtime.status(name) == "paused"
        before, pids = ticks(b), members(runtime, name)
        running = {pid: switches(pid) for pid in pids}
        time.sleep(0.2)
        assert ticks(b) == before
        assert members(runtime, name) == pids
        assert {pid: switches(pid) for pid in pids} == running
        runtime("resume", name)
        assert runtime.status(name) == "running"
        wait_for(lambda: ticks(b) > before, "the container to go on")  # noqa: B023 - called at once


def test_pause_is_quick(runtime, bundle):
    """It waits until all are frozen, and not longer: not much longer than a command that waits for nothing."""
    name = busy(runtime, bundle(FORKERS))
    began = time.monotonic()
    for _ in range(10):
        runtime("state", name)
    between = time.monotonic()
    for _ in range(5):
        runtime("pause", name)
        runtime("resume", name)
    assert time.monotonic() - between < 3 * (between - began) + 3


def test_pausing_what_is_paused(runtime, bundle):
    name = runtime.start(bundle())
    runtime("pause", name)
    if runtime.name == "pyrunc":
        assert "container not running or created: paused" in runtime.refuses("pause", name)
    runtime("resume", name)
    assert "container not paused" in runtime.refuses("resume", name)


def shared(b: Bundle) -> Bundle:
    """Let B see the host's processes, so that the end of its init is not the end of all."""
    b.namespace("pid", drop=True)
    return b


def test_a_signal_for_all(runtime, bundle):
    b = shared(bundle("trap 'touch /data/got0; exit' USR1; for i in 1 2 3; do (trap \"touch /data/got$i; exit\" USR1; touch /data/is$i; while true; do usleep 10000; done) & done; touch /data/is0; while true; do usleep 10000; done"))
    name = runtime.start(b)
    wait_for(lambda: all((b.rootfs / f"data/is{i}").exists() for i in range(4)), "four processes")
    runtime("kill", "--all", name, "USR1")
    wait_for(lambda: all((b.rootfs / f"data/got{i}").exists() for i in range(4)), "four signals")
    runtime.wait(name, "stopped")


@pytest.mark.parametrize("paused", [False, True])
def test_kill_all_leaves_nobody(runtime, bundle, paused):
    b = shared(bundle(TICKERS))
    name = busy(runtime, b)
    pids, directory = members(runtime, name), cgroup_of(runtime.pid(name), "freezer")
    assert len(pids) > 20
    if paused:
        runtime("pause", name)
    if paused and runtime.name == "runc" and not unified():
        runtime("resume", name)  # 1.1 leaves them frozen
    runtime("kill", "--all", name, "KILL")
    wait_for(lambda: not (directory / "cgroup.procs").read_text(), "the cgroup to be empty")
    runtime.wait(name, "stopped")
    runtime("delete", name)


def test_delete_takes_what_the_init_left(runtime, bundle):
    """Without a pid namespace of its own, an init that is killed leaves its children."""
    b = shared(bundle(TICKERS))
    name = busy(runtime, b)
    directory = cgroup_of(runtime.pid(name), "freezer")
    os.kill(runtime.pid(name), signal.SIGKILL)
    runtime.wait(name, "stopped")
    assert (directory / "cgroup.procs").read_text()
    if runtime.name == "runc":
        runtime("kill", "--all", name, "KILL")
        wait_for(lambda: not (directory / "cgroup.procs").read_text(), "the cgroup to be empty")
    runtime("delete", name)
    assert not directory.exists()


def test_kill_reaches_what_hides_in_a_group_below(runtime, bundle):
    b: Any = shared(bundle())
    b.namespace("cgroup")
    for mount in b.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["rw", "nosuid", "noexec", "nodev"]
    name = runtime.start(b)
    directory = cgroup_of(runtime.pid(name), "devices")
    here = "/sys/fs/cgroup" if unified() else "/sys/fs/cgroup/devices"
    line = f"mkdir -p {here}/one/two && echo $$ >{here}/one/two/cgroup.procs && exec sleep 1000"
    with runtime.popen("exec", name, "sh", "-c", line) as hidden:
        hidden_in = directory / "one/two/cgroup.procs"
        wait_for(lambda: hidden_in.exists() and hidden_in.read_text(), "it to hide")
        runtime("kill", "--all", name, "KILL")
        assert hidden.wait(10) != 0
        hidden.communicate()
    runtime.wait(name, "stopped")
    runtime("delete", name)
    assert not directory.exists()


@pytest.mark.pyrunc_only("1.1 tries for longer than a test should take")
def test_what_cannot_be_frozen(runtime, bundle):
    """A process that sleeps in the kernel holds the freezer up: after a bounded time it is an error, and the rest goes on."""
    if "userfaultfd" not in Path("/proc/kallsyms").read_text():
        pytest.skip("this kernel has no userfaultfd")
    b = bundle("(hang &) && while true; do echo . >>/data/t1; touch /data/there; usleep 10000; done")
    shutil.copy(compiled(HANG, "-static"), b.rootfs / "bin/hang")
    give(b, "CAP_SYS_PTRACE")
    name = busy(runtime, b)
    wait_for(lambda: any(_sleeps_in_kernel(pid) for pid in members(runtime, name)), "one to hang")
    began = time.monotonic()
    said = runtime.refuses("pause", name)
    assert 4 < time.monotonic() - began < 20
    assert "did not freeze within 5 s" in said
    assert runtime.status(name) == "running"
    before = ticks(b)
    wait_for(lambda: ticks(b) > before, "the rest to go on")
    runtime("delete", "--force", name)


def _sleeps_in_kernel(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"
    except OSError:
        return False


@pytest.mark.v1
def test_delete_by_force_while_somebody_pauses(runtime, bundle):
    """Processes that are frozen again before they could die are thawed again: so many take their time."""
    b = bundle("for i in $(seq 400); do sleep 1000 & done; touch /data/there; wait")
    name = runtime.start(b)
    wait_for((b.rootfs / "data/there").exists, "all to be there")
    state = cgroup_of(runtime.pid(name), "freezer") / "freezer.state"
    state.write_text("FROZEN")
    wait_for(lambda: state.read_text() == "FROZEN\n", "it to be frozen")
    deleting = runtime.popen("delete", "--force", name)
    for _ in range(30):
        try:
            while state.read_text() != "THAWED\n":
                assert deleting.poll() in (None, 0), "it has given up"
            state.write_text("FROZEN")
        except OSError:
            break  # the cgroup has been removed
    assert deleting.communicate(timeout=30) == ("", "")
    assert deleting.returncode == 0


@pytest.mark.v1
@pytest.mark.pyrunc_only("what is tried here goes by pyrunc's own steps; with runc it stays paused")
def test_a_pause_that_meets_a_kill_does_not_keep_it_alive(runtime, bundle):
    """The signal comes between the look at the state and the freezer: frozen, it would not be heeded before a resume."""
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    state = cgroup_of(pid, "freezer") / "freezer.state"
    victim = Victim(runtime)
    first = victim.calls("pause", name)
    runtime("resume", name)
    wait_for(lambda: state.read_text() == "THAWED\n", "it to go on")
    looked = [call for call in first if "freezer.state" in call.line and call.name == "openat"][0]
    stopped = victim.stop_at(looked, "pause", name)  # it has looked whether the container is frozen
    state.write_text("FROZEN")
    wait_for(lambda: state.read_text() == "FROZEN\n", "it to be frozen")
    os.kill(pid, signal.SIGKILL)
    os.kill(stopped.pid, signal.SIGCONT)
    _, said = stopped.strace.communicate(timeout=60)
    wait_for(lambda: runtime.status(name) == "stopped", lambda: runtime.status(name), what="the kill to arrive")
    assert stopped.strace.returncode == 1
    assert "container not running" in said, said
