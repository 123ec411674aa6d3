"""Docker: how containers end, pause, restart and are looked at, and what a daemon that restarts does to them."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.docker import CLIENT, FACTOR, FOREVER, IMAGE, SECONDS, Docker, knob
from integration.harness.criu import works
from integration.harness.runtime import wait_for
from integration.looking import FIRST, namespace, unified

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = ()


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
