"""containerd, used by ctr as an administrator does."""

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
from integration.engines.containerd import NEEDED, SYSTEMD, Boxes, Containerd, command
from integration.harness import keeper
from integration.harness.bundle import make_rootfs
from integration.harness.criu import works
from integration.harness.runtime import WAIT, wait_for
from integration.harness.screen import Screen
from integration.looking import FIRST, NAMESPACES, cgroup_of, fields, mountinfo, namespace, status_outside, unified

need(*NEEDED)

# What the virtual machine runs without being asked.
QUICK = ("test_run_shows_output_and_status", "test_exec_shows_output_and_status", "test_memory_limit")
APP = "docker.io/library/pyrunc-test-app:latest"
DEFAULT_CAPS = 0xA80425FB  # what ctr gives to root
LIMITED = ("--memory-limit", "16777216")
EATS = "x=aaaaaaaa; while :; do x=$x$x; done"
cgroupfs = pytest.mark.skipif(SYSTEMD, reason="--cgroup names a unit with the systemd driver")


@pytest.fixture(scope="module")
def containerd(place, binary, image, tmp_path_factory):
    made = Containerd(place, binary)
    try:
        app = images.archive(tmp_path_factory.mktemp("app") / "image.tar", APP, User="app", WorkingDir="/data", Cmd=["id"])
        made.load(image, app)
        yield made
    finally:
        made.close()


@pytest.fixture
def box(containerd, tmp_path):
    made = Boxes(containerd, tmp_path)
    yield made
    made.remove()


@pytest.fixture
def screen(box):
    """Run ctr with some words on a terminal."""
    return lambda *words: Screen(box.containerd.place.argv(*box.containerd.argv(*words)))


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


def status_of(box, *flags, **options):
    """Return the fields of /proc/self/status in a container with FLAGS."""
    return fields(box.says(*flags, do=("cat", "/proc/self/status"), **options))


def caps(status):
    return {name: int(status[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")}


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
    assert box.says(of=APP, do=()) == "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n"
    assert box.says(of=APP, do=("pwd",)) == "/data\n"


# ctr sets the size after the start, and again whenever it is told of a change.
SIZED = 'until [ "$(stty size 2>/dev/null)" = "{}" ]; do sleep 0.1; done; stty size; '


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
    name = box.start(*LIMITED, "--cap-drop", "CAP_CHOWN", "--seccomp")
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
        assert knob(pid, "cpu", "", "cpu.weight") == "20"  # 1 + (512 - 2) * 9999 / 262142
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


# Files


def test_a_volume_read_only(box, tmp_path):
    (tmp_path / "file").write_text("of the host\n")
    mount = f"type=bind,src={tmp_path},dst=/seen,options=rbind:ro"
    done = box.run("--mount", mount, do="cat /seen/file; echo more >>/seen/file", check=False)
    assert done.stdout == "of the host\n"
    assert "Read-only file system" in done.stderr
    assert (tmp_path / "file").read_text() == "of the host\n"


def test_a_volume_read_write(box, tmp_path):
    box.run("--mount", f"type=bind,src={tmp_path},dst=/new/place,options=rbind:rw", do="echo more >/new/place/file")
    assert (tmp_path / "file").read_text() == "more\n"


@pytest.mark.parametrize(("option", "seen"), [("bind", ""), ("rbind", "below\n")])
def test_mounts_below_a_volume(box, tmp_path, option, seen):
    place = box.containerd.place
    (tmp_path / "top/sub").mkdir(parents=True)
    place.run("mount", "-t", "tmpfs", "tmpfs", tmp_path / "top/sub")
    place.run("sh", "-c", f"echo below >{tmp_path}/top/sub/file")
    try:
        assert box.says("--mount", f"type=bind,src={tmp_path}/top,dst=/top,options={option}:rw", do="cat /top/sub/file 2>/dev/null || true") == seen
    finally:
        place.run("umount", tmp_path / "top/sub")


@pytest.mark.parametrize(("option", "arrives"), [("rslave", True), ("rshared", True), ("rprivate", False)])
def test_propagation_of_a_volume(box, tmp_path, option, arrives):
    place = box.containerd.place
    top = tmp_path / "top"
    top.mkdir()
    place.run("mount", "-t", "tmpfs", "tmpfs", top)
    place.run("mount", "--make-shared", top)
    try:
        name = box.start("--mount", f"type=bind,src={top},dst=/top,options=rbind:{option}")
        place.run("sh", "-ec", f"mkdir {top}/late; mount -t tmpfs late {top}/late")
        seen = mountinfo(box.exec(name, do=("cat", "/proc/self/mountinfo")).stdout)
        assert ("/top/late" in seen) is arrives
    finally:
        place.run("umount", "-R", top)


def test_a_tmpfs(box):
    mount = "type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m:mode=700:noexec"
    seen = mountinfo(box.says("--mount", mount, do=("cat", "/proc/self/mountinfo")))["/scratch"]
    assert seen.type == "tmpfs"
    assert {"noexec", "size=1024k", "mode=700"} <= seen.options | seen.superblock


def test_read_only_root(box):
    done = box.run("--read-only", do="echo more >/file; echo fine >/run/file && cat /run/file")
    assert done.stdout == "fine\n"
    assert "/file: Read-only file system" in done.stderr


def test_a_writable_root_is_the_containers_own(box):
    name = box.start()
    box.exec(name, do="echo changed >/data/file")
    assert box.says(do=("cat", "/data/file")) == "from the image\n"


def test_masked_and_read_only_paths(box):
    script = "head -c 1 /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/vm/swappiness"
    done = box.run(do=script, check=False)
    assert done.stdout == "0\n0\n"
    assert "Read-only file system" in done.stderr


def test_a_directory_as_root(box, tmp_path):
    rootfs = make_rootfs(tmp_path / "root")
    assert box.says("--rootfs", "--env", "PATH=/bin", of=rootfs, do="echo made >/made; echo $$") == "1\n"
    assert (rootfs / "made").read_text() == "made\n"


@pytest.mark.pyrunc_only("1.1 does not apply it")
def test_the_mount_of_root_propagates_as_asked(box, tmp_path):
    rootfs = make_rootfs(tmp_path / "root")
    flags = ("--rootfs", "--env", "PATH=/bin", "--rootfs-propagation", "shared", "--privileged")
    seen = mountinfo(box.says(*flags, of=rootfs, do=("cat", "/proc/self/mountinfo")))["/"]
    assert seen.optional.startswith("shared:")


def test_no_pivot(box):
    assert box.says("--no-pivot", do="cat /data/file; ls -d /work /scratch 2>/dev/null; true") == "from the image\n"


# Who it is, and what it may


def test_default_capabilities(box):
    status = status_of(box)
    assert caps(status) == dict.fromkeys(("CapBnd", "CapEff", "CapPrm"), DEFAULT_CAPS)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--cap-add", "CAP_SYS_ADMIN"), DEFAULT_CAPS | 1 << 21),
        (("--cap-drop", "CAP_CHOWN", "--cap-drop", "CAP_KILL"), DEFAULT_CAPS & ~(1 | 1 << 5)),
    ],
    ids=["add", "drop"],
)
def test_capabilities(box, flags, expected):
    assert caps(status_of(box, *flags)) == dict.fromkeys(("CapBnd", "CapEff", "CapPrm"), expected)


def test_a_dropped_capability_is_missed(box):
    done = box.run("--cap-drop", "CAP_CHOWN", do=("chown", "1", "/data/file"), check=False)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr


def test_privileged(box):
    status = status_of(box, "--privileged")
    assert caps(status)["CapEff"] == caps(status_outside(os.getpid()))["CapEff"]
    script = "mkdir /m && mount -t tmpfs m /m && echo mounted; ls /sys/firmware >/dev/null && hostname inside && hostname"
    assert box.says("--privileged", do=script) == "mounted\ninside\n"
    assert os.uname().nodename != "inside"


@pytest.mark.parametrize(("flags", "seen"), [((), "1"), (("--allow-new-privs",), "0")])
def test_no_new_privileges(box, flags, seen):
    assert status_of(box, *flags)["NoNewPrivs"] == seen


def test_no_seccomp_unless_asked(box):
    assert status_of(box)["Seccomp"] == "0"


def test_default_seccomp_profile(box):
    done = box.run("--seccomp", do="grep Seccomp: /proc/self/status; unshare -U true", check=False)
    assert done.stdout == "Seccomp:\t2\n"
    assert "Operation not permitted" in done.stderr


def test_custom_seccomp_profile(box, tmp_path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
    (tmp_path / "profile").write_text(json.dumps(profile))
    done = box.run("--seccomp", "--seccomp-profile", tmp_path / "profile", do="touch /tmp/a && echo touched; mkdir /tmp/b", check=False)
    assert done.stdout == "touched\n"
    assert "No space left on device" in done.stderr


def test_open_files_are_limited(box):
    assert box.says(do="ulimit -Sn; ulimit -Hn") == "1024\n1024\n"


def test_a_device(box):
    found = Path("/dev/fuse").stat().st_rdev
    seen = box.says("--device", "/dev/fuse", do="stat -c '%t %T' /dev/fuse; exec 3</dev/fuse && echo opened")
    assert seen == f"{os.major(found):x} {os.minor(found):x}\nopened\n"


def test_a_device_that_was_not_given(box):
    done = box.run(do="mknod /tmp/kmsg c 1 11 && echo made; exec 3</tmp/kmsg", check=False)
    assert done.stdout == "made\n"
    assert "Operation not permitted" in done.stderr
    assert box.says(do="head -c 3 /dev/zero | wc -c") == "3\n"


def test_environment(box, tmp_path):
    (tmp_path / "env").write_text("FILED=from file\n")
    seen = box.says("--env", "FROM_IMAGE=no", "--env", "EMPTY=", "--env-file", tmp_path / "env", do=("env",)).splitlines()
    assert {"FROM_IMAGE=no", "EMPTY=", "FILED=from file", "PATH=/usr/local/bin:/bin", "HOME=/root"} <= set(seen)


def test_working_directory(box):
    assert box.says("--cwd", "/not/yet/there", do=("pwd",)) == "/not/yet/there\n"


# Namespaces


def test_namespaces_are_its_own(box):
    pid = box.pid(box.start())
    own = {kind for kind in ("pid", "ipc", "uts", "mount", "network", "user") if namespace(pid, kind) != namespace(os.getpid(), kind)}
    assert own == {"pid", "ipc", "uts", "mount", "network"}
    assert box.says(do="ls /sys/class/net; ls /proc | grep -c '^[0-9]*$'").split()[0] == "lo"


def test_network_of_the_host(box):
    name = box.start("--net-host")
    assert namespace(box.pid(name), "network") == namespace(box.containerd.place.holder.pid, "network")
    assert box.exec(name, do=("cat", "/etc/hosts")).stdout == Path("/etc/hosts").read_text()


@pytest.mark.parametrize("kind", ["pid", "ipc", "network", "uts"])
def test_sharing_a_namespace(box, kind):
    first = box.pid(box.start())
    second = box.pid(box.start("--with-ns", f"{kind}:/proc/{first}/ns/{NAMESPACES[kind]}"))
    assert namespace(second, kind) == namespace(first, kind)
    assert namespace(second, "mount") != namespace(first, "mount")


def test_shared_pids_see_each_other(box):
    first = box.pid(box.start(do=("sleep", "1007")))
    assert "sleep 1007" in box.says("--with-ns", f"pid:/proc/{first}/ns/pid", do=("ps", "-o", "args"))


MAPS = ("--uidmap", f"0:{FIRST}:65536", "--gidmap", f"0:{FIRST}:65536")


def test_user_namespace(box):
    name = box.start(*MAPS)
    pid = box.pid(name)
    assert status_outside(pid)["Uid"].split() == [str(FIRST)] * 4
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", str(FIRST), "65536"]
    assert box.exec(name, do="id -u; stat -c %u /data/file; touch /data/new && echo touched").stdout == "0\n0\ntouched\n"


def test_joining_a_user_namespace(box):
    first = box.pid(box.start(*MAPS))
    flags = (*MAPS, "--with-ns", f"user:/proc/{first}/ns/user", "--with-ns", f"network:/proc/{first}/ns/net")
    second = box.pid(box.start(*flags))
    assert namespace(second, "user") == namespace(first, "user")
    assert namespace(second, "network") == namespace(first, "network")
    assert status_outside(second)["Uid"].split() == [str(FIRST)] * 4


# A configuration of one's own


@pytest.fixture
def configured(box, bundle):
    """Run a container whose config.json a function changes; return what it wrote."""

    def run(change, line):
        b = bundle("sh", "-c", line)
        b.config["root"]["path"] = str(b.rootfs)
        if SYSTEMD:
            b.linux["cgroupsPath"] = f"system.slice:pyrunctest:{box.new_id()}"
        change(b)
        b.save()
        return box.says("--config", b.path / "config.json", of="", do=())

    return run


def test_hostname_by_configuration(configured):
    def change(b):
        b.config["hostname"] = "called-so"

    assert configured(change, "hostname") == "called-so\n"


def test_rlimits_by_configuration(configured):
    def change(b):
        b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]

    assert configured(change, "ulimit -Sn; ulimit -Hn; ulimit -Hc") == "100\n200\n0\n"


def test_sysctl_by_configuration(configured):
    def change(b):
        b.linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.msgmax": "10000"}

    line = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax"
    assert configured(change, line) == "80\n10000\n"


def test_number_of_processes_by_configuration(configured):
    def change(b):
        b.linux["resources"] = {"pids": {"limit": 3}}

    assert "can't fork" in configured(change, "(sleep 1 & sleep 1 & sleep 1 & wait) 2>&1 || true")


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


COUNTS = "i=0; while :; do i=$((i + 1)); echo $i >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.1; done"


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


def test_every_command_line_is_one_that_pyrunc_takes(containerd):
    assert containerd.used() >= {"create", "start", "exec", "kill", "delete", "pause", "resume", "ps"}


def test_nothing_is_left_behind(containerd):
    wait_for(lambda: not containerd.left(), containerd.left, what="nothing to be left")
    assert not containerd.ctr("container", "ls", "--quiet").stdout
