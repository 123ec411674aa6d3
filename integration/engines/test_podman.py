"""Podman: what its users do, with the runtime under test."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import tarfile
import termios
import time
from pathlib import Path

import pytest

from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.image import NAME, PAUSE
from integration.engines.podman import FOREVER, SYSTEMD, Engine
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, fields, mountinfo, namespace, status_outside, unified

need("podman", "conmon")
V2 = unified()
SECONDS = 20
# Of libpod's defaults, as bits of /proc/PID/status.
DEFAULT_CAPABILITIES = """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP
""".split()
BITS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8}
BITS |= {"NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_ADMIN": 21, "SYS_TIME": 25, "MKNOD": 27}
BITS |= {"AUDIT_WRITE": 29, "SETFCAP": 31}


@pytest.fixture(scope="module")
def engine(place, binary, image, tmp_path_factory):
    made = Engine("podman", place, binary)
    made("load", "--input", image)
    pause = images.archive(tmp_path_factory.mktemp("pause") / "pause.tar", PAUSE, Entrypoint=list(FOREVER), Cmd=[])
    made("load", "--input", pause)
    yield made
    made("pod", "rm", "--all", "--force", "--time=0")
    made("rm", "--all", "--force", "--time=0", "--volumes")
    made.check()


@pytest.fixture
def podman(engine):
    yield engine
    engine.remove_used()


@pytest.fixture(scope="module")
def box(engine):
    """Return a container that is there for all tests, for those that leave it as it was."""
    name = engine.start("--hostname=box", "--env=FROM_RUN=yes", "--pids-limit=100")
    engine.used.remove(name)
    yield name
    engine("rm", "--force", "--time=0", name)


def bits(*names: str) -> int:
    """Return the capabilities NAMES as a mask."""
    return sum(1 << BITS[name] for name in names)


def effective(text: str) -> int:
    """Return the effective capabilities of a process by TEXT, its status."""
    return int(fields(text)["CapEff"], 16)


def cgroup_file(podman, name: str, v1: str, v2: str) -> str:
    """Return what the kernel says in the file V1, "controller/file", or V2 of container NAME's cgroup."""
    controller, file = v1.split("/")
    path = cgroup_of(podman.pid(name), controller) / (v2 if V2 else file)
    if not path.exists():
        pytest.skip(f"this kernel has no {path.name}")
    return path.read_text().strip()


# Running


def test_run_shows_what_the_program_writes(podman):
    done = podman.run("echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(("command", "status"), [("true", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$; exit 1", 1)])
def test_run_ends_with_the_status_of_the_program(podman, command, status):
    assert podman.run(command, check=False).returncode == status


def test_run_passes_standard_input_on(podman):
    text = "x" * 300_000
    assert podman.run("cat | wc -c", "--interactive", input=text).stdout.strip() == "300000"


def test_the_image_gives_environment_and_directory(podman):
    assert podman.inside("echo $FROM_IMAGE $PATH $HOME; pwd") == "yes /usr/local/bin:/bin /root\n/"


def terminal(podman, *words: str, size: tuple[int, int] = (33, 111)) -> tuple[int, subprocess.Popen[bytes]]:
    """Run podman with WORDS on a terminal of SIZE; return our side of it, and the process."""
    ours, theirs = pty.openpty()
    resize(ours, size)
    argv = ["setsid", "--ctty", *podman.place.argv("podman", *words)]
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=podman.environment)
    os.close(theirs)
    return ours, process


def resize(ours: int, size: tuple[int, int]) -> None:
    """Make the terminal behind OURS so many lines high and characters wide."""
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def read_until(ours: int, text: bytes) -> bytes:
    """Read from a terminal until TEXT has come, or all there is."""
    read = b""
    while text not in read:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        read += piece
    assert text in read, read
    return read


def test_run_on_a_terminal_that_changes_its_size(podman):
    command = "tty; stty size; trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.1; done"
    words = ("run", "--rm", "--network=none", "-it", NAME, "sh", "-c", command)
    ours, process = terminal(podman, *words)
    first = read_until(ours, b"ready")
    assert b"/dev/pts/0\r\n33 111\r\n" in first
    resize(ours, (44, 122))
    assert b"44 122" in read_until(ours, b"122")
    assert process.wait(SECONDS) == 5
    os.close(ours)


def test_what_is_typed_arrives(podman):
    ours, process = terminal(podman, "run", "--rm", "--network=none", "-it", NAME, "sh", "-c", "trap 'exit 9' INT; read a; echo got:$a; while :; do sleep 0.1; done")
    os.write(ours, b"hello\n")
    read_until(ours, b"got:hello")
    os.write(ours, b"\x03")  # ^C, of which the container's terminal makes a signal
    assert process.wait(SECONDS) == 9
    os.close(ours)


def test_run_detached_then_logs_and_wait(podman):
    name = podman.start(command="echo one; sleep 0.3; echo two >&2; exit 4")
    assert podman.ended(name) == "4"
    done = podman("logs", name)
    assert (done.stdout, done.stderr) == ("one\n", "two\n")
    assert podman.inspect(name, ".State.Status") == "exited"
    assert podman.inspect(name, ".State.ExitCode") == "4"


def test_logs_follow_a_running_container(podman):
    name = podman.start(command="for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert podman.output("logs", "--follow", name) == "1\n2\n3"


def test_attach_to_a_running_container(podman):
    name = podman.start("--interactive", command="while read line; do echo got $line; [ $line != end ] || exit 6; done")
    done = podman("attach", name, input="a\nend\n", check=False)  # its own status depends on who is first
    assert done.stdout.split() == ["got", "a", "got", "end"]
    assert podman.ended(name) == "6"


def test_create_then_init_then_start_attached(podman):
    name = podman.new_name()
    podman("create", "--name", name, "--network=none", NAME, "sh", "-c", "echo started; exit 2")
    podman("init", name)
    assert podman.inspect(name, ".State.Status") == "initialized"
    assert Path(f"/proc/{podman.pid(name)}").exists()
    done = podman("start", "--attach", name, check=False)
    assert (done.stdout, done.returncode) == ("started\n", 2)


def test_start_again_what_has_ended(podman):
    name = podman.start(command="echo again >>/count; wc -l </count")
    podman.ended(name)
    assert podman.output("start", "--attach", name) == "2"


def test_remove_after_the_end(podman):
    name = podman.start("--rm", command="true")
    wait_for(lambda: podman("container", "exists", name, check=False).returncode == 1, f"{name} to go")


def test_a_limit_of_time(podman):
    began = time.monotonic()
    done = podman.run("sleep 1000", "--timeout=1", check=False)
    assert done.returncode == 255 or done.returncode == 137, done
    assert time.monotonic() - began < SECONDS


def test_descriptors_are_passed_on(podman, tmp_path):
    (tmp_path / "passed").write_text("by descriptor\n")
    number = os.open(tmp_path / "passed", os.O_RDONLY)
    try:
        argv = podman.place.argv("podman", "run", "--rm", "--network=none", "--preserve-fds=1", NAME, "sh", "-c", "cat <&3; ls /proc/self/fd")
        os.dup2(number, 3) if number != 3 else None
        done = subprocess.run(argv, pass_fds=[3], capture_output=True, text=True, check=False, env=podman.environment)
    finally:
        os.close(number)
    assert done.stdout.split("\n")[0] == "by descriptor", done


def test_no_descriptor_leaks_in(podman):
    assert podman.inside("ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3 is the directory itself


# What cannot be run


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("missing", 127, "not found"),
        ("/bin/missing", 127, "no such file or directory"),
        ("/bin/not-executable", 126, "permission denied"),
        ("/data", 126, "permission denied"),
    ],
)
def test_a_program_that_cannot_be_run(podman, program, status, said):
    done = podman("run", "--rm", "--network=none", NAME, program, check=False)
    assert done.returncode == status, done
    assert said in done.stderr.lower()
    assert not done.stdout


@pytest.mark.parametrize(
    ("program", "said"), [("/bin/no-format", "exec format error"), ("/bin/no-interpreter", "no such file or directory")]
)
def test_a_program_that_the_kernel_refuses(podman, program, said):
    """Which is found out only when it is started: 1 by runc 1.1."""
    done = podman("run", "--rm", "--network=none", NAME, program, check=False)
    assert done.returncode in (1, 126, 127), done
    assert said in done.stderr.lower()


def test_an_image_that_is_broken(podman, tmp_path):
    """No user database to read, no directory to be in, no program to run: each is refused, or runs."""
    cases = {
        "no-program": ({"Cmd": [], "Entrypoint": ["/gone"]}, 127),
        "workdir-is-a-file": ({"WorkingDir": "/data/file"}, 126),
        "no-user": ({"User": "nobody-knows"}, 126),
    }
    for case, (settings, status) in cases.items():
        name = f"localhost/{case}:latest"
        podman("load", "--input", images.archive(tmp_path / f"{case}.tar", name, **settings))
        done = podman("run", "--rm", "--network=none", name, check=False)
        assert done.returncode == status, (case, done)
        podman("rmi", name)
    (tmp_path / "garbage.tar").write_bytes(b"garbage" * 1000)
    assert podman("load", "--input", tmp_path / "garbage.tar", check=False).returncode == 125


def test_an_option_that_the_runtime_refuses(podman):
    done = podman.run("true", "--sysctl=net.core.no_such_sysctl=1", check=False)
    assert done.returncode in (126, 127), done
    assert "no_such_sysctl" in done.stderr


# Other processes in a container


def test_exec_shows_output_and_status(podman, box):
    done = podman("exec", box, "sh", "-c", "echo $FROM_RUN; hostname; exit 9", check=False)
    assert (done.stdout, done.returncode) == ("yes\nbox\n", 9)


def test_exec_passes_standard_input_on(podman, box):
    assert podman("exec", "--interactive", box, "wc", "-c", input="12345").stdout.strip() == "5"


def test_exec_on_a_terminal(podman, box):
    ours, process = terminal(podman, "exec", "-it", box, "sh", "-c", "tty; stty size; read a; stty size; exit 7")
    assert b"33 111" in read_until(ours, b"111")
    resize(ours, (20, 30))
    time.sleep(0.3)
    os.write(ours, b"\n")
    read_until(ours, b"20 30")
    assert process.wait(SECONDS) == 7
    os.close(ours)


@pytest.mark.parametrize(
    ("options", "command", "found"),
    [
        (["--user=app"], "id -u; id -g; id -G", "1000\n1000\n1000 2000"),
        (["--user=1234:2000"], "id -u; id -G", "1234\n2000"),
        (["--env=A=b c"], 'echo "$A"', "b c"),
        (["--workdir=/data"], "pwd; cat file", "/data\nfrom the image"),
    ],
)
def test_exec_as_other_user_with_environment_or_elsewhere(podman, box, options, command, found):
    assert podman.exec(box, command, *options) == found


def test_exec_privileged(podman, box):
    ours = effective(Path("/proc/self/status").read_text())
    assert effective(podman.exec(box, "cat /proc/self/status")) == bits(*DEFAULT_CAPABILITIES)
    assert effective(podman.exec(box, "cat /proc/self/status", "--privileged")) & ours == ours


def test_exec_detached(podman, box):
    podman("exec", "--detach", box, "sh", "-c", "echo $$ >/detached; exec sleep 999")
    wait_for(lambda: podman.exec(box, "cat /detached 2>/dev/null || true"), "the detached process")
    podman.exec(box, "kill -9 $(cat /detached); rm /detached")


@pytest.mark.parametrize(("program", "status"), [("missing", 127), ("/bin/not-executable", 126)])
def test_exec_of_what_cannot_be_run(podman, box, program, status):
    assert podman("exec", box, program, check=False).returncode == status


def test_exec_leaves_nothing_of_a_killed_client(podman, box):
    process = podman.popen("exec", box, "sh", "-c", "echo $$ >/left; exec sleep 555")
    wait_for(lambda: podman.exec(box, "cat /left 2>/dev/null || true"), "the process to start")
    process.kill()
    process.communicate()
    assert "sleep 555" in podman.exec(box, "ps")  # it was only the client
    podman.exec(box, "kill -9 $(cat /left); rm /left")
    wait_for(lambda: "sleep 555" not in podman.exec(box, "ps"), "the process to end")


def test_top_and_stats(podman, box):
    shown = podman.output("top", box, "pid", "user", "args").splitlines()
    assert shown[1].split() == ["1", "root", *FOREVER]
    listed = podman.output("top", box, "-eo", "pid,args").splitlines()  # by the container's own ps
    assert listed[1].split()[0] == "1"
    assert listed[1].endswith(" ".join(FOREVER))
    stats = json.loads(podman.output("stats", "--no-stream", "--format=json", box))[0]
    assert int(stats["pids"]) == 1
    assert not stats["mem_usage"].startswith("0B"), stats


# Pausing, stopping, signals


def test_pause_and_unpause(podman):
    name = podman.start(command="while :; do echo >>/ticks; sleep 0.02; done")
    ticks = Path(f"/proc/{podman.pid(name)}/root/ticks")
    wait_for(ticks.exists, "ticks")
    podman("pause", name)
    assert podman.inspect(name, ".State.Status") == "paused"
    before = ticks.stat().st_size
    time.sleep(0.2)
    assert ticks.stat().st_size == before
    assert podman("exec", name, "true", check=False).returncode != 0
    podman("unpause", name)
    wait_for(lambda: ticks.stat().st_size > before, "ticks to go on")


def test_remove_what_is_paused(podman):
    name = podman.start()
    podman("pause", name)
    podman("rm", "--force", "--time=0", name)
    assert podman("container", "exists", name, check=False).returncode == 1


def test_stop_lets_a_program_end_itself(podman):
    name = podman.start(command="trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    podman.logged(name, "ready")
    podman("stop", "--time=10", name)
    assert podman.inspect(name, ".State.ExitCode") == "7"
    assert "bye" in podman.output("logs", name)


def test_stop_kills_what_does_not_end(podman):
    name = podman.start(command="trap '' TERM; echo ready; while :; do sleep 0.05; done")
    podman.logged(name, "ready")
    podman("stop", "--time=1", name)
    assert podman.inspect(name, ".State.ExitCode") == "137"


def test_a_stop_signal_of_its_own(podman):
    name = podman.start("--stop-signal=USR1", command="trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done")
    podman.logged(name, "ready")
    podman("stop", "--time=10", name)
    assert podman.inspect(name, ".State.ExitCode") == "8"


@pytest.mark.parametrize("signal", ["HUP", "SIGUSR2", "15", "RTMIN+3"])
def test_kill_with_a_signal_that_is_handled(podman, signal):
    trap = {"RTMIN+3": "37", "15": "TERM"}.get(signal, signal.removeprefix("SIG"))
    name = podman.start(command=f"trap 'exit 11' {trap}; echo ready; while :; do sleep 0.05; done")
    podman.logged(name, "ready")
    podman("kill", f"--signal={signal}", name)
    assert podman.ended(name) == "11"


def test_kill(podman):
    name = podman.start()
    podman("kill", name)
    assert podman.ended(name) == "137"
    assert podman("kill", name, check=False).returncode != 0


def test_restart(podman):
    name = podman.start()
    first = podman.pid(name)
    podman("restart", "--time=0", name)
    assert podman.pid(name) != first
    assert podman.inspect(name, ".State.Status") == "running"


def test_restart_after_failures(podman):
    name = podman.start("--restart=on-failure:2", command="echo x >>/runs; cat /runs | wc -l; exit 1")
    wait_for(lambda: "3" in podman.output("logs", name).split(), "the third run")
    wait_for(lambda: podman.inspect(name, ".State.Status") == "exited", "the end of it")
    assert podman.inspect(name, ".RestartCount") == "2"


# Limits

LIMITS = {
    "memory": (["--memory=64m"], "memory/memory.limit_in_bytes", "memory.max", str(64 << 20), str(64 << 20)),
    "reservation": (
        ["--memory-reservation=32m"],
        "memory/memory.soft_limit_in_bytes",
        "memory.low",
        str(32 << 20),
        str(32 << 20),
    ),
    "swap": (
        ["--memory=64m", "--memory-swap=96m"],
        "memory/memory.memsw.limit_in_bytes",
        "memory.swap.max",
        str(96 << 20),
        str(32 << 20),
    ),
    "pids": (["--pids-limit=37"], "pids/pids.max", "pids.max", "37", "37"),
    "cpus": (["--cpus=0.5"], "cpu/cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000"),
    "quota": (["--cpu-period=50000", "--cpu-quota=20000"], "cpu/cpu.cfs_period_us", "cpu.max", "50000", "20000 50000"),
    "shares": (["--cpu-shares=512"], "cpu/cpu.shares", "cpu.weight", "512", "20"),
    "cpuset": (["--cpuset-cpus=1"], "cpuset/cpuset.cpus", "cpuset.cpus", "1", "1"),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_run_with_a_limit(podman, kind):
    options, v1, v2, value1, value2 = LIMITS[kind]
    name = podman.start(*options)
    assert cgroup_file(podman, name, v1, v2) == (value2 if V2 else value1)


def block_device() -> tuple[str, str]:
    """Return a disk of this machine, and its number."""
    for path in sorted(Path("/sys/block").iterdir()):
        device = Path("/dev") / path.name
        if path.name.startswith(("vd", "sd", "nvme", "loop0")) and device.exists():
            return str(device), (path / "dev").read_text().strip()
    pytest.skip("no disk here")


def test_a_limit_of_reading_and_writing(podman):
    device, number = block_device()
    name = podman.start(f"--device-read-bps={device}:1mb", f"--device-write-iops={device}:77")
    if V2:
        (line,) = [x for x in cgroup_file(podman, name, "blkio/x", "io.max").splitlines() if x.startswith(number)]
        assert {"rbps=1048576", "wiops=77"} <= set(line.split())
    else:
        assert cgroup_file(podman, name, "blkio/blkio.throttle.read_bps_device", "") == f"{number} 1048576"
        assert cgroup_file(podman, name, "blkio/blkio.throttle.write_iops_device", "") == f"{number} 77"


def test_no_more_processes_than_allowed(podman):
    done = podman.run("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait", "--pids-limit=5", check=False)
    assert "can't fork" in done.stderr.lower(), done


def test_only_the_processor_that_was_asked_for(podman):
    assert podman.inside("nproc; grep Cpus_allowed_list /proc/self/status", "--cpuset-cpus=0").split() == ["1", "Cpus_allowed_list:", "0"]


def test_out_of_memory(podman):
    """conmon 2.1 notes it in the directory where it was started, and Podman 4.3 looks elsewhere: OOMKilled stays false."""
    note = podman.directory / "oom"
    note.unlink(missing_ok=True)
    name = podman.start("--memory=20m", "--memory-swap=20m", command="tail /dev/zero; echo $?; exec tail /dev/zero")
    assert podman.ended(name) == "137"
    assert podman.output("logs", name).split()[0] == "137"
    assert note.exists(), "conmon was not told"


def test_update_of_limits(podman):
    name = podman.start("--memory=64m")
    podman("update", "--memory=32m", "--cpus=0.25", "--cpu-shares=256", "--cpuset-cpus=0", name)
    assert cgroup_file(podman, name, "memory/memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert cgroup_file(podman, name, "cpu/cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    assert cgroup_file(podman, name, "cpu/cpu.shares", "cpu.weight") == ("10" if V2 else "256")
    assert cgroup_file(podman, name, "cpuset/cpuset.cpus", "cpuset.cpus") == "0"
    assert podman.exec(name, "nproc") == "1"


@pytest.mark.parametrize(
    ("option", "kind", "soft", "hard"),
    [("nofile=128:256", "Max open files", "128", "256"), ("core=0", "Max core file size", "0", "0"), ("cpu=30", "Max cpu time", "30", "30")],
)
def test_ulimits(podman, option, kind, soft, hard):
    # Without the default limits, of which there are none then, Podman raises both of these.
    others = [f"--ulimit={name}=512:1024" for name in ("nofile", "nproc") if name not in option]
    lines = podman.inside("cat /proc/self/limits", f"--ulimit={option}", *others).splitlines()
    (line,) = [line for line in lines if line.startswith(kind)]
    assert line.removeprefix(kind).split()[:2] == [soft, hard]


def test_oom_score(podman):
    assert podman.inside("cat /proc/self/oom_score_adj", "--oom-score-adj=700") == "700"


@pytest.mark.skipif(SYSTEMD, reason="a parent is a slice there")
def test_a_parent_cgroup(podman):
    parent = f"/{podman.new_name()}"
    try:
        name = podman.start(f"--cgroup-parent={parent}")
        assert f"{parent}/libpod-" in str(cgroup_of(podman.pid(name), "memory"))
    finally:
        podman.remove_used()
        for path in [*Path("/sys/fs/cgroup").glob(parent[1:]), *Path("/sys/fs/cgroup").glob(f"*{parent}")]:
            for inner in sorted(path.glob("**/"), reverse=True):
                inner.rmdir()


def test_the_cgroup_namespace(podman):
    private, host = (podman.inside("cat /proc/self/cgroup", f"--cgroupns={kind}").splitlines() for kind in ("private", "host"))
    assert {line.split(":", 2)[2] for line in private} == {"/"}
    assert all("libpod" in line for line in host), host


# Volumes


def test_a_volume_to_write_to(podman, tmp_path):
    podman.run("echo from inside >/v/file", "--volume", f"{tmp_path}:/v")
    assert (tmp_path / "file").read_text() == "from inside\n"


@pytest.mark.parametrize("option", ["--volume={}:/v:ro", "--mount=type=bind,source={},destination=/v,ro"])
def test_a_volume_to_read_only(podman, tmp_path, option):
    (tmp_path / "file").write_text("x\n")
    done = podman.run("cat /v/file; echo y >/v/file", option.format(tmp_path), check=False)
    assert done.stdout == "x\n"
    assert "read-only file system" in done.stderr.lower()


def test_the_flags_of_a_volume(podman, tmp_path):
    table = mountinfo(podman.inside("cat /proc/self/mountinfo", "--volume", f"{tmp_path}:/v:nosuid,nodev,noexec"))
    assert {"nosuid", "nodev", "noexec", "rw"} <= table["/v"].options
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    assert podman.run("/v/program", "--volume", f"{tmp_path}:/v:noexec", check=False).returncode == 126


def test_a_volume_that_follows_its_source(podman):
    source = podman.directory / podman.new_name()
    source.mkdir()
    podman.place.run("sh", "-ec", 'mount --bind "$0" "$0"; mount --make-shared "$0"; mkdir "$0"/sub', source)
    name = podman.start("--volume", f"{source}:/slave:rslave", "--volume", f"{source}:/private:rprivate", "--volume", f"{source}:/shared:rshared", "--cap-add=SYS_ADMIN")
    podman.place.run("sh", "-ec", 'mount -t tmpfs tmpfs "$0"/sub; echo seen >"$0"/sub/file', source)
    assert podman.exec(name, "cat /slave/sub/file; cat /shared/sub/file; ls /private/sub") == "seen\nseen"
    podman.exec(name, "mkdir /shared/up; mount -t tmpfs tmpfs /shared/up; echo up >/shared/up/file")
    assert podman.place.run("cat", source / "up/file").stdout == "up\n"
    podman.remove_used()
    podman.place.run("umount", source / "up", source / "sub", source)


def test_a_named_volume_takes_what_the_image_has(podman):
    volume = podman.new_name()
    assert podman.inside("cat /data/file; echo kept >/data/new", "--volume", f"{volume}:/data") == "from the image"
    assert podman.inside("cat /v/file /v/new", "--volume", f"{volume}:/v") == "from the image\nkept"
    podman("volume", "rm", volume)


def test_a_tmpfs(podman):
    shown = podman.inside("mount | grep ' /t '; stat -c %a /t; df -k /t", "--tmpfs=/t:size=2m,mode=1770,noexec")
    assert "noexec" in shown and "size=2048k" in shown and "1770" in shown.splitlines(), shown


def test_a_tmpfs_takes_what_the_image_has(podman):
    shown = podman.inside("cat /data/file; stat -f -c %T /data", "--mount=type=tmpfs,destination=/data,tmpfs-size=1m,tmpcopyup")
    assert shown == "from the image\ntmpfs"
    assert podman.inside("ls /data", "--mount=type=tmpfs,destination=/data,notmpcopyup") == ""


def test_volumes_of_another_container(podman, tmp_path):
    (tmp_path / "file").write_text("shared\n")
    name = podman.start("--volume", f"{tmp_path}:/v:ro")
    assert podman.inside("cat /v/file", f"--volumes-from={name}") == "shared"


def test_an_overlay_volume_keeps_its_source(podman, tmp_path):
    (tmp_path / "file").write_text("lower\n")
    assert podman.inside("echo upper >/v/file; cat /v/file", "--volume", f"{tmp_path}:/v:O") == "upper"
    assert (tmp_path / "file").read_text() == "lower\n"


def test_an_image_as_a_volume(podman):
    assert podman.inside("cat /image/data/file", f"--mount=type=image,source={NAME},destination=/image") == "from the image"


def test_a_secret(podman):
    name = podman.new_name()
    podman("secret", "create", name, "-", input="hidden")
    assert podman.inside("cat /run/secrets/s; stat -c ' %a' /run/secrets/s", f"--secret={name},target=s,mode=0400") == "hidden 400"
    podman("secret", "rm", name)


def test_a_read_only_root(podman):
    shown = podman.run("echo >/tmp/x && echo tmp; echo >/run/x && echo run; echo >/x", "--read-only", check=False)
    assert shown.stdout == "tmp\nrun\n"
    assert "read-only file system" in shown.stderr.lower()
    bare = podman.run("echo >/tmp/x; echo >/dev/shm/x && echo shm", "--read-only", "--read-only-tmpfs=false", check=False)
    assert bare.stdout in ("shm\n", "")
    assert "/tmp/x: read-only file system" in bare.stderr.lower()


def test_the_size_of_shared_memory(podman):
    assert "3.0M" in podman.inside("df -h /dev/shm", "--shm-size=3m")


# Users and rights


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--user=app"], "1000 1000 1000 2000"),
        (["--user=1000"], "1000 1000 1000 2000"),
        (["--user=app:extra"], "1000 2000 2000"),
        (["--user=4321"], "4321 0 0"),
        (["--user=4321:5"], "4321 5 5"),
        (["--user=app", "--group-add=77"], "1000 1000 77 1000 2000"),
    ],
    ids=" ".join,
)
def test_users(podman, options, found):
    assert podman.inside("echo $(id -u) $(id -g) $(id -G | tr ' ' '\n' | sort -n)", *options) == found


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], DEFAULT_CAPABILITIES),
        (["--cap-drop=all"], []),
        (["--cap-drop=all", "--cap-add=chown,SYS_ADMIN"], ["CHOWN", "SYS_ADMIN"]),
        (["--cap-drop=CAP_CHOWN", "--cap-add=SYS_TIME"], [*DEFAULT_CAPABILITIES[1:], "SYS_TIME"]),
        (["--user=app"], []),
        (["--user=app", "--cap-add=NET_RAW"], ["NET_RAW"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else "",
)
def test_capabilities(podman, options, names):
    status = podman.inside("cat /proc/self/status", *options)
    assert effective(status) == bits(*names), fields(status)


def test_privileged(podman):
    status, _, rest = podman.inside("cat /proc/self/status; echo; ls /dev | wc -l; mount -t tmpfs tmpfs /tmp && echo mounted; cat /proc/kcore | head -c 4 | wc -c", "--privileged").partition("\n\n")
    ours = effective(Path("/proc/self/status").read_text())
    assert effective(status) & ours == ours
    assert fields(status)["Seccomp"] == "0"
    assert int(rest.split()[0]) > 20
    assert "mounted" in rest


def test_no_new_privileges(podman):
    assert fields(podman.inside("cat /proc/self/status", "--security-opt=no-new-privileges"))["NoNewPrivs"] == "1"
    assert fields(podman.inside("cat /proc/self/status"))["NoNewPrivs"] == "0"


@pytest.mark.parametrize(("options", "mode", "said"), [([], "2", "not permitted"), (["--security-opt=seccomp=unconfined"], "0", "invalid argument")])
def test_the_default_seccomp_profile_and_none(podman, options, mode, said):
    done = podman.run("grep Seccomp: /proc/self/status; swapoff /data/file", "--cap-add=SYS_ADMIN", *options, check=False)
    assert done.stdout.split() == ["Seccomp:", mode]
    assert said in done.stderr.lower()


def test_a_seccomp_profile_of_ones_own(podman, tmp_path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18}]}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    done = podman.run("mkdir /made; echo went on", f"--security-opt=seccomp={tmp_path}/profile.json")
    assert done.stdout == "went on\n"
    assert "cross-device link" in done.stderr.lower()


def test_masked_and_unmasked(podman):
    file = next(path for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list") if Path(path).exists())
    count = f"head -c 10 {file} | wc -c; cat /proc/self/mountinfo"
    masked, _, table = podman.inside(count).partition("\n")
    assert masked == "0"
    assert "ro" in mountinfo(table)["/proc/sys"].options
    shown, _, table = podman.inside(count, "--security-opt=unmask=ALL").partition("\n")
    assert shown == "10"
    assert "/proc/sys" not in mountinfo(table)
    assert podman.inside("ls /data", "--security-opt=mask=/data") == ""


def test_sysctls(podman):
    shown = podman.inside("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward", "--sysctl=kernel.shm_rmid_forced=1", "--sysctl=net.ipv4.ip_forward=1")
    assert shown == "1\n1"


def test_a_device(podman):
    device = next(path for path in ("/dev/fuse", "/dev/net/tun", "/dev/loop-control") if Path(path).exists())
    number = os.stat(device).st_rdev
    command = "stat -c '%t %T' /dev/mine; exec 3</dev/mine && echo read; exec 4<>/dev/mine && echo written"
    found = [f"{os.major(number):x}", f"{os.minor(number):x}", "read"]
    assert podman.inside(command, f"--device={device}:/dev/mine:rw").split() == [*found, "written"]
    done = podman.run(command, f"--device={device}:/dev/mine:r", check=False)
    assert done.stdout.split() == found
    assert "not permitted" in done.stderr, done


def test_devices_that_nobody_asked_for_are_closed(podman):
    command = "mknod /dev/mem2 c 1 1 && head -c 1 /dev/mem2"
    done = podman.run(command, "--cap-add=MKNOD,SYS_RAWIO", check=False)
    assert "not permitted" in done.stderr, done
    allowed = podman.run("mknod /tmp/full c 1 7; head -c 1 /tmp/full | wc -c", "--cap-add=MKNOD", "--device-cgroup-rule=c 1:7 rwm")
    assert allowed.stdout.strip() == "1"


# Names, environment and more of a container's own


def test_hostname_and_hosts(podman):
    shown = podman.inside("hostname; cat /etc/hostname /etc/hosts", "--hostname=named.example", "--add-host=other:192.0.2.7")
    assert shown.startswith("named.example\nnamed.example")
    assert "192.0.2.7\tother" in shown


def test_names_by_dns(podman):
    options = ("--network=bridge", "--dns=192.0.2.53", "--dns-search=example.org", "--dns-option=ndots:3")
    shown = podman.inside("cat /etc/resolv.conf", *options).splitlines()
    assert "nameserver 192.0.2.53" in shown and "search example.org" in shown and "options ndots:3" in shown, shown


def test_environment(podman, tmp_path):
    (tmp_path / "file").write_text("B=from file\nC=c\n")
    shown = podman.inside("env", "--env=A=1", f"--env-file={tmp_path}/file", "--env=C=2", "--unsetenv=FROM_IMAGE").splitlines()
    assert {"A=1", "B=from file", "C=2", "container=podman"} <= set(shown)
    assert not [line for line in shown if line.startswith("FROM_IMAGE")]


def test_a_working_directory_that_the_image_lacks(podman, tmp_path):
    name = f"localhost/{podman.new_name()}"
    podman("load", "--input", images.archive(tmp_path / "image.tar", name, WorkingDir="/not/there", Cmd=["pwd"]))
    assert podman.output("run", "--rm", "--network=none", name) == "/not/there"
    podman("rmi", name)


def test_a_umask(podman):
    assert podman.inside("umask; touch /f; stat -c %a /f", "--umask=0077") == "0077\n600"


def test_init_reaps(podman):
    name = podman.start("--init", command="(sleep 0.1 &); exec sleep 1000000")
    first, *_ = podman.exec(name, "cat /proc/1/cmdline | tr '\\0' ' '").split()
    assert first in ("/run/podman-init", "/dev/init", "/sbin/init")
    processes = "cat /proc/[0-9]*/stat | cut -d' ' -f2,3"
    wait_for(lambda: podman.exec(name, processes).count("(sleep)") == 1, lambda: podman.exec(name, processes), what="orphans to be reaped")


def test_a_container_for_systemd(podman):
    name = podman.start("--systemd=always")
    table = mountinfo(podman.exec(name, "cat /proc/self/mountinfo"))
    assert {table[path].type for path in ("/run", "/run/lock", "/tmp")} == {"tmpfs"}
    place = "/sys/fs/cgroup" if V2 else "/sys/fs/cgroup/systemd"
    assert "rw" in table[place].options
    podman.exec(name, f"mkdir {place}/mine && rmdir {place}/mine")
    assert podman.inspect(name, ".Config.StopSignal") == "37"


def test_the_root_may_be_a_directory(podman, tmp_path):
    for directory in ("bin", "proc", "sys", "dev", "etc", "run", "tmp"):
        (tmp_path / directory).mkdir()
    (tmp_path / "bin/busybox").write_bytes(images.BUSYBOX.read_bytes())
    (tmp_path / "bin/busybox").chmod(0o755)
    words = ("run", "--rm", "--network=none", "--rootfs", tmp_path, "/bin/busybox", "sh", "-c", "echo here; busybox pwd")
    assert podman.output(*words) == "here\n/"


# Namespaces


@pytest.mark.parametrize(("option", "kind"), [("pid", "pid"), ("ipc", "ipc"), ("network", "network"), ("uts", "uts"), ("cgroupns", "cgroup")])
def test_a_namespace_of_another_container(podman, option, kind):
    shareable = ["--ipc=shareable"] if option == "ipc" else []
    first = podman.start(*shareable)
    second = podman.start(f"--{option}=container:{first}")
    assert namespace(podman.pid(first), kind) == namespace(podman.pid(second), kind)
    assert namespace(podman.pid(first), "mount") != namespace(podman.pid(second), "mount")
    if option == "pid":
        assert len(podman.exec(second, "pidof sleep").split()) == 2


@pytest.mark.parametrize(("option", "kind"), [("pid", "pid"), ("ipc", "ipc"), ("network", "network"), ("uts", "uts")])
def test_a_namespace_of_the_host(podman, option, kind):
    name = podman.start(f"--{option}=host")
    assert namespace(podman.pid(name), kind) == namespace(podman.place.holder.pid, kind)


def test_kill_with_the_pids_of_the_host(podman):
    """Without a pid namespace that ends with its first process, all of the container's have to end."""
    name = podman.start("--pid=host", command="sleep 777 & sleep 777 & exec sleep 777")
    first = podman.pid(name)
    group = cgroup_of(first, "pids")
    wait_for(lambda: len((group / "cgroup.procs").read_text().split()) == 3, "three processes")
    pids = [int(word) for word in (group / "cgroup.procs").read_text().split()]
    podman("rm", "--force", "--time=0", name)
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "all of them to end")


def test_a_user_namespace(podman, tmp_path):
    name = podman.start("--uidmap=0:100000:5000", "--gidmap=0:200000:5000", "--volume", f"{tmp_path}:/v")
    tmp_path.chmod(0o777)
    assert podman.exec(name, "id -u; cat /proc/self/uid_map /proc/self/gid_map").split() == ["0", "0", "100000", "5000", "0", "200000", "5000"]
    assert status_outside(podman.pid(name))["Uid"].split()[0] == "100000"
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o111)
    podman.exec(name, "touch /v/made")
    assert (tmp_path / "made").stat().st_uid == 100000
    assert podman.exec(name, "stat -c %u:%g /data/file") == "0:0"


def test_a_user_namespace_of_another_container(podman):
    first = podman.start("--uidmap=0:100000:5000")
    second = podman.start(f"--userns=container:{first}")
    assert namespace(podman.pid(first), "user") == namespace(podman.pid(second), "user")
    assert podman.exec(second, "id -u") == "0"


def test_a_user_namespace_that_podman_chooses(podman):
    for file in ("subuid", "subgid"):
        path = podman.directory / file
        path.write_text("containers:300000:200000\n")
        podman.place.run("sh", "-ec", 'touch "$1"; mount --bind "$0" "$1"', path, f"/etc/{file}")
    first, second = podman.start("--userns=auto:size=2000"), podman.start("--userns=auto:size=2000")
    maps = [podman.exec(name, "cat /proc/self/uid_map").split() for name in (first, second)]
    assert [int(each[1]) >= 300000 and each[2] == "2000" for each in maps] == [True, True]
    assert maps[0][1] != maps[1][1]
    podman.remove_used()
    for file in ("subuid", "subgid"):
        podman.place.run("umount", f"/etc/{file}")


@pytest.mark.pyrunc_only("1.1 knows no idmapped mounts")
def test_a_volume_with_mapped_ids(podman, tmp_path):
    (tmp_path / "file").touch()
    name = podman.start("--uidmap=0:100000:5000", "--gidmap=0:100000:5000", "--volume", f"{tmp_path}:/v:idmap")
    assert podman.exec(name, "stat -c %u:%g /v/file") == "0:0"
    podman.exec(name, "touch /v/made")
    assert (tmp_path / "made").stat().st_uid == 0


# Pods and networks


def test_a_pod(podman):
    pod = podman.new_name()
    podman("pod", "create", "--name", pod, "--hostname=the-pod", "--network=none")
    server = podman.start(f"--pod={pod}", command="while :; do echo served | nc -l -p 8080; done")
    client = podman.start(f"--pod={pod}")
    for kind in ("network", "ipc", "uts"):
        assert namespace(podman.pid(server), kind) == namespace(podman.pid(client), kind)
    assert namespace(podman.pid(server), "pid") != namespace(podman.pid(client), "pid")
    assert podman.exec(client, "hostname") == "the-pod"
    wait_for(lambda: podman.exec(client, "nc -w 2 127.0.0.1 8080 </dev/null || true") == "served", "an answer in the pod")
    podman("pod", "stop", "--time=0", pod)
    assert podman.inspect(client, ".State.Status") == "exited"
    podman("pod", "start", pod)
    assert podman.exec(client, "hostname") == "the-pod"
    podman("pod", "pause", pod)
    assert podman.inspect(server, ".State.Status") == "paused"
    podman("pod", "unpause", pod)
    podman("pod", "rm", "--force", "--time=0", pod)
    assert podman("container", "exists", client, check=False).returncode == 1


def test_a_pod_that_shares_its_processes(podman):
    pod = podman.new_name()
    podman("pod", "create", "--name", pod, "--share=pid,net", "--network=none")
    first, second = podman.start(f"--pod={pod}"), podman.start(f"--pod={pod}")
    assert len(podman.exec(second, "pidof sleep").split()) == 3  # the infra container's is the first
    podman("rm", "--force", "--time=0", first)
    assert len(podman.exec(second, "pidof sleep").split()) == 2
    podman("pod", "rm", "--force", "--time=0", pod)


def test_two_containers_on_a_bridge(podman):
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    server = podman.start("--network=bridge", "--publish=127.0.0.1:18080:80", command="while :; do echo served | nc -l -p 80; done")
    found = podman.output("inspect", "--format", address, server)
    assert podman.inside(f"ip -o addr show eth0; nc -w 5 {found} 80 </dev/null", "--network=bridge").splitlines()[-1] == "served"


def test_no_network(podman):
    assert podman.inside("ls /sys/class/net") == "lo"


# Pods as Kubernetes writes them

KUBE = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "echo $GREETING; exec sleep 1000000"]
    env:
    - name: GREETING
      value: hello
    resources:
      limits: {{memory: 64Mi, cpu: 500m}}
    securityContext:
      runAsUser: 1000
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
"""


def test_play_and_generate_kube(podman, tmp_path):
    pod = podman.new_name()
    (tmp_path / "pod.yaml").write_text(KUBE.format(name=pod, image=NAME))
    podman("kube", "play", "--network=none", tmp_path / "pod.yaml")
    main = f"{pod}-main"
    podman.logged(main, "hello")
    assert podman.exec(main, "id -u") == "1000"
    assert effective(podman.exec(main, "cat /proc/1/status")) == 0
    assert cgroup_file(podman, main, "memory/memory.limit_in_bytes", "memory.max") == str(64 << 20)
    generated = podman.output("kube", "generate", pod)
    assert "kind: Pod" in generated and NAME in generated
    podman("kube", "down", tmp_path / "pod.yaml")
    assert podman("pod", "exists", pod, check=False).returncode == 1


# Files and images


def test_copy_into_and_out_of_a_container(podman, tmp_path):
    name = podman.start(command="touch /ready; exec sleep 1000000")
    (tmp_path / "in").write_text("copied\n")
    podman("cp", tmp_path / "in", f"{name}:/data/in")
    assert podman.exec(name, "cat /data/in; rm /data/in") == "copied"
    podman.exec(name, "echo back >/out")
    podman("cp", f"{name}:/out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "back\n"
    podman("stop", "--time=0", name)
    podman("cp", f"{name}:/out", tmp_path / "again")
    assert (tmp_path / "again").read_text() == "back\n"


def test_diff_commit_and_export(podman, tmp_path):
    name = podman.start(command="echo new >/made; rm /data/file")
    podman.ended(name)
    assert {"A /made", "D /data/file"} <= set(podman.output("diff", name).splitlines())
    made = f"localhost/{podman.new_name()}"
    podman("commit", "--quiet", "--change=CMD cat /made", name, made)
    assert podman.output("run", "--rm", "--network=none", made) == "new"
    podman("rmi", made)
    podman("export", "--output", tmp_path / "tar", name)
    with tarfile.open(tmp_path / "tar") as tar:
        names = tar.getnames()
    assert "made" in names and "data/file" not in names


def test_the_root_can_be_mounted_outside(podman):
    name = podman.start()
    root = podman.output("mount", name)
    assert podman.place.run("cat", f"{root}/data/file").stdout == "from the image\n"
    podman("umount", name)


# What is told


def test_events(podman):
    name = podman.start(command="exit 3")
    podman.ended(name)
    lines = podman.output("events", "--stream=false", f"--filter=container={name}", "--format=json").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["Status"] for event in events][:4] == ["create", "init", "start", "died"]
    assert events[3]["ContainerExitCode"] == 3


def test_a_health_check(podman):
    name = podman.start("--health-cmd=test -e /healthy", "--health-interval=disable", "--health-retries=1")
    assert podman("healthcheck", "run", name, check=False).returncode == 1
    podman.exec(name, "touch /healthy")
    podman("healthcheck", "run", name)
    assert podman.inspect(name, ".State.Health.Status") == "healthy"


def test_inspect_tells_the_runtime(podman, box):
    assert podman.inspect(box, ".OCIRuntime") == podman.name
    assert podman.inspect(box, ".HostConfig.PidsLimit") == "100"


def test_info_names_the_runtime_and_its_version(podman):
    told = json.loads(podman.output("info", "--format=json"))["host"]["ociRuntime"]
    assert (told["name"], told["path"]) == (podman.name, str(podman.wrapper))
    assert "version" in told["version"] and "spec:" in told["version"], told


def test_a_flag_for_the_runtime(podman):
    name = podman.new_name()
    podman("--runtime-flag=debug", "run", "--name", name, "--network=none", NAME, "true")
    (argv,) = [argv for argv in podman.argvs() if "create" in argv and argv[-1] == podman.inspect(name, ".Id")]
    assert "--debug" in argv


def test_a_runtime_by_path(podman):
    done = podman("--runtime", podman.wrapper, "run", "--rm", "--network=none", NAME, "echo", "by path")
    assert done.stdout == "by path\n"


def test_a_hook(podman, tmp_path):
    seen = tmp_path / "seen"
    hook = {
        "version": "1.0.0",
        "hook": {"path": "/bin/sh", "args": ["sh", "-c", f"cat >{seen}; echo $GIVEN >>{seen}"], "env": ["GIVEN=by the hook"]},
        "when": {"annotations": {"^wants-hook$": "^yes$"}},
        "stages": ["createRuntime"],
    }
    directory = tmp_path / "hooks"
    directory.mkdir()
    (directory / "hook.json").write_text(json.dumps(hook))
    podman("--hooks-dir", directory, "run", "--rm", "--network=none", "--annotation=wants-hook=yes", NAME, "true")
    state, given = seen.read_text().rsplit("}", 1)
    assert json.loads(state + "}")["annotations"]["wants-hook"] == "yes"
    assert given.strip() == "by the hook"


# Many at once


def test_twenty_at_once(podman):
    processes = [
        podman.popen("run", "--rm", "--network=none", NAME, "sh", "-c", f"echo {number}; exit {number}") for number in range(20)
    ]
    ended = [(process.communicate(timeout=100), process.returncode) for process in processes]
    assert [(out, status) for (out, _), status in ended] == [(f"{number}\n", number) for number in range(20)], ended


def test_remove_all_by_force(podman, box):
    names = [podman.start() for _ in range(3)]
    podman("pause", names[1])
    podman("kill", names[2])
    podman("rm", "--force", "--time=0", *names)
    assert not set(names) & set(podman.output("ps", "--all", "--format={{.Names}}").splitlines())


# What Podman asked


def test_pyrunc_understands_what_podman_and_conmon_ask(podman, box):
    from pyrunc.cli.parse import parse_command, parse_general

    asked = podman.argvs()
    assert {argv for line in asked for argv in line} >= {"create", "start"}
    for argv in asked:
        general, place = parse_general(argv)
        parse_command(argv, place, general)
