"""Podman: what its users do with containers, with the runtime under test."""

from __future__ import annotations

import fcntl
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

from integration.engines import documented
from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.image import NAME
from integration.engines.podman import DEFAULT_CAPABILITIES, FOREVER, bits, effective
from integration.harness.runtime import wait_for

need("podman", "conmon")
pytestmark = pytest.mark.slow_vm
SECONDS = 20


@pytest.fixture(scope="module")
def box(podman_engine):
    """Return a container that is there for all tests, for those that leave it as it was."""
    name = podman_engine.start("--hostname=box", "--env=FROM_RUN=yes", "--pids-limit=100")
    podman_engine.used.remove(name)
    yield name
    podman_engine("rm", "--force", "--time=0", name)


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
    ours, process = terminal(
        podman,
        "run",
        "--rm",
        "--network=none",
        "-it",
        NAME,
        "sh",
        "-c",
        "trap 'exit 9' INT; read a; echo got:$a; while :; do sleep 0.1; done",
    )
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
    command = podman.command("run", "--rm", "--network=none", "--preserve-fds=1", NAME, "sh", "-c", "cat <&3")
    done = podman.place.run("sh", "-c", 'exec 3<"$0" "$@"', tmp_path / "passed", *command, env=podman.environment)
    assert done.stdout == "by descriptor\n"


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
    assert "made" in names
    assert "data/file" not in names


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
    assert [word for word in ("version", "commit: ", "spec: ") if word not in told["version"]] == [], told


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


# What docs/engines.md says


def test_the_commands_of_the_documentation(podman):
    drop_in, *blocks = documented.blocks("Podman")
    podman("tag", NAME, "docker.io/library/busybox:latest")
    commands = [line for block in blocks for line in block.splitlines()]
    before = len(podman.argvs())
    with podman.documented(drop_in) as typed:
        said = [typed(command) for command in commands]
    assert said.count("hello\n") == 2
    asked = podman.argvs()[before:]
    assert len([argv for argv in asked if "create" in argv]) == 4, asked
    assert len([argv for argv in asked if "update" in argv]) == 1, asked
    assert [argv for argv in asked if argv[0] == "--debug"], asked


# What Podman asked


def test_pyrunc_understands_what_podman_and_conmon_ask(podman, box):
    from pyrunc.cli.parse import parse_command, parse_general

    asked = podman.argvs()
    assert {argv for line in asked for argv in line} >= {"create", "start"}
    for argv in asked:
        general, place = parse_general(argv)
        parse_command(argv, place, general)
