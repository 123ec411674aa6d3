"""Docker: dockerd with the runtime under test, and what its users do with it.

Slow in a virtual machine: only those that are QUICK belong to a usual run there.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from integration.engines import documented
from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.docker import CLIENT, FOREVER, IMAGE, SECONDS, SYSTEMD, Docker
from integration.engines.place import EMULATED
from integration.harness.criu import works
from integration.harness.runtime import wait_for
from integration.harness.screen import Screen
from integration.looking import FIRST, cgroup_of, fields, namespace, status_outside, unified
from pyrunc.cli.parse import parse_command, parse_general

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = {
    "test_exec_runs_a_command",
    "test_run_gives_output_and_status",
    "test_update",
    "test_running_out_of_memory",
    "test_a_device",
    "test_nothing_is_left",
}
FACTOR = 10 if EMULATED else 1
DEFAULT_CAPABILITIES = 0xA80425FB
SYS_ADMIN = 1 << 21
YOUNGEST = (1 << 38) - 1  # all up to CAP_AUDIT_READ
BAD_BUILD = "FROM pyrunc-test\nRUN exit 9\n"
GOOD_BUILD = """\
FROM pyrunc-test
ENV MADE=yes
RUN echo "made $MADE" >/made && mkdir /work
WORKDIR /work
USER app
RUN id -u >/tmp/who && pwd >>/tmp/who
COPY context.txt /copied
CMD ["cat", "/made", "/tmp/who", "/copied"]
"""


@pytest.fixture(scope="module")
def engine(place, image, binary):
    """The daemon, with the image."""
    made = Docker(place, binary, place.directory / "docker")
    made.start()
    made("load", "--input", image)
    yield made
    made.stop()


@pytest.fixture
def docker(engine):
    """The daemon; the containers of a test are removed after it."""
    yield engine
    engine.remove_used()


@pytest.fixture(scope="module")
def sleeper(engine):
    """A container that sleeps, for tests that change nothing in it."""
    name = engine.start_container("--hostname", "sleeper", "--env", "A=of the container")
    engine.used.remove(name)
    yield name
    engine("rm", "--force", name)


def knob(docker, name, controller, file):
    """What FILE says of container NAME's cgroup; skip where the kernel offers no such file."""
    path = cgroup_of(docker.pid(name), controller) / file
    if not path.exists():
        pytest.skip(f"this kernel has no {file}")
    return path.read_text().strip()


def archive_of(*members):
    """A tar of MEMBERS, which are pairs of name and content, as bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# Running


def test_exec_runs_a_command(docker, sleeper):
    done = docker("exec", sleeper, "sh", "-c", "hostname; echo error >&2; exit 3", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("sleeper\n", "error\n", 3)


def test_run_gives_output_and_status(docker):
    done = docker.run("echo out; echo error >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "error\n", 7)


@pytest.mark.parametrize("number", ["HUP", "SIGUSR2", "12", "RTMIN+1"])
def test_kill_with_a_signal(docker, number):
    command = f"trap 'exit 11' {'35' if '+' in number else number.removeprefix('SIG')}; echo ready; while :; do sleep 0.05; done"
    name = docker.start_container(command=command)
    docker.wait_logged(name, "ready")
    docker("kill", "--signal", number, name)
    docker.wait_inspected(name, ".State.Status", "exited")
    assert docker.ended(name) == 11


def test_kill_ends_a_container(docker):
    name = docker.start_container()
    docker("kill", name)
    assert docker.ended(name) == 137
    assert docker.inspect(name, ".State.Status") == "exited"


def test_the_runtime_is_the_one_under_test(docker, sleeper):
    assert docker.inspect(sleeper, ".HostConfig.Runtime") == docker.name
    assert docker.inspect(sleeper, ".Id") in docker.ids()


def test_input(docker):
    done = docker("run", "--rm", "--interactive", "--network=none", IMAGE, "tr", "a-z", "A-Z", input="hello\n")
    assert done.stdout == "HELLO\n"


def test_a_terminal_and_its_size(docker):
    command = """tty; for size in "30 100" "40 120"; do
        while [ "$(stty size)" != "$size" ]; do sleep 0.05; done; echo "<$size>"
    done; exit 4"""
    screen = Screen(docker.argv("run", "--rm", "-it", "--network=none", IMAGE, "sh", "-c", command))
    assert "/dev/pts/0" in screen.read_until("<30 100>", SECONDS)
    screen.size(40, 120)
    os.kill(screen.process.pid, signal.SIGWINCH)
    screen.read_until("<40 120>", SECONDS)
    assert screen.close() == 4


def test_typing_at_a_terminal(docker):
    screen = Screen(docker.argv("run", "--rm", "-it", "--network=none", IMAGE, "sh"))
    screen.read_until("# ", SECONDS)
    screen.write("echo $((6 * 7)); exit 5\n")
    screen.read_until("42\r\n", SECONDS)
    assert screen.close() == 5


def test_interrupting_at_a_terminal(docker):
    command = "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done"
    screen = Screen(docker.argv("run", "--rm", "-it", "--network=none", IMAGE, "sh", "-c", command))
    screen.read_until("ready", SECONDS)
    screen.write("\x03")
    screen.read_until("caught", SECONDS)
    assert screen.close() == 6


def test_in_the_background_with_logs_and_wait(docker):
    name = docker.start_container(command="echo out; echo error >&2; exit 3")
    assert docker.ended(name) == 3
    done = docker("logs", name)
    assert (done.stdout, done.stderr) == ("out\n", "error\n")


def test_following_the_logs(docker):
    name = docker.start_container(command="echo one; sleep 0.5; echo two")
    assert docker.output("logs", "--follow", name) == "one\ntwo"


def test_attaching(docker):
    name = docker.start_container("--interactive", command="while read line; do echo got $line; done")
    client = docker.popen("attach", name)
    client.stdin.write("hello\n")
    client.stdin.flush()
    assert client.stdout.readline() == "got hello\n"
    docker("kill", name)
    client.communicate(timeout=SECONDS)
    assert client.returncode == 137


def test_creating_and_starting_later(docker):
    name = docker.start_container(verb="create", command="echo ran; exit 2")
    assert docker.inspect(name, ".State.Status") == "created"
    done = docker("start", "--attach", name, check=False)
    assert (done.stdout, done.returncode) == ("ran\n", 2)


def test_signals_to_the_client_reach_the_container(docker):
    command = "trap 'echo told; exit 8' TERM; echo ready; while :; do sleep 0.05; done"
    client = docker.popen("run", "--rm", "--network=none", IMAGE, "sh", "-c", command)
    assert client.stdout.readline() == "ready\n"
    client.terminate()
    out, error = client.communicate(timeout=SECONDS)
    assert (out, client.returncode) == ("told\n", 8), error


def test_the_environment(docker, tmp_path):
    file = tmp_path / "env"
    file.write_text("C=of the file\n")
    found = docker.inside("env", "--env", "B=given", "--env-file", file, "--hostname", "box").splitlines()
    assert {"FROM_IMAGE=yes", "B=given", "C=of the file", "HOSTNAME=box", "HOME=/root"} <= set(found)


def test_directory_and_entrypoint(docker):
    words = ("--rm", "--network=none", "--workdir", "/made/here", "--entrypoint", "pwd")
    assert docker.output("run", *words, IMAGE) == "/made/here"


# Further processes


def test_exec_with_input(docker, sleeper):
    assert docker.output("exec", "--interactive", sleeper, "tr", "a-z", "A-Z", input="hello") == "HELLO"


def test_exec_on_a_terminal(docker, sleeper):
    screen = Screen(docker.argv("exec", "-it", sleeper, "sh", "-c", "tty; read line; echo got $line; exit 4"))
    screen.read_until("/dev/pts/", SECONDS)
    screen.write("hello\n")
    screen.read_until("got hello", SECONDS)
    assert screen.close() == 4


@pytest.mark.parametrize(
    ("user", "shown"),
    [("app", "1000 1000 1000 2000"), ("1000:2000", "1000 2000 2000"), ("1234", "1234 0 0"), ("root", "0 0 0")],
)
def test_exec_as_a_user(docker, sleeper, user, shown):
    assert " ".join(docker.exec(sleeper, "id -u; id -g; id -G", "--user", user).split()) == shown


def test_exec_with_environment_and_directory(docker, sleeper):
    command = 'echo "$A,$B,$PWD"'
    assert docker.exec(sleeper, command, "--env", "B=new", "--workdir", "/data") == "of the container,new,/data"


def test_exec_in_the_background(docker):
    name = docker.start_container()
    docker("exec", "--detach", name, "sh", "-c", "echo $$ >/tmp/pid; exec sleep 999999")
    wait_for(lambda: "sleep 999999" in docker.output("top", name), "the process to be listed")
    assert docker.exec(name, "cat /proc/$(cat /tmp/pid)/comm") == "sleep"


@pytest.mark.usefixtures("privileges")
def test_exec_privileged(docker, sleeper):
    command = "grep CapEff /proc/self/status"
    usual, privileged = (int(docker.exec(sleeper, command, *more).split()[1], 16) for more in ((), ("--privileged",)))
    assert usual == DEFAULT_CAPABILITIES
    assert privileged & SYS_ADMIN, hex(privileged)


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [("missing", (126, 127), "executable file not found in $PATH"), ("/bin/not-executable", (126,), "permission denied")],
)
def test_exec_of_what_cannot_be_run(docker, sleeper, program, status, said):
    """Docker 20.10 says 126 for both."""
    done = docker("exec", sleeper, program, check=False)
    assert done.returncode in status, done
    assert f'exec: "{program}": {said}' in done.stdout + done.stderr


def test_exec_needs_a_running_container(docker):
    name = docker.start_container(command="exit 0")
    docker.ended(name)
    done = docker("exec", name, "true", check=False)
    assert done.returncode == 1
    assert "is not running" in done.stderr


# Ending, stopping, going on


def test_pause_and_unpause(docker):
    name = docker.start_container(command="while :; do echo >>/tmp/count; sleep 0.02; done")
    counted = Path(f"/proc/{docker.pid(name)}/root/tmp/count")
    wait_for(counted.exists, "the container to count")
    docker("pause", name)
    assert docker.inspect(name, ".State.Status") == "paused"
    frozen = ("freezer", "cgroup.freeze", "1") if unified() else ("freezer", "freezer.state", "FROZEN")
    assert knob(docker, name, *frozen[:2]) == frozen[2]
    before = counted.stat().st_size
    time.sleep(0.3 * FACTOR)
    assert counted.stat().st_size == before, "it counted on"
    assert "is paused" in docker("exec", name, "true", check=False).stderr
    docker("unpause", name)
    wait_for(lambda: counted.stat().st_size > before, "the container to go on")


def test_stop_lets_it_end(docker):
    name = docker.start_container(command="trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    docker.wait_logged(name, "ready")
    docker("stop", "--time", str(20 * FACTOR), name)
    assert docker.ended(name) == 5
    assert docker.output("logs", name) == "ready\nbye"


def test_stop_kills_after_its_timeout(docker):
    name = docker.start_container(command="trap '' TERM; echo ready; while :; do sleep 0.05; done")
    docker.wait_logged(name, "ready")
    before = time.monotonic()
    docker("stop", "--time", "1", name)
    assert time.monotonic() - before >= 1
    assert docker.ended(name) == 137


def test_the_signal_to_stop_with(docker):
    command = "trap 'exit 9' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done"
    name = docker.start_container("--stop-signal", "USR1", command=command)
    docker.wait_logged(name, "ready")
    docker("stop", name)
    assert docker.ended(name) == 9


def test_restart(docker):
    name = docker.start_container()
    before = docker.pid(name)
    docker("restart", "--time", "0", name)
    after = docker.pid(name)
    assert before != after
    assert docker.exec(name, "hostname")
    assert not Path(f"/proc/{before}").exists()


def test_restarting_on_failure(docker):
    name = docker.start_container("--restart", "on-failure:2", command="echo again; exit 1")
    docker.wait_inspected(name, ".RestartCount", "2")
    docker.wait_inspected(name, ".State.Status", "exited")
    assert docker.output("logs", name) == "again\nagain\nagain"


def test_rm_of_everything_by_force(docker):
    names = [docker.start_container() for _ in range(3)]
    names += [docker.start_container(command="exit 0"), docker.start_container(verb="create")]
    docker("pause", names[1])
    docker("exec", "--detach", names[2], *FOREVER)
    ids = [docker.inspect(name, ".Id") for name in names]
    assert set(docker.output("rm", "--force", *names).split()) == set(names)
    wait_for(lambda: not [line for line in docker.left() if any(name in line for name in ids)], docker.left, what="all to go")
    docker.used.clear()


def test_many_at_once(docker):
    names = [docker.new_name() for _ in range(20)]
    words = ("run", "--detach", "--network=none", "--memory=32m")
    clients = [docker.popen(*words, "--name", name, IMAGE, "sh", "-c", "cat /etc/hostname; exit 3") for name in names]
    for client in clients:
        _, error = client.communicate(timeout=100 * FACTOR)
        assert client.returncode == 0, error
    assert docker.output("wait", *names).split() == ["3"] * 20
    assert len({docker.output("logs", name) for name in names}) == 20


# Looking


def test_stats(docker):
    """The client writes zeros if its first sample comes late."""
    name = docker.start_container("--memory=64m", command="sleep 1000000 & sleep 1000000")
    seen = []

    def shown():
        seen.append(docker.output("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}} {{.CPUPerc}}", name))
        return re.fullmatch(r"2 [0-9.]+[KM]iB / 64MiB [0-9.]+%", seen[-1])

    wait_for(shown, lambda: seen, SECONDS, what="statistics")


def test_top(docker):
    name = docker.start_container(command="sleep 999 & exec sleep 1000000")
    rows = [line.split(None, 1) for line in docker.output("top", name, "-o", "pid,args").splitlines()[1:]]
    assert {"sleep 999", "sleep 1000000"} == {command for _, command in rows}
    assert str(docker.pid(name)) in {pid for pid, _ in rows}


def test_events(docker):
    since = time.time()
    name = docker.start_container()
    docker("pause", name)
    docker("unpause", name)
    docker("kill", name)
    docker.ended(name)
    docker("rm", name)
    assert docker.events(name, since) == ["create", "start", "pause", "unpause", "kill", "die", "destroy"]


def test_info_and_version_name_the_runtime(docker, binary):
    info = json.loads(docker.output("info", "--format", "{{json .}}"))
    assert info["Runtimes"][docker.name]["path"] == str(docker.recorder.path)
    assert info["DefaultRuntime"] == docker.name
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    parts = json.loads(docker.output("version", "--format", "{{json .Server.Components}}"))
    found = {part["Name"]: part["Version"] for part in parts}
    assert found[docker.name] == said.splitlines()[0].partition(" version ")[2]
    commit = [line.removeprefix("commit: ") for line in said.splitlines() if line.startswith("commit: ")]
    assert info["RuncCommit"]["ID"] == "".join(commit)


# Limits

V1_LIMITS = [
    ("--memory=64m", "memory", "memory.limit_in_bytes", "67108864", ".HostConfig.Memory", "67108864"),
    ("--memory-reservation=32m", "memory", "memory.soft_limit_in_bytes", "33554432", ".HostConfig.MemoryReservation", "33554432"),
    ("--memory=64m --memory-swap=96m", "memory", "memory.memsw.limit_in_bytes", "100663296", ".HostConfig.MemorySwap", "100663296"),
    ("--memory=64m --memory-swappiness=7", "memory", "memory.swappiness", "7", ".HostConfig.MemorySwappiness", "7"),
    ("--memory=64m --oom-kill-disable", "memory", "memory.oom_control", "oom_kill_disable 1", ".HostConfig.OomKillDisable", "true"),
    ("--cpus=0.5", "cpu", "cpu.cfs_quota_us", "50000", ".HostConfig.NanoCpus", "500000000"),
    ("--cpu-period=20000 --cpu-quota=5000", "cpu", "cpu.cfs_period_us", "20000", ".HostConfig.CpuQuota", "5000"),
    ("--cpu-shares=512", "cpu", "cpu.shares", "512", ".HostConfig.CpuShares", "512"),
    ("--cpuset-cpus=1", "cpuset", "cpuset.cpus", "1", ".HostConfig.CpusetCpus", "1"),
    ("--cpuset-mems=0", "cpuset", "cpuset.mems", "0", ".HostConfig.CpusetMems", "0"),
    ("--pids-limit=33", "pids", "pids.max", "33", ".HostConfig.PidsLimit", "33"),
]
V2_LIMITS = [
    ("--memory=64m", "memory", "memory.max", "67108864", ".HostConfig.Memory", "67108864"),
    ("--memory-reservation=32m", "memory", "memory.low", "33554432", ".HostConfig.MemoryReservation", "33554432"),
    ("--memory=64m --memory-swap=96m", "memory", "memory.swap.max", "33554432", ".HostConfig.MemorySwap", "100663296"),
    ("--cpus=0.5", "cpu", "cpu.max", "50000 100000", ".HostConfig.NanoCpus", "500000000"),
    ("--cpu-period=20000 --cpu-quota=5000", "cpu", "cpu.max", "5000 20000", ".HostConfig.CpuQuota", "5000"),
    ("--cpu-shares=512", "cpu", "cpu.weight", "20", ".HostConfig.CpuShares", "512"),
    ("--cpuset-cpus=1", "cpuset", "cpuset.cpus", "1", ".HostConfig.CpusetCpus", "1"),
    ("--cpuset-mems=0", "cpuset", "cpuset.mems", "0", ".HostConfig.CpusetMems", "0"),
    ("--pids-limit=33", "pids", "pids.max", "33", ".HostConfig.PidsLimit", "33"),
]


@pytest.mark.parametrize("row", V2_LIMITS if unified() else V1_LIMITS, ids=lambda row: row[0].replace(" ", ""))
def test_limits_are_the_kernels_and_inspects(docker, row):
    options, controller, file, value, field, shown = row
    name = docker.start_container(*options.split())
    assert docker.inspect(name, field).strip("<>") == shown or docker.output("inspect", "-f", "{{json %s}}" % field, name) == shown
    assert value in knob(docker, name, controller, file).splitlines()


UPDATES = {
    "--memory=48m --memory-swap=48m": ("memory", "memory.max" if unified() else "memory.limit_in_bytes", "50331648"),
    "--cpus=0.25": ("cpu", *(("cpu.max", "25000 100000") if unified() else ("cpu.cfs_quota_us", "25000"))),
    "--cpu-shares=2048": ("cpu", *(("cpu.weight", "79") if unified() else ("cpu.shares", "2048"))),
    "--cpuset-cpus=0": ("cpuset", "cpuset.cpus", "0"),
    "--pids-limit=22": ("pids", "pids.max", "22"),
}


@pytest.mark.parametrize("options", UPDATES)
def test_update(docker, options):
    controller, file, value = UPDATES[options]
    name = docker.start_container("--memory=64m", "--memory-swap=64m", "--pids-limit=44")
    assert knob(docker, name, controller, file) != value
    docker("update", *options.split(), name)
    assert knob(docker, name, controller, file) == value
    if controller != "pids":
        assert knob(docker, name, "pids", "pids.max") == "44", "update changed what it was not asked to"
    assert docker.exec(name, "echo alive") == "alive"


def test_update_takes_a_limit_away(docker):
    name = docker.start_container("--pids-limit=44")
    docker("update", "--pids-limit=-1", name)
    assert knob(docker, name, "pids", "pids.max") == "max"


def test_running_out_of_memory(docker):
    """Not before Docker knows that it runs: containerd's shim forgets an event that comes earlier."""
    since = time.time()
    command = "until test -e /tmp/go; do sleep 0.05; done; exec dd if=/dev/zero of=/dev/null bs=100M"
    name = docker.start_container("--memory=16m", "--memory-swap=16m", command=command)
    docker.exec(name, "touch /tmp/go")
    assert docker.ended(name) == 137
    assert docker.inspect(name, ".State.OOMKilled") == "true"
    assert "oom" in docker.events(name, since)


def test_oom_score(docker):
    assert docker.inside("cat /proc/self/oom_score_adj", "--oom-score-adj", "500") == "500"


def test_shared_memory_size(docker):
    assert "size=8192k" in docker.inside("grep ' /dev/shm ' /proc/mounts", "--shm-size", "8m")


def test_ulimits(docker):
    command = "ulimit -Sn; ulimit -Hn; ulimit -Hc"
    assert docker.inside(command, "--ulimit", "nofile=100:200", "--ulimit", "core=0").split() == ["100", "200", "0"]


def test_sysctls(docker):
    options = ("--sysctl", "kernel.msgmax=12345", "--sysctl", "net.ipv4.ip_unprivileged_port_start=99")
    command = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert docker.inside(command, *options).split() == ["12345", "99"]


def test_the_parent_of_its_cgroup(docker):
    parent = f"{docker.parent.removesuffix('.slice')}-other.slice" if SYSTEMD else f"/{docker.parent}/other"
    name = docker.start_container("--cgroup-parent", parent)
    path = cgroup_of(docker.pid(name), "pids")
    assert path.parent.name == Path(parent).name
    assert docker.inspect(name, ".Id") in path.name


@pytest.mark.parametrize("mode", ["private", "host"])
def test_the_cgroup_namespace(docker, mode):
    name = docker.start_container(f"--cgroupns={mode}")
    pid = docker.pid(name)
    assert (namespace(pid, "cgroup") == namespace("self", "cgroup")) is (mode == "host")
    last = docker.exec(name, "cat /proc/1/cgroup").splitlines()[-1].rpartition(":")[2]
    assert last == "/" if mode == "private" else last.endswith(cgroup_of(pid, "pids").name) or not unified()


# Files


def test_a_directory_of_the_host(docker, tmp_path):
    (tmp_path / "file").write_text("of the host\n")
    assert docker.inside("cat /v/file; echo new >/v/written", "--volume", f"{tmp_path}:/v") == "of the host"
    assert (tmp_path / "written").read_text() == "new\n"


def test_a_directory_to_read_only(docker, tmp_path):
    done = docker.run("touch /v/file", "--volume", f"{tmp_path}:/v:ro", check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_by_mount(docker, tmp_path):
    file = tmp_path / "file"
    file.write_text("one file\n")
    assert docker.inside("cat /etc/one", "--mount", f"type=bind,source={file},target=/etc/one,readonly") == "one file"


@pytest.mark.parametrize("mode", ["rslave", "rprivate"])
def test_mounts_that_come_later(docker, place, mode):
    """A mount that the host makes in a volume is seen by the container if propagation says so."""
    source = place.directory / f"propagation-{mode}"
    source.mkdir()
    place.run("mount", "--bind", source, source)
    place.run("mount", "--make-shared", source)
    (source / "sub").mkdir()
    name = docker.start_container("--volume", f"{source}:/v:{mode}")
    place.run("mount", "-t", "tmpfs", "later", source / "sub")
    seen = docker.exec(name, "grep -c ' /v/sub ' /proc/mounts || true")
    place.run("umount", source / "sub")
    docker("rm", "--force", name)
    place.run("umount", source)
    assert seen == ("1" if mode == "rslave" else "0")


def test_tmpfs(docker):
    options = ("--tmpfs", "/scratch:size=1m,mode=700,exec")
    line = docker.inside("grep ' /scratch ' /proc/mounts", *options).split()
    assert line[2] == "tmpfs"
    assert {"size=1024k", "mode=700", "nosuid", "nodev"} <= set(line[3].split(","))
    assert "noexec" not in line[3]


def test_a_named_volume(docker):
    name = docker.new_name()
    docker("volume", "create", name)
    docker.inside("echo kept >/v/file", "--volume", f"{name}:/v")
    assert docker.inside("cat /v/file", "--volume", f"{name}:/v:ro") == "kept"
    docker("volume", "rm", name)


def test_a_volume_begins_with_what_the_image_has(docker):
    name = docker.new_name()
    assert docker.inside("cat /data/file; echo more >>/data/file", "--volume", f"{name}:/data") == "from the image"
    assert docker.inside("cat /data/file", "--volume", f"{name}:/data") == "from the image\nmore"
    docker("volume", "rm", name)


def test_volumes_of_another_container(docker):
    first = docker.start_container("--volume", "/shared")
    docker.exec(first, "echo told >/shared/word")
    assert docker.inside("cat /shared/word", "--volumes-from", first) == "told"


def test_a_root_to_read_only(docker):
    done = docker.run("echo in >/tmp/file && cat /tmp/file; touch /file", "--read-only", "--tmpfs", "/tmp", check=False)
    assert done.stdout == "in\n"
    assert "Read-only file system" in done.stderr


def test_copying_in_and_out(docker, tmp_path):
    name = docker.start_container()
    (tmp_path / "in").write_text("from outside\n")
    docker("cp", tmp_path / "in", f"{name}:/tmp/in")
    docker.exec(name, "tr a-z A-Z </tmp/in >/tmp/out")
    docker("cp", f"{name}:/tmp/out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "FROM OUTSIDE\n"


def test_diff_and_commit(docker):
    name, made = docker.start_container(), f"{IMAGE}-committed-{os.getpid()}"
    docker.exec(name, "echo changed >/data/file; rm /bin/no-format; mkdir /new")
    assert {"C /data/file", "D /bin/no-format", "A /new"} <= set(docker.output("diff", name).splitlines())
    docker("commit", "--change", 'CMD ["cat", "/data/file"]', name, made)
    assert docker.output("run", "--rm", "--network=none", made) == "changed"
    docker("rmi", made)


def test_export_and_import(docker, tmp_path):
    name, made = docker.start_container(), f"{IMAGE}-imported-{os.getpid()}"
    docker.exec(name, "echo exported >/data/file")
    docker("export", "--output", tmp_path / "root.tar", name)
    with tarfile.open(tmp_path / "root.tar") as tar:
        assert tar.extractfile("data/file").read() == b"exported\n"
    docker("import", "--change", "ENV PATH=/bin", tmp_path / "root.tar", made)
    assert docker.output("run", "--rm", "--network=none", made, "cat", "/data/file") == "exported"
    docker("rmi", made)


def test_rename(docker):
    name, other = docker.start_container(), docker.new_name()
    docker("rename", name, other)
    assert docker.exec(other, "echo same") == "same"
    assert docker("inspect", name, check=False).returncode == 1


def build(docker, tmp_path, text):
    (tmp_path / "Dockerfile").write_text(text)
    (tmp_path / "context.txt").write_text("of the context\n")
    made = f"{IMAGE}-built-{os.getpid()}"
    return made, docker("build", "--network=none", "--force-rm", "--tag", made, tmp_path, check=False)


def test_build(docker, tmp_path):
    made, done = build(docker, tmp_path, GOOD_BUILD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert docker.output("run", "--rm", "--network=none", made).split("\n") == ["made yes", "1000", "/work", "of the context"]
    docker("rmi", made)


def test_build_stops_at_a_step_that_fails(docker, tmp_path):
    _, done = build(docker, tmp_path, BAD_BUILD)
    assert done.returncode == 9
    assert "returned a non-zero code: 9" in done.stderr


# Users and rights


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--user=app", "1000 1000 1000 2000"),
        ("--user=1234", "1234 0 0"),
        ("--user=1234:2345", "1234 2345 2345"),
        ("--user=app:extra", "1000 2000 2000"),
        ("--user=app --group-add=extra --group-add=3000", "1000 1000 1000 2000 3000"),
    ],
)
def test_users_and_groups(docker, options, shown):
    assert " ".join(docker.inside("id -u; id -g; id -G", *options.split()).split()) == shown


def capabilities(docker, *options):
    """The sets of capabilities in a container with OPTIONS, but for the inheritable and the ambient one, as numbers."""
    found = fields(docker.inside("cat /proc/self/status", *options))
    return tuple(int(found[name], 16) for name in ("CapPrm", "CapEff", "CapBnd"))


NET_ADMIN = 1 << 12


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", DEFAULT_CAPABILITIES),
        ("--cap-drop=ALL", 0),
        ("--cap-drop=CHOWN", DEFAULT_CAPABILITIES & ~1),
        ("--cap-add=NET_ADMIN", DEFAULT_CAPABILITIES | NET_ADMIN),
        ("--cap-drop=ALL --cap-add=NET_ADMIN", NET_ADMIN),
    ],
)
def test_capabilities(docker, options, expected):
    assert capabilities(docker, *options.split()) == (expected,) * 3


@pytest.fixture
def every():
    """The capabilities of this machine's root, without those that are younger than Docker 20.10."""
    return int(status_outside(os.getpid())["CapBnd"], 16) & YOUNGEST


@pytest.fixture
def privileges(docker, every):
    """Skip where capabilities are missing that the runtime cannot do without."""
    if every != YOUNGEST and docker.name == "my-runc":
        pytest.skip("runc 1.1 insists on capabilities that this machine's root lacks")


@pytest.mark.parametrize("options", ["--cap-add=ALL", "--privileged"])
@pytest.mark.usefixtures("privileges")
def test_all_capabilities(docker, every, options):
    found = capabilities(docker, options)
    assert {each & YOUNGEST for each in found} == {every}, found


def test_a_user_without_capabilities(docker):
    assert capabilities(docker, "--user=app") == (0, 0, DEFAULT_CAPABILITIES)


@pytest.mark.usefixtures("privileges")
def test_privileged(docker):
    """Sees the host's devices, may write to /sys, and is under no filter."""
    command = "grep Seccomp: /proc/self/status; test -c /dev/kmsg && echo kmsg; grep ' /sys ' /proc/mounts | grep -c rw,"
    assert docker.inside(command, "--privileged").split() == ["Seccomp:", "0", "kmsg", "1"]


def test_what_is_hidden_from_the_unprivileged(docker):
    command = "wc -c </proc/timer_list; ls /sys/firmware; echo x >/proc/sys/kernel/msgmax; mount -t tmpfs none /tmp"
    done = docker.run(command, check=False)
    assert done.stdout == "0\n"
    assert "/proc/sys/kernel/msgmax: Read-only file system" in done.stderr
    assert "mount: permission denied" in done.stderr


@pytest.mark.parametrize(("options", "value"), [((), "0"), (("--security-opt=no-new-privileges",), "1")])
def test_no_new_privileges(docker, options, value):
    assert docker.inside("grep NoNewPrivs /proc/self/status", *options).split()[1] == value


def test_the_default_seccomp_profile(docker):
    done = docker.run("grep Seccomp: /proc/self/status; unshare -r true", "--cap-add=SYS_PTRACE", check=False)
    assert done.stdout.split() == ["Seccomp:", "2"]
    assert "Operation not permitted" in done.stderr


def test_seccomp_unconfined(docker):
    assert docker.inside("grep Seccomp: /proc/self/status", "--security-opt=seccomp=unconfined").split()[1] == "0"


def test_a_seccomp_profile_of_ones_own(docker, tmp_path):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = docker.run("mkdir /new || touch /file", f"--security-opt=seccomp={profile}")
    assert "No space left on device" in done.stderr


@pytest.fixture
def disk():
    """A disk of this machine."""
    found = [path.name for path in Path("/sys/block").glob("[vs]d?")]
    return found[0] if found else pytest.skip("no disk here")


def test_a_device(docker):
    """Whose owner may be asked to read only."""
    command = "dd if=/dev/mine count=0 && echo opened; dd if=/dev/null of=/dev/mine conv=notrunc"
    done = docker.run(command, "--device=/dev/fuse:/dev/mine:r", check=False)
    assert done.stdout == "opened\n", done.stderr
    assert "/dev/mine': Operation not permitted" in done.stderr


def test_a_rule_for_devices(docker):
    command = "mknod /tmp/loop b 7 0 && dd if=/tmp/loop count=0"
    denied = docker.run(command, check=False)
    assert "Operation not permitted" in denied.stderr, denied
    allowed = docker.run(command, "--device-cgroup-rule=b 7:* rwm", check=False)
    assert "not permitted" not in allowed.stderr, allowed


def test_a_limit_of_input_and_output(docker, disk):
    numbers = Path(f"/sys/block/{disk}/dev").read_text().strip()
    name = docker.start_container(f"--device-read-bps=/dev/{disk}:1mb")
    if unified():
        assert f"{numbers} rbps=1048576" in knob(docker, name, "io", "io.max")
    else:
        assert f"{numbers} 1048576" in knob(docker, name, "blkio", "blkio.throttle.read_bps_device")


# Names and networks


def test_hostname_and_domainname(docker):
    command = "hostname; cat /proc/sys/kernel/domainname /etc/hostname"
    assert docker.inside(command, "--hostname=box", "--domainname=example.org").split() == ["box", "example.org", "box"]


def test_name_servers_and_hosts(docker):
    options = ("--dns=192.0.2.1", "--dns-search=example.org", "--add-host=friend:192.0.2.2")
    found = docker.inside("cat /etc/resolv.conf /etc/hosts", *options)
    assert "nameserver 192.0.2.1" in found
    assert "search example.org" in found
    assert "192.0.2.2\tfriend" in found


def test_a_network_of_ones_own(docker):
    """The runtime calls a hook of Docker's, which tells dockerd the network namespace."""
    network = docker.new_name()
    docker("network", "create", "--subnet", "198.51.100.0/24", network)
    try:
        command = "echo hello | nc -l -p 80"
        server = docker.start_container("--network", network, "--ip=198.51.100.9", command=f"while :; do {command}; done")
        name = docker.start_container("--network", network)
        found = docker.exec(name, "ip -4 addr show eth0; until nc 198.51.100.9 80; do sleep 0.1; done </dev/null")
        assert "inet 198.51.100." in found
        assert found.endswith("hello")
        hook = json.loads((docker.bundle(name) / "config.json").read_text())["hooks"]["prestart"][0]
        assert "libnetwork-setkey" in hook["args"]
        docker("rm", "--force", server, name)
    finally:
        docker("network", "rm", network, check=False)


def test_a_published_port(docker, place):
    network = docker.new_name()
    docker("network", "create", network)
    try:
        command = "while :; do echo hello | nc -l -p 80; done"
        name = docker.start_container("--network", network, "--publish=127.0.0.1:8080:80", command=command)
        place.run("sh", "-c", f"timeout {30 * FACTOR} busybox sh -c 'until busybox nc 127.0.0.1 8080 </dev/null | grep hello; do sleep 0.1; done'")
        docker("rm", "--force", name)
    finally:
        docker("network", "rm", network, check=False)


@pytest.mark.parametrize("kind", ["pid", "ipc", "network"])
def test_sharing_a_namespace_with_a_container(docker, kind):
    first = docker.start_container(*(["--ipc=shareable"] if kind == "ipc" else []))
    second = docker.start_container(f"--{kind}=container:{first}")
    one, two = docker.pid(first), docker.pid(second)
    assert namespace(one, kind) == namespace(two, kind) != namespace("self", kind)
    others = {"pid", "ipc", "network", "mount", "uts"} - {kind}
    assert not [other for other in others if namespace(one, other) == namespace(two, other)]
    if kind == "pid":
        assert docker.exec(second, "ps -o args | grep -c '[s]leep 1000000'") == "2"


@pytest.mark.parametrize("kind", ["pid", "ipc", "network", "uts"])
def test_sharing_a_namespace_with_the_host(docker, place, kind):
    """With the daemon's, which has a network namespace of its own here."""
    name = docker.start_container(f"--{kind}=host")
    assert namespace(docker.pid(name), kind) == namespace(place.holder.pid, kind)


def test_an_init(docker):
    """docker-init is process 1, and reaps what falls to it."""
    name = docker.start_container("--init", command="(sleep 0.1 & exec true); exec sleep 1000000")
    assert docker.exec(name, "tr '\\0' ' ' </proc/1/cmdline").startswith("/sbin/docker-init ")
    wait_for(lambda: len(docker.output("top", name).splitlines()) == 3, lambda: docker.output("top", name), what="two processes")
    docker("stop", "--time", str(20 * FACTOR), name)
    assert docker.ended(name) == 143


def test_health(docker):
    options = ("--health-cmd=test -e /tmp/well", "--health-interval=200ms", "--health-retries=1", f"--health-timeout={10 * FACTOR}s")
    name = docker.start_container(*options)
    docker.wait_inspected(name, ".State.Health.Status", "unhealthy")
    docker.exec(name, "touch /tmp/well")
    docker.wait_inspected(name, ".State.Health.Status", "healthy")


# What cannot be run


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("missing", 127, 'exec: "missing": executable file not found in $PATH'),
        ("/missing", 127, "no such file or directory"),
        ("/bin/not-executable", 126, "permission denied"),
        ("/data", 126, "permission denied"),
    ],
)
def test_what_cannot_be_run(docker, program, status, said):
    done = docker("run", "--rm", "--network=none", IMAGE, program, check=False)
    assert done.returncode == status, done
    assert said in done.stderr


@pytest.mark.parametrize(
    ("program", "said"), [("no-format", "exec format error"), ("no-interpreter", "no such file or directory")]
)
def test_what_is_no_program(docker, program, said):
    """Some runtimes notice when Docker takes them to have started."""
    done = docker("run", "--rm", "--network=none", IMAGE, program, check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_an_image_whose_directory_is_a_file(docker, tmp_path):
    made = f"docker.io/library/{IMAGE}-broken:{os.getpid()}"
    docker("load", "--input", images.archive(tmp_path / "image.tar", made, WorkingDir="/data/file"))
    done = docker("run", "--rm", "--network=none", made, "true", check=False)
    docker("rmi", made)
    assert done.returncode in (125, 126, 127), done
    assert "not a directory" in done.stderr


def test_an_image_without_its_program(docker):
    made = f"{IMAGE}-empty-{os.getpid()}"
    docker.place.run(CLIENT, "import", "-", made, env=docker.environment, input=archive_of(("file", b"text")), text=False)
    done = docker("run", "--rm", "--network=none", made, "/bin/sh", check=False)
    docker("rmi", made)
    assert done.returncode == 127
    assert "no such file or directory" in done.stderr


# The daemon


def test_arguments_for_the_runtime(docker):
    seen = len(docker.recorder.argvs())
    assert docker.inside("echo ran", "--runtime=debugging") == "ran"
    argvs = docker.recorder.argvs()[seen:]
    assert [argv[0] for argv in argvs if "create" in argv] == ["--debug"], argvs


def test_a_container_outlives_the_daemon(docker):
    name = docker.start_container(command="while :; do date +%s.%N >/tmp/now; sleep 0.05; done")
    pid = docker.pid(name)
    docker.stop()
    now = Path(f"/proc/{pid}/root/tmp/now")
    before = now.read_text()
    wait_for(lambda: now.read_text() not in ("", before), "the container to go on")
    docker.start()
    assert docker.pid(name) == pid
    assert docker.exec(name, "echo here") == "here"
    docker("kill", name)
    assert docker.ended(name) == 137


@pytest.fixture
def reachable():
    """A directory that every user may enter; whoever starts pytest closes those of all others of the same user."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o711)
        yield Path(made)


def test_user_namespaces(place, image, binary, reachable):
    """A daemon that gives every container a user namespace: who is root in there is FIRST outside."""
    ids = place.directory / "subids"
    ids.write_text(f"nobody:{FIRST}:65536\nnogroup:{FIRST}:65536\n")
    for file in ("/etc/subuid", "/etc/subgid"):
        place.run("sh", "-ec", 'touch "$1"; mount --bind "$0" "$1"', ids, file)
    remapped = Docker(place, binary, reachable, **{"userns-remap": "nobody:nogroup"})
    remapped.start()
    before = set(remapped.left())  # of the other daemon's containers
    try:
        remapped("load", "--input", image)
        name = remapped.start_container("--volume", "/made", "--memory=64m")
        pid = remapped.pid(name)
        assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(FIRST), "65536"]
        assert remapped.exec(name, "id -u; echo own >/made/file; stat -c %u /made/file /etc/passwd").split() == ["0"] * 3
        assert Path(f"/proc/{pid}/root/made/file").stat().st_uid == FIRST
        assert remapped.exec(name, "id -u", "--user=app") == "1000"
        hosts = remapped.start_container("--userns=host")
        assert namespace(remapped.pid(hosts), "user") == namespace("self", "user")
        remapped.remove_used()
        wait_for(lambda: before >= set(remapped.left()), remapped.left, SECONDS, what="all of the containers to go")
    finally:
        remapped.remove_used()
        remapped.stop()
        assert remapped.tidy() == []


@works
def test_checkpoint_and_start_from_it(docker):
    """The container goes on counting where it was."""
    name = docker.start_container(command="i=0; while :; do i=$((i + 1)); echo $i >/tmp/count; sleep 0.05; done")
    wait_for(lambda: int(docker.exec(name, "cat /tmp/count") or 0) > 3, "the container to count")
    docker("checkpoint", "create", name, "one")
    docker.wait_inspected(name, ".State.Status", "exited")
    assert docker.output("checkpoint", "ls", name).splitlines()[1:] == ["one"]
    docker("cp", f"{name}:/tmp/count", docker.directory / "count")
    before = int((docker.directory / "count").read_text())
    docker("start", "--checkpoint", "one", name)
    docker.wait_inspected(name, ".State.Status", "running")
    after = [int(docker.exec(name, "cat /tmp/count") or 0) for _ in range(2)]
    assert before <= after[0] < before + 100 * FACTOR, (before, after)
    wait_for(lambda: int(docker.exec(name, "cat /tmp/count") or 0) > after[0], "the container to go on")


@works
def test_checkpoint_of_what_goes_on(docker):
    name = docker.start_container()
    before = docker.pid(name)
    docker("checkpoint", "create", "--leave-running", name, "one")
    assert docker.pid(name) == before
    assert docker.exec(name, "echo alive") == "alive"


# What the documentation and the tests of the command line say


def test_the_documentation(docker, binary, tmp_path):
    """Every document there is accepted, every command there works; programs and images have the names that it uses."""
    document, *blocks = documented.blocks("Docker")
    settings = json.loads(document.replace("/usr/local/bin/pyrunc", str(docker.recorder.path)))
    assert settings["runtimes"]["pyrunc"] == {"path": str(docker.recorder.path)}
    (tmp_path / "docker").symlink_to(CLIENT)
    environment = {**docker.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    docker("tag", IMAGE, "busybox")
    docker.configure(**{**settings, "runtimes": {**docker.settings["runtimes"], **settings["runtimes"]}})
    seen = len(docker.recorder.argvs())
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 4, "the section says less than it did"
    try:
        for line in lines:
            if line == "systemctl reload docker":
                docker.reload()
            else:
                docker.place.run("sh", "-ec", line, env=environment)
    finally:
        docker.configure()
        docker.reload()
        docker("rm", "--force", "web", check=False)
        docker("rmi", "busybox")
    assert any("create" in argv for argv in docker.recorder.argvs()[seen:]), "nothing was run"


def test_every_command_line_is_understood(engine):
    """Whatever the runtime under test is: pyrunc's command line takes all that it was called with."""
    argvs = engine.recorder.argvs()
    assert {"create", "start", "exec", "delete", "kill"} <= {word for argv in argvs for word in argv}
    for argv in argvs:
        general, place = parse_general(argv)
        assert parse_command(argv, place, general).command or general["version"], argv


def test_nothing_is_left(engine, sleeper):
    """No process, cgroup, mount, bundle or state of a container."""
    assert engine.output("ps", "--all", "--format", "{{.Names}}") == sleeper
    engine("kill", sleeper)
    engine.ended(sleeper)
    wait_for(lambda: not engine.left(), engine.left, SECONDS, what="all of the containers to go")
    wait_for(lambda: engine.tidy() == [], engine.tidy, what="the cgroup of all containers to go")
