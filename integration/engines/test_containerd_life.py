"""containerd, used by ctr: processes that join, signals, how containers end, what cannot start, and checkpoints."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.containerd import DEFAULT_CAPS, NEEDED, SIZED, command
from integration.harness import keeper
from integration.harness.criu import works
from integration.harness.runtime import wait_for
from integration.looking import fields, namespace, status_outside

need(*NEEDED)

QUICK = ()
COUNTS = "i=0; while :; do i=$((i + 1)); echo $i >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.1; done"


# More processes in it


def test_exec_reads_standard_input(box):
    assert box.exec(box.start(), do=("cat",), input="to cat\n").stdout == "to cat\n"


def test_exec_with_a_terminal(box, screen):
    name = box.start()
    line = "tty; " + SIZED.format("30 100") + "exit 6"
    shown = screen("task", "exec", "--exec-id", "tty", "--tty", name, *command(line))
    shown.read_until("30 100")
    assert shown.close() == 6
    assert shown.text.replace("\r", "") == "/dev/pts/0\n30 100\n"


@pytest.mark.parametrize(
    ("user", "seen"),
    [
        ("app", "uid=1000(app) gid=1000(app) groups=1000(app)"),
        ("1000:2000", "uid=1000(app) gid=2000(extra) groups=2000(extra)"),
        ("4711", "uid=4711 gid=0(root) groups=0(root)"),
    ],
)
def test_exec_as_a_user(box, user, seen):
    assert box.exec(box.start(), "--user", user, do=("id",)).stdout == seen + "\n"


def test_exec_elsewhere_with_the_environment(box):
    name = box.start("--env", "GIVEN=a b")
    seen = box.exec(name, "--cwd", "/data", do='pwd; echo "$GIVEN $FROM_IMAGE"').stdout
    assert seen == "/data\na b yes\n"


def test_exec_is_confined_like_the_container(box):
    name = box.start("--memory-limit", "16777216", "--cap-drop", "CAP_CHOWN", "--seccomp")
    seen = fields(box.exec(name, do=("cat", "/proc/self/status")).stdout)
    assert int(seen["CapEff"], 16) == DEFAULT_CAPS & ~1
    assert (seen["Seccomp"], seen["NoNewPrivs"]) == ("2", "1")
    inside = box.exec(name, do="for n in net pid mnt; do readlink /proc/self/ns/$n; done").stdout.split()
    assert inside == [namespace(box.pid(name), kind) for kind in ("network", "pid", "mount")]


def test_exec_detached_is_heard_of_through_its_fifo(box, tmp_path):
    name = box.start()
    box.ctr("task", "exec", "--detach", "--exec-id", "back", "--fifo-dir", tmp_path, name, *command("while :; do echo heard; sleep 0.2; done"))
    (fifo,) = tmp_path.rglob("back-stdout")
    with fifo.open() as stream:  # ctr itself may have taken the first lines
        assert stream.readline() == "heard\n"
    assert "ExecID:back" in box.ctr("task", "ps", name).stdout
    box.ctr("task", "kill", "--exec-id", "back", "--signal", "KILL", name)
    wait_for(lambda: "ExecID:back" not in box.ctr("task", "ps", name).stdout, "the process to end")
    assert box.tasks()[name][1] == "RUNNING"


def test_exec_with_a_log_file(box, tmp_path):
    name = box.start()
    box.ctr("task", "exec", "--detach", "--exec-id", "log", "--log-uri", f"file://{tmp_path}/log", name, "echo", "logged")
    wait_for(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() == "logged\n", "the log")


def test_ps_lists_what_runs(box):
    name = box.start(do="sleep 1000 & exec sleep 1001")
    wait_for(lambda: len(box.ctr("task", "ps", name).stdout.splitlines()) == 3, "two processes")
    pids = [int(line.split()[0]) for line in box.ctr("task", "ps", name).stdout.splitlines()[1:]]
    assert box.pid(name) in pids
    commands = {b"sleep\x001000\0", b"sleep\x001001\0"}
    wait_for(lambda: {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids} == commands, "both to run")


# Signals, pausing, ending


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "SIGINT"])
def test_a_signal_arrives(box, tmp_path, name):
    trap = f"trap 'echo got; exit 9' {name.removeprefix('SIG')}; echo ready; while :; do sleep 0.1; done"
    box_id = box.start("--log-uri", f"file://{tmp_path}/log", do=trap)
    wait_for(lambda: (tmp_path / "log").read_text() == "ready\n", "the trap")
    box.kill(box_id, name)
    box.wait(box_id, "STOPPED")
    assert (tmp_path / "log").read_text() == "ready\ngot\n"
    assert "exit code 9" in box.ctr("task", "rm", box_id).stderr


def test_a_signal_to_all_reaches_children(box):
    name = box.start(do="sleep 1000 & trap : TERM; while :; do wait; sleep 0.1; done")
    wait_for(lambda: len(box.ctr("task", "ps", name).stdout.splitlines()) == 3, "the child")
    box.kill(name, "KILL", "--all")
    box.wait(name, "STOPPED")


def test_kill_of_what_has_ended(box):
    name = box.start(do="true")
    box.wait(name, "STOPPED")
    done = box.ctr("task", "kill", name, check=False)
    assert done.returncode == 1
    assert "process already finished" in done.stderr


def test_pause_stops_the_clock_and_resume_lets_it_go_on(box, tmp_path):
    name = box.start("--mount", f"type=bind,src={tmp_path},dst=/seen,options=rbind:rw", do="while :; do echo >>/seen/ticks; sleep 0.02; done")
    ticks = tmp_path / "ticks"
    wait_for(ticks.exists, "the first tick")
    box.ctr("task", "pause", name)
    assert box.tasks()[name][1] == "PAUSED"
    frozen = ticks.stat().st_size
    time.sleep(0.3)
    assert ticks.stat().st_size == frozen
    done = box.exec(name, do=("true",), check=False)
    assert done.returncode == 1
    assert "paused" in done.stderr
    box.ctr("task", "resume", name)
    assert box.tasks()[name][1] == "RUNNING"
    wait_for(lambda: ticks.stat().st_size > frozen, "more ticks")


def test_kill_of_a_paused_container(box):
    name = box.start()
    box.ctr("task", "pause", name)
    box.ctr("task", "rm", "--force", name)
    assert name not in box.tasks()


def test_rm_force_of_everything_that_runs(box):
    names = [box.start(do="trap '' TERM; sleep 1000 & sleep 1000") for _ in range(3)]
    pids = [box.pid(name) for name in names]
    box.ctr("task", "rm", "--force", *names)
    box.ctr("container", "rm", *names)
    assert not any(keeper.running(pid) for pid in pids)
    assert not box.containerd.states()


def test_orphans_end_with_the_container(box):
    """Init alone gets the signal; the kernel takes what else is in the pid namespace."""
    name = box.start(do="(sleep 1003 &) ; exec sleep 1004")
    wait_for(lambda: len(box.ctr("task", "ps", name).stdout.splitlines()) == 3, "two processes")
    pids = [int(line.split()[0]) for line in box.ctr("task", "ps", name).stdout.splitlines()[1:]]
    box.kill(name)
    box.wait(name, "STOPPED")
    assert not any(keeper.running(pid) for pid in pids)


def test_the_pid_namespace_of_the_host_is_emptied_too(box):
    name = box.start("--with-ns", f"pid:/proc/{os.getpid()}/ns/pid", do="sleep 1005 & exec sleep 1006")
    wait_for(lambda: len(box.ctr("task", "ps", name).stdout.splitlines()) == 3, "two processes")
    pids = [int(line.split()[0]) for line in box.ctr("task", "ps", name).stdout.splitlines()[1:]]
    box.ctr("task", "rm", "--force", name)
    wait_for(lambda: not any(keeper.running(pid) for pid in pids), "all to end")


def test_a_killed_shim_takes_its_container_along(box):
    name = box.start()
    pid = box.pid(name)
    shim = int(status_outside(pid)["PPid"])
    assert b"containerd-shim-runc-v2" in Path(f"/proc/{shim}/cmdline").read_bytes()
    os.kill(shim, signal.SIGKILL)
    wait_for(lambda: name not in box.tasks(), box.tasks, what="the task to be gone")
    wait_for(lambda: not keeper.running(pid), "its process to be gone")


def test_containers_outlive_a_restart_of_the_daemon(box):
    name = box.start()
    before = box.tasks()[name]
    box.containerd.restart()
    assert box.tasks()[name] == before
    assert box.exec(name, do=("echo", "still here")).stdout == "still here\n"


# What goes wrong


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("missing", "executable file not found in $PATH"),
        ("/bin/missing", "no such file or directory"),
        ("/bin/not-executable", "permission denied"),
        ("/data", "permission denied|is a directory"),
    ],
)
def test_a_program_that_cannot_be_run(box, program, words):
    done = box.run(do=(program,), check=False)
    assert done.returncode == 1
    assert any(word in done.stderr for word in words.split("|")), done.stderr
    assert "OCI runtime create failed" in done.stderr


@pytest.mark.parametrize(
    ("program", "words"), [("no-format", "exec format error"), ("no-interpreter", "no such file or directory")]
)
def test_a_program_that_the_kernel_refuses(box, program, words):
    done = box.run(do=(program,), check=False)
    assert done.returncode == 1
    assert words in done.stderr


def test_exec_of_a_missing_program(box):
    name = box.start()
    done = box.exec(name, do=("missing",), check=False)
    assert done.returncode == 1
    assert "OCI runtime exec failed" in done.stderr
    assert 'exec: "missing": executable file not found in $PATH' in done.stderr
    assert box.exec(name, do=("echo", "alive")).stdout == "alive\n"


@pytest.mark.parametrize(("broken", "words"), [("missing", "no such file or directory"), ("file", "not a directory")])
def test_a_broken_root(box, tmp_path, broken, words):
    (tmp_path / "file").touch()
    done = box.run("--rootfs", of=tmp_path / broken, check=False)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_volume_that_is_not_there(box):
    done = box.run("--mount", "type=bind,src=/no/such/source,dst=/seen,options=rbind", check=False)
    assert done.returncode == 1
    assert "no such file or directory" in done.stderr
    assert "/no/such/source" in done.stderr


def test_a_failed_create_leaves_nothing(box):
    name, box.kept = box.new_id(), True
    done = box.ctr("run", "--detach", *box.creation(name=name), "missing", check=False)
    assert done.returncode == 1
    assert name not in box.tasks()
    box.ctr("container", "rm", name)
    wait_for(lambda: not box.containerd.left(name), lambda: box.containerd.left(name), what="nothing to be left")


# Checkpoints


def count(box, name):
    return int(box.exec(name, do=("cat", "/tmp/count"), check=False).stdout or 0)


@works
def test_checkpoint_leaves_it_running(box, tmp_path):
    name = box.start("--null-io", do=COUNTS)
    wait_for(lambda: count(box, name) > 2, "some counting")
    box.ctr("task", "checkpoint", "--image-path", tmp_path / "image", "--work-path", tmp_path / "work", name)
    assert list((tmp_path / "image").glob("core-*.img"))
    before = count(box, name)
    wait_for(lambda: count(box, name) > before, "it to go on")


@works
def test_checkpoint_and_exit(box, tmp_path):
    name = box.start("--null-io", do=COUNTS)
    wait_for(lambda: count(box, name) > 2, "some counting")
    box.ctr("task", "checkpoint", "--exit", "--image-path", tmp_path / "image", name)
    box.wait(name, "STOPPED")


@works
def test_restore_goes_on_where_it_was(box):
    name = box.start("--null-io", do=COUNTS)
    wait_for(lambda: count(box, name) > 5, "some counting")
    reference = f"pyrunc.test/{name}:saved"
    box.ctr("container", "checkpoint", "--task", "--rw", "--image", name, reference)
    before = count(box, name)
    box.ctr("task", "rm", "--force", name)
    box.ctr("container", "rm", name)
    try:
        box.ctr("container", "restore", "--rw", "--live", name, reference)
        wait_for(lambda: count(box, name) > before, lambda: count(box, name), what="it to go on counting")
    finally:
        box.ctr("image", "rm", reference)


# All of it


def test_every_command_line_is_one_that_pyrunc_takes(ctr_engine):
    assert ctr_engine.used() >= {"create", "start", "exec", "kill", "delete", "pause", "resume", "ps"}
