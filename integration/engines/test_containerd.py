"""containerd, used by ctr as an administrator does: running, and limits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.engines import documented
from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.containerd import NEEDED, SIZED, SYSTEMD, command
from integration.harness.runtime import WAIT, wait_for
from integration.looking import cgroup_of, unified

need(*NEEDED)

# What the virtual machine runs without being asked.
QUICK = ("test_run_shows_output_and_status", "test_exec_shows_output_and_status", "test_memory_limit")
LIMITED = ("--memory-limit", "16777216")
EATS = "x=aaaaaaaa; while :; do x=$x$x; done"
cgroupfs = pytest.mark.skipif(SYSTEMD, reason="--cgroup names a unit with the systemd driver")


@pytest.fixture
def started(box, tmp_path):
    """Start ctr with some words, and end it with the test."""
    with contextlib.ExitStack() as stack:

        def start(*words):
            process = stack.enter_context(box.containerd.place.popen(*box.containerd.argv(*words)))
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def events(box, tmp_path):
    """Return what tells the events of one topic so far."""
    log = (tmp_path / "events").open("w+")
    words = box.containerd.place.argv(*box.containerd.argv("events"))
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def seen(topic="/"):
        log.seek(0)
        rows = (line.split(" ", 6)[5:] for line in log if topic in line)
        return [json.loads(row[1]) for row in rows]

    def subscribed():
        box.ctr("image", "label", images.NAME, f"time={time.monotonic()}")
        return seen("/images/update")

    wait_for(subscribed, seen, what="events to come")
    yield seen
    process.terminate()
    process.wait()
    log.close()


def knob(pid, controller, old, new):
    """Return what a limit of process PID is: file OLD of version 1, or NEW."""
    return (cgroup_of(pid, controller) / (new if unified() else old)).read_text().strip()


# Running


def test_run_shows_output_and_status(box):
    done = box.run(do="echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert done.stderr.startswith("err\n")


def test_exec_shows_output_and_status(box):
    name = box.start()
    done = box.exec(name, do="echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert done.stderr.startswith("err\n")


def test_kill_ends_it_with_128_and_the_signal(box, started):
    name = box.new_id()
    run = started("run", "--rm", *box.creation(name=name), *command("echo ready; exec sleep 1000"))
    assert run.stdout.readline() == "ready\n"
    box.kill(name)
    assert run.wait(WAIT) == 128 + signal.SIGKILL


def test_standard_input_and_its_end(box, started):
    """ctr loses an end that comes before the task is there."""
    run = started("run", "--rm", *box.creation(), *command("read line; echo got $line; cat; echo end"))
    run.stdin.write("one\n")
    run.stdin.flush()
    assert run.stdout.readline() == "got one\n"
    run.stdin.write("two\n")
    run.stdin.close()
    assert run.stdout.read() == "two\nend\n"


def test_a_lot_of_output(box):
    assert len(box.says(do="yes 0123456 | head -c 3000000")) == 3000000


def test_nothing_is_inherited(box):
    """The shim has descriptors open: none may come in."""
    assert box.says(do="ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3 is ls reading the directory


def test_the_image_decides_who_and_where_and_what(box):
    assert box.says(of=images.APP, do=()) == "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n"
    assert box.says(of=images.APP, do=("pwd",)) == "/data\n"


def test_terminal(box, screen):
    line = "tty; " + SIZED.format("30 100") + "test -c /dev/console && echo console; exit 4"
    shown = screen("run", "--rm", *box.creation("--tty"), *command(line))
    shown.read_until("console")
    assert shown.close() == 4
    assert shown.text.replace("\r", "") == "/dev/pts/0\n30 100\nconsole\n"  # ctr adds one to each


def test_terminal_with_input_and_resize(box, screen):
    line = "stty -echo; echo ready; read line; echo got $line; " + SIZED.format("50 120")
    shown = screen("run", "--rm", *box.creation("--tty"), *command(line))
    shown.read_until("ready")
    shown.size(50, 120)
    shown.write("word\n")
    for _ in range(WAIT):  # until ctr listens to the signal
        os.kill(shown.process.pid, signal.SIGWINCH)
        with contextlib.suppress(AssertionError):
            shown.read_until("50 120", 1)
            break
    assert shown.text.replace("\r", "") == "ready\ngot word\n50 120\n"
    assert shown.close() == 0


def test_ctrl_c_on_the_terminal(box, screen):
    shown = screen("run", "--rm", *box.creation("--tty"), *command("trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done"))
    shown.read_until("ready")
    shown.write("\x03")
    shown.read_until("caught")
    assert shown.close() == 5


def test_ctr_passes_its_signals_on(box, started):
    run = started("run", "--rm", *box.creation(), *command("trap 'echo caught; exit 6' WINCH; echo ready; while :; do sleep 0.1; done"))
    assert run.stdout.readline() == "ready\n"

    def ended():
        run.send_signal(signal.SIGWINCH)  # which ctr ignores until it listens
        return run.poll() is not None

    wait_for(ended, "ctr to end")
    assert (run.stdout.read(), run.returncode) == ("caught\n", 6)


def test_detach_with_a_pid_file(box, tmp_path):
    name = box.start("--pid-file", tmp_path / "pid")
    pid = int((tmp_path / "pid").read_text())
    assert box.tasks()[name] == (pid, "RUNNING")
    cmdline = Path(f"/proc/{pid}/cmdline")
    wait_for(lambda: cmdline.read_bytes() == b"sleep\x001000\0", cmdline.read_bytes, what="sleep to run")


def test_attach_to_a_detached_container(box, started):
    name = box.start(do="while :; do echo tick; sleep 0.2; done")
    attached = started("task", "attach", name)
    assert attached.stdout.readline() == "tick\n"
    box.kill(name)
    assert attached.wait(WAIT) == 137


def test_log_file(box, tmp_path):
    name = box.start("--log-uri", f"file://{tmp_path}/log", do="echo out; echo err >&2")
    box.wait(name, "STOPPED")
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]


def test_output_to_nowhere(box):
    assert box.says("--null-io", do="echo lost; readlink /proc/self/fd/1 >&2") == ""


def test_a_name_that_is_taken(box):
    name = box.start()
    done = box.ctr("run", "--rm", *box.creation(name=name), "true", check=False)
    assert done.returncode == 1
    assert "already exists" in done.stderr
    assert box.tasks()[name][1] == "RUNNING"


def test_create_then_start_with_the_runtime_on_path(box):
    name, box.kept = box.new_id(), True
    box.ctr("container", "create", images.NAME, name, "cat", "/data/file")
    assert name not in box.tasks()
    assert box.ctr("task", "start", name).stdout == "from the image\n"


def test_restart_is_a_new_task_over_the_same_files(box):
    name = box.start(do="echo ran >>/tmp/count; cat /tmp/count >/tmp/seen; exec sleep 1000")
    first = box.pid(name)
    for _ in range(2):
        wait_for(lambda: box.exec(name, do=("cat", "/tmp/seen"), check=False).stdout, "the count")
        box.kill(name)
        box.wait(name, "STOPPED")
        box.ctr("task", "rm", name)
        box.ctr("task", "start", "--detach", name)
    assert box.pid(name) != first
    wait_for(lambda: box.exec(name, do=("cat", "/tmp/seen")).stdout == "ran\n" * 3, "the third run")


def test_twenty_at_once(box, started):
    runs = [started("run", "--rm", *box.creation(), "echo", str(number)) for number in range(20)]
    for number, run in enumerate(runs):
        out, err = run.communicate(timeout=100)
        assert (run.returncode, out, err) == (0, f"{number}\n", "")


# Limits and numbers


def test_memory_limit(box):
    pid = box.pid(box.start("--memory-limit", str(64 << 20)))
    assert knob(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)


def test_out_of_memory_is_told(box, events):
    name = box.start(*LIMITED, do=EATS)
    wait_for(lambda: {"container_id": name} in events("/tasks/oom"), events, what="the event of lacking memory")
    box.wait(name, "STOPPED")
    wait_for(lambda: [e["exit_status"] for e in events("/tasks/exit") if e["id"] == name] == [137], events, what="the exit")


def test_lacking_memory_ends_the_run(box):
    assert box.run(*LIMITED, do=EATS, check=False).returncode == 137


def test_cpu_limits(box):
    pid = box.pid(box.start("--cpu-quota", "20000", "--cpu-period", "50000", "--cpu-shares", "512"))
    if unified():
        assert knob(pid, "cpu", "", "cpu.max") == "20000 50000"
        assert knob(pid, "cpu", "", "cpu.weight") == "59"  # of 512 shares
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares")
        assert [knob(pid, "cpu", name, "") for name in names] == ["20000", "50000", "512"]


def test_a_quota_holds_the_container_back(box):
    name = box.start("--cpus", "0.2", do="while :; do :; done")
    pid = box.pid(name)
    assert knob(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "20000"
    stat = cgroup_of(pid, "cpu") / "cpu.stat"
    wait_for(lambda: int(dict(line.split() for line in stat.read_text().splitlines())["nr_throttled"]) > 2, stat.read_text, what="throttling")


def test_metrics_are_those_of_the_cgroup(box):
    name = box.start(*LIMITED, do="sleep 1000 & exec sleep 1000")
    wait_for(lambda: len(box.ctr("task", "ps", name).stdout.splitlines()) == 3, "two processes")
    found = json.loads(box.ctr("task", "metrics", "--format", "json", name).stdout)
    assert found["pids"]["current"] == 2
    usage = found["memory"] if unified() else found["memory"]["usage"]
    limit, used = (usage["usage_limit"], usage["usage"]) if unified() else (usage["limit"], usage["usage"])
    assert limit == 16777216
    assert 0 < used < limit
    assert (found["cpu"]["usage_usec"] if unified() else found["cpu"]["usage"]["total"]) > 0


@cgroupfs
def test_a_cgroup_by_path(box):
    name, box.kept = box.new_id(), True
    box.ctr("run", "--detach", *box.creation("--cgroup", f"/{box.containerd.namespace}/deep/{name}", name=name), "sleep", "1000")
    for controller in ("memory", "pids"):
        assert str(cgroup_of(box.pid(name), controller)).endswith(f"/{box.containerd.namespace}/deep/{name}")


# What is said about it


def test_the_documentation(box, tmp_path):
    """Every command there works, with the names of programs and images that are here."""
    containerd = box.containerd
    ctr = [shutil.which("ctr"), *containerd.argv()[1:]]
    programs = {"ctr": " ".join(map(str, ctr)), "pyrunc": str(containerd.binary)}
    for program, words in programs.items():
        (tmp_path / program).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (tmp_path / program).chmod(0o755)
    changes = {
        documented.PATH: str(containerd.binary),
        "docker.io/library/busybox:latest": images.NAME,
        "/run/containerd/runc/default": f"/run/containerd/runc/{containerd.namespace}",
        **{f" {name} ": f" {box.new_id()} " for name in ("web", "hello")},
    }
    seen = len(containerd.recorder.argvs())
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"}
    lines = [line for block in documented.blocks("containerd (ctr)") for line in block.splitlines()]
    assert len(lines) > 12, "the section says less than it did"
    box.kept = True
    for line in lines:
        if "--runc-systemd-cgroup" in line and not SYSTEMD:
            continue
        for old, new in changes.items():
            line = f"{line} ".replace(old, new)
        containerd.place.run("sh", "-ec", line, env=environment)
    used = {word for argv in containerd.recorder.argvs()[seen:] for word in argv}
    assert {"create", "start", "exec", "pause", "resume", "kill", "delete", "list"} <= used


# All of it


def test_every_command_line_is_one_that_pyrunc_takes(ctr_engine):
    assert ctr_engine.used() >= {"create", "start", "exec", "kill", "delete", "pause", "resume"}


def test_nothing_is_left_behind(ctr_engine):
    wait_for(lambda: not ctr_engine.left(), ctr_engine.left, what="nothing to be left")
    assert not ctr_engine.ctr("container", "ls", "--quiet").stdout
