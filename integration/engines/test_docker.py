"""Docker: dockerd with the runtime under test, and what its users run with it; further files have the rest.

Slow in a virtual machine: only those that are QUICK belong to a usual run there.
"""

from __future__ import annotations

import json
import os
import signal

import pytest

from integration.engines import documented
from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.docker import CLIENT, IMAGE, SECONDS, archive_of
from integration.harness.runtime import wait_for
from integration.harness.screen import Screen
from pyrunc.cli.parse import parse_command, parse_general

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = ("test_exec_runs_a_command", "test_run_gives_output_and_status", "test_nothing_is_left")


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


def test_every_command_line_is_understood(docker_engine):
    """Whatever the runtime under test is: pyrunc's command line takes all that it was called with."""
    argvs = docker_engine.recorder.argvs()
    assert {"create", "start", "exec", "delete", "kill"} <= {word for argv in argvs for word in argv}
    for argv in argvs:
        general, place = parse_general(argv)
        assert parse_command(argv, place, general).command or general["version"], argv


def test_nothing_is_left(docker_engine, sleeper):
    """No process, cgroup, mount, bundle or state of a container."""
    assert docker_engine.output("ps", "--all", "--format", "{{.Names}}") == sleeper
    docker_engine("kill", sleeper)
    docker_engine.ended(sleeper)
    wait_for(lambda: not docker_engine.left(), docker_engine.left, SECONDS, what="all of the containers to go")
    wait_for(lambda: docker_engine.tidy() == [], docker_engine.tidy, what="the cgroup of all containers to go")
