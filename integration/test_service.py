"""A container as a service of systemd's: sockets from outside (sd_listen_fds(3)), readiness to outside (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import WAIT, wait_for
from integration.looking import become, compiled, mapped, mountinfo

# Sockets from outside

LOOK = 'echo "$LISTEN_FDS|$LISTEN_PID|$LISTEN_FDNAMES|$$"; cat <&3; cat <&4'


@pytest.fixture
def files(tmp_path):
    """Return the words of a shell that opens two files as descriptors 3 and 4, and becomes the rest."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name}\n")

    def given(argv: list[str], count: str = "1", pid: str = "$$", names: str = "") -> list[str]:
        """Return the words that run ARGV with COUNT sockets for PID, called NAMES."""
        named = f"LISTEN_FDNAMES={names} " if names else ""
        text = f'exec 3<"$0/one" 4<"$0/two"; LISTEN_FDS={count} LISTEN_PID={pid} {named}exec "$@"'
        return ["sh", "-c", text, str(tmp_path), *argv]

    return given


def said(argv: list[str]) -> list[str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines()


def command(runtime, b, *flags):
    return runtime.argv("run", "--bundle", str(b.path), *flags, runtime.prepare(b))


def test_a_socket_for_the_container(runtime, bundle, files):
    b = bundle(LOOK)
    assert said(files(command(runtime, b))) == ["1|1||1", "one"]


def test_two_of_them(runtime, bundle, files):
    assert said(files(command(runtime, bundle(LOOK)), "2")) == ["2|1||1", "one", "two"]


def test_what_is_preserved_comes_after_them(runtime, bundle, files):
    assert said(files(command(runtime, bundle(LOOK), "--preserve-fds", "1"))) == ["1|1||1", "one", "two"]


@pytest.mark.pyrunc_only("drops their names")
def test_their_names(runtime, bundle, files):
    b = bundle(LOOK)
    b.process["env"] += ["LISTEN_FDNAMES=other", "LISTEN_FDS=9"]
    assert said(files(command(runtime, b), "2", names="web:log")) == ["2|1|web:log|1", "one", "two"]


@pytest.mark.parametrize(("count", "pid"), [("1", "1"), ("1", ""), ("0", "$$"), ("", "$$"), ("x", "$$"), ("-1", "$$"), ("1", "x")])
def test_what_is_not_for_us(runtime, bundle, files, count, pid):
    b = bundle('echo "$LISTEN_FDS|$LISTEN_PID"; ls /proc/self/fd | tail -n 1')
    assert said(files(command(runtime, b), count, pid)) == ["|", "3"]  # the last one is that of ls itself


@pytest.mark.pyrunc_only("passes on whatever has the number")
def test_a_socket_that_is_not_open(runtime, bundle, files, tmp_path):
    words = files(command(runtime, bundle(LOOK)), "3")
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "LISTEN_FDS=3: descriptor 5 is not open" in done.stderr
    logged = [*command(runtime, bundle(LOOK)), "--preserve-fds", "1"]
    logged[1:1] = ["--log", str(tmp_path / "log")]  # which gets descriptor 3
    done = subprocess.run(logged, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_create_and_start(runtime, bundle, files, tmp_path):
    b = bundle(LOOK)
    name = runtime.prepare(b)
    out = tmp_path / "out"
    with out.open("w") as file:
        create = runtime.argv("create", "--bundle", str(b.path), name)
        subprocess.run(files(create, "2"), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL, check=True)
    runtime("start", name)
    runtime.wait(name, "stopped")
    assert out.read_text().splitlines() == ["2|1||1", "one", "two"]


@pytest.mark.pyrunc_only("says 1 to whoever is not process 1 too, and exec passes nothing on")
def test_who_is_not_process_1(runtime, bundle, files):
    b = bundle(LOOK)
    b.namespace("pid", drop=True)
    first, content = said(files(command(runtime, b)))
    count, pid, _, own = first.split("|")
    assert (count, pid, content) == ("1", own, "one")
    name = runtime.start(bundle())
    first, *content = said(files(runtime.argv("exec", "--preserve-fds", "1", name, "sh", "-c", LOOK), names="web"))
    count, pid, names, own = first.split("|")
    assert (count, pid, names, content) == ("1", own, "web", ["one", "two"])


# Readiness to outside

READY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = {AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char *name = getenv("NOTIFY_SOCKET");
	if (!name) {
		puts("no socket");
		return 3;
	}
	puts(name);
	fflush(stdout);
	strcpy(address.sun_path, name);
	for (int i = 2; i < argc; i++)
		if (sendto(fd, argv[i], strlen(argv[i]), 0, (void *)&address, sizeof address) < 0) {
			perror("sendto");
			return 4;
		}
	sleep(atoi(argv[1]));
	return 5;
}
"""


class Manager:
    """A service manager's socket at PATH, and what came there."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.environment = {**os.environ, "NOTIFY_SOCKET": str(path)}

    def receive(self) -> str:
        """Return the next message; its descriptors are closed, as sd_notify_barrier(3) wants it."""
        assert select.select([self.socket], [], [], WAIT)[0], "no message"
        data, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
        for fd in fds:
            os.close(fd)
        return data.decode()

    def silent(self) -> bool:
        """Return whether nothing is there."""
        return not select.select([self.socket], [], [], 0)[0]


@pytest.fixture
def manager():
    """Return a manager whose socket has a short path."""
    with contextlib.ExitStack() as stack:
        directory = subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip()
        stack.callback(subprocess.run, ["rm", "-rf", directory], check=True)
        made = Manager(Path(directory, "notify"))
        stack.callback(made.socket.close)
        yield made


def ready(b, seconds: int, *messages: str):
    """Let B's process send MESSAGES and stay for SECONDS."""
    program = b.rootfs / "bin/ready"
    program.write_bytes(compiled(READY, "-static").read_bytes())
    program.chmod(0o755)
    b.process["args"] = ["ready", str(seconds), *messages]
    return b


def test_run_passes_it_on_and_is_the_main_process(runtime, bundle, manager):
    b = ready(bundle(), 1000, "STATUS=coming", "READY=1")
    name = runtime.prepare(b)
    running = runtime.popen("run", "--bundle", str(b.path), name, env=manager.environment)
    assert manager.receive() == "READY=1\n"
    assert manager.receive() == f"MAINPID={running.pid}\n"
    assert manager.receive() == "BARRIER=1"
    assert runtime.status(name) == "running"
    running.send_signal(signal.SIGHUP)  # which ends the container's process, as long as that is no process 1
    runtime("kill", name, "KILL")
    assert running.wait(WAIT) == 128 + signal.SIGKILL
    running.communicate()
    assert manager.silent()


def test_detached_it_waits_for_it(runtime, bundle, manager):
    b = ready(bundle(), 1000, "READY=1")
    name = runtime.prepare(b)
    running = runtime.popen("run", "--detach", "--bundle", str(b.path), name, env=manager.environment, stdout=-3, stderr=-3)
    assert manager.receive() == "READY=1\n"
    assert manager.receive() == f"MAINPID={runtime.pid(name)}\n"
    assert running.poll() is None
    assert manager.receive() == "BARRIER=1"
    assert running.wait(WAIT) == 0


def test_start_waits_for_it(runtime, bundle, manager):
    b = ready(bundle(), 1000, "READY=1")
    name = runtime.create(b, env=manager.environment)
    assert manager.silent()
    running = runtime.popen("start", name, env=manager.environment)
    assert manager.receive() == "READY=1\n"
    assert manager.receive() == f"MAINPID={runtime.pid(name)}\n"
    assert manager.receive() == "BARRIER=1"
    assert running.wait(WAIT) == 0
    running.communicate()
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    runtime("delete", name)
    assert not (runtime.root / name).exists()


@pytest.mark.pyrunc_only("waits for ever")
@pytest.mark.parametrize("detached", [True, False])
def test_a_container_that_ends_before(runtime, bundle, manager, detached):
    """Whoever waits for it waits no longer; its status is what it was."""
    b = ready(bundle(), 0, "STATUS=coming")
    name = runtime.prepare(b)
    words = ("--bundle", str(b.path), name)
    if detached:
        done = runtime("run", "--detach", *words, env=manager.environment, stdout=-3, stderr=-3, check=False)
        assert done.returncode == 0
    else:
        done = runtime("run", *words, env=manager.environment, check=False)
        assert (done.returncode, done.stdout) == (5, "/run/notify/notify.sock\n")
    assert manager.silent()


@pytest.mark.parametrize("change", [mapped, lambda b: become(b, 1000)], ids=["mapped", "another-user"])
def test_whoever_the_container_is(runtime, bundle, manager, change):
    b = change(ready(bundle(), 1000, "READY=1"))
    name = runtime.create(b, env=manager.environment)
    starting = runtime.popen("start", name, env=manager.environment)
    assert [manager.receive() for _ in range(3)][1:] == [f"MAINPID={runtime.pid(name)}\n", "BARRIER=1"]
    assert starting.wait(WAIT) == 0
    starting.communicate()


def test_the_socket_is_all_that_is_there(runtime, bundle, manager):
    b = bundle()
    b.config["root"]["readonly"] = True
    name = runtime.create(b, env=manager.environment)
    starting = runtime.popen("start", name, env=manager.environment)
    wait_for(lambda: runtime.status(name) == "running", f"{name} to run")
    assert runtime.exec(name, "ls", "-a", "/run/notify").stdout.split() == [".", "..", "notify.sock"]
    row = mountinfo(runtime.exec(name, "cat", "/proc/1/mountinfo").stdout)["/run/notify"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= row.options
    assert "NOTIFY_SOCKET" not in runtime.exec(name, "env").stdout
    runtime("kill", name, "KILL")
    assert starting.wait(WAIT) == 0
    starting.communicate()


def test_without_a_manager_there_is_no_socket(runtime, bundle):
    environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    done = runtime.run(ready(bundle(), 0), env=environment, check=False)
    assert (done.returncode, done.stdout) == (3, "no socket\n")
    done = runtime.run(ready(bundle(), 0), env={**environment, "NOTIFY_SOCKET": ""}, check=False)
    assert (done.returncode, done.stdout) == (3, "no socket\n")


@pytest.mark.pyrunc_only("says nothing")
def test_a_manager_that_is_gone(runtime, bundle, manager, tmp_path):
    """The container runs all the same; the log says why nobody is told."""
    b = ready(bundle(), 0, "READY=1")
    log = tmp_path / "log"
    words = ("--log", str(log), "run", "--detach", "--bundle", str(b.path), runtime.prepare(b))
    environment = {**manager.environment, "NOTIFY_SOCKET": str(tmp_path / "nobody")}
    runtime(*words, env=environment, stdout=-3, stderr=-3)
    assert "cannot pass readiness on to NOTIFY_SOCKET=" in log.read_text()


def test_an_abstract_socket(runtime, bundle):
    manager = Manager(Path("\0pyrunc-test-manager"))
    address = {**os.environ, "NOTIFY_SOCKET": "@pyrunc-test-manager"}
    b = ready(bundle(), 1000, "READY=1")
    running = runtime.popen("run", "--detach", "--bundle", str(b.path), runtime.prepare(b), env=address, stdout=-3, stderr=-3)
    assert [manager.receive() for _ in range(3)][::2] == ["READY=1\n", "BARRIER=1"]
    assert running.wait(WAIT) == 0


# Both, by systemd itself


def systemd_run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-run", "--collect", *words], capture_output=True, text=True, timeout=WAIT * 5, check=True)


def shown(unit: str, field: str) -> str:
    return subprocess.run(
        ["systemctl", "show", "--value", f"--property={field}", unit], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def unit():
    """Return the name of a unit, which is stopped at the end."""
    name = f"pyrunc-test-{os.getpid()}.service"
    yield name
    for words in (("kill", "--signal=KILL"), ("stop",)):  # as process 1 the container's heeds no other signal
        subprocess.run(["systemctl", *words, name], capture_output=True, check=False)


@pytest.mark.systemd
def test_a_unit_of_type_notify(runtime, bundle, unit):
    """It has started when the container says so, and systemd watches the runtime, which stays."""
    b = ready(bundle(), 1000, "READY=1")
    name = runtime.prepare(b)
    systemd_run("--unit", unit, "--service-type=notify", *runtime.argv("run", "--bundle", str(b.path), name))
    assert shown(unit, "ActiveState") == "active"
    main = int(shown(unit, "MainPID"))
    assert runtime.name in Path(f"/proc/{main}/cmdline").read_text()
    assert runtime.status(name) == "running"


@pytest.mark.systemd
def test_a_unit_that_is_detached(runtime, bundle, unit):
    """Then systemd watches the container's own process."""
    b = ready(bundle(), 1000, "READY=1")
    name = runtime.prepare(b)
    words = ("--service-type=notify", "--property=NotifyAccess=all", "--property=StandardOutput=null")
    systemd_run("--unit", unit, *words, *runtime.argv("run", "--detach", "--bundle", str(b.path), name))
    assert int(shown(unit, "MainPID")) == runtime.pid(name)
    assert shown(unit, "ActiveState") == "active"


def test_a_program_that_systemd_activates(runtime, bundle, manager):
    """The first who connects starts the container, which has the socket."""
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not installed")
    b = bundle('echo "$LISTEN_FDS|$LISTEN_PID|$$"; ls -l /proc/self/fd/3')
    path = f"{manager.environment['NOTIFY_SOCKET']}.listen"
    argv = ["systemd-socket-activate", "--listen", path, *runtime.argv("run", "--bundle", str(b.path), runtime.prepare(b))]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        wait_for(lambda: Path(path).exists(), "the socket")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            out = running.communicate(timeout=WAIT)[0]
    assert out.startswith("1|1|1\n")
    assert "socket:" in out
