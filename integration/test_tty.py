"""Terminals: in the foreground, and through a console socket."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time

import pytest

from integration.harness.receiver import Receiver
from integration.harness.runtime import wait_for
from integration.harness.screen import Screen


def terminal(b):
    b.process["terminal"] = True
    return b


def on_screen(runtime, b):
    name = runtime._prepare(b)
    return Screen(runtime.argv("run", "--bundle", str(b.path), name))


def test_run_on_a_terminal(runtime, bundle):
    screen = on_screen(runtime, terminal(bundle("sleep 0.3; tty; stty size; test -c /dev/console && echo console; exit 4")))
    screen.read_until("console")
    assert screen.close() == 4
    assert screen.text == "/dev/pts/0\r\n30 100\r\nconsole\r\n"


def test_input_and_resize(runtime, bundle):
    script = 'stty -echo; echo ready; read line; echo got $line; until [ "$(stty size)" = "50 120" ]; do sleep 0.05; done; echo resized'
    screen = on_screen(runtime, terminal(bundle(script)))
    screen.read_until("ready")
    screen.size(50, 120)
    os.kill(screen.process.pid, signal.SIGWINCH)
    screen.write("word\n")
    screen.read_until("resized")
    assert "got word" in screen.text
    assert screen.close() == 0


def test_ctrl_c_goes_to_the_container(runtime, bundle):
    screen = on_screen(runtime, terminal(bundle("trap 'echo interrupted; exit 5' INT; echo ready; while true; do sleep 0.1; done")))
    screen.read_until("ready")
    screen.write("\x03")
    screen.read_until("interrupted")
    assert screen.close() == 5


def test_exec_on_a_terminal(runtime, bundle):
    name = runtime.start(bundle())
    screen = Screen(runtime.argv("exec", "-t", name, "sh", "-c", "tty; stty size; exit 6"))
    screen.read_until("30 100")
    assert screen.close() == 6


def read_all(master):
    text = b""
    while select.select([master], [], [], 10)[0]:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    return text.decode()


def test_console_socket(runtime, bundle, tmp_path):
    console = Receiver(tmp_path / "s")
    name = runtime.create(terminal(bundle("tty; echo line")), "--console-socket", console.path)
    sent, master = console.receive()
    assert sent  # runc sends the master's name
    runtime("start", name)
    assert read_all(master) == "/dev/pts/0\r\nline\r\n"
    os.close(master)


def test_exec_with_a_console_socket(runtime, bundle, tmp_path):
    name = runtime.start(bundle())
    console = Receiver(tmp_path / "s")
    runtime("exec", "--tty", "--detach", "--console-socket", console.path, name, "tty", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, master = console.receive()
    assert read_all(master) == "/dev/pts/0\r\n"
    os.close(master)


def test_a_detached_terminal_needs_a_socket(runtime, bundle):
    b = terminal(bundle("true"))
    name = runtime._prepare(b)
    done = runtime("create", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "without setting console socket" in done.stderr


def test_a_socket_needs_a_terminal(runtime, bundle, tmp_path):
    b = bundle("true")
    name = runtime._prepare(b)
    done = runtime("create", "--console-socket", str(tmp_path / "none"), "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "cannot use console socket" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_signals_are_forwarded(runtime, bundle, number):
    b = bundle(f"trap 'echo caught; exit 9' {number.name[3:]}; echo ready; while true; do sleep 0.05; done")
    name = runtime._prepare(b)
    process = subprocess.Popen(runtime.argv("run", "--bundle", str(b.path), name), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == "caught\n"
    assert process.returncode == 9


# What a caller's own streams do must not end, or hang, a container on a terminal.

WITHOUT_A_TERMINAL = pytest.mark.pyrunc_only("1.1 wants a terminal on one of its own streams")
BUSY = "trap 'echo ended > /data/end; exit 7' TERM; touch /data/ready; while true; do echo line; sleep 0.05; done"


def watched(bundle, tmp_path, script):
    """Return a bundle that runs SCRIPT on a terminal, and its directory /data."""
    data = tmp_path / "seen"
    data.mkdir()
    b = terminal(bundle(script))
    b.mount("/data", "bind", str(data), "bind")
    return b, data


@pytest.mark.parametrize("script", [BUSY, BUSY.replace("echo line; ", "")], ids=["writing", "silent"])
def test_the_callers_terminal_dies(runtime, bundle, tmp_path, script):
    """The container goes on, and `run` with it."""
    b, data = watched(bundle, tmp_path, script)
    screen = on_screen(runtime, b)
    wait_for((data / "ready").exists, "the program to start")
    os.close(screen.master)
    os.close(screen.slave)
    time.sleep(0.5)
    assert screen.process.poll() is None
    screen.process.terminate()
    assert screen.process.wait(20) == 7
    assert (data / "end").exists()


@pytest.mark.pyrunc_only("what the container still writes fills its terminal, and it hangs")
def test_a_terminal_that_is_gone_swallows_what_is_written(runtime, bundle, tmp_path):
    b, data = watched(bundle, tmp_path, "touch /data/ready; sleep 1; seq 1 20000; exit 4")
    screen = on_screen(runtime, b)
    wait_for((data / "ready").exists, "the program to start")
    os.close(screen.master)
    os.close(screen.slave)
    assert screen.process.wait(30) == 4


@WITHOUT_A_TERMINAL
def test_a_reader_that_does_not_read(runtime, bundle, tmp_path):
    """A full pipe stops the container's writing, but no signal."""
    script = "trap 'exit 7' TERM; touch /data/ready; dd if=/dev/zero bs=4096 count=1000 2>/dev/null & while true; do sleep 0.05; done"
    b, data = watched(bundle, tmp_path, script)
    name = runtime.prepare(b)
    process = runtime.popen("run", "--bundle", str(b.path), name)
    wait_for((data / "ready").exists, "the program to start")
    time.sleep(0.5)
    process.terminate()
    wait_for(lambda: not (runtime.root / name).exists() or runtime.status(name) == "stopped", "the container to end")
    process.communicate(timeout=20)
    assert process.returncode == 7


@WITHOUT_A_TERMINAL
def test_a_writer_that_nobody_reads(runtime, bundle, tmp_path):
    """Input that the program never takes delays no signal."""
    b, data = watched(bundle, tmp_path, "stty raw; trap 'exit 7' TERM; touch /data/ready; while true; do sleep 0.05; done")
    name = runtime.prepare(b)
    with (tmp_path / "input").open("w+b") as file:
        file.write(bytes(1 << 20))
        file.seek(0)
        process = runtime.popen("run", "--bundle", str(b.path), name, stdin=file)
        wait_for((data / "ready").exists, "the program to start")
        time.sleep(0.5)
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 7


@WITHOUT_A_TERMINAL
def test_output_that_nothing_takes(runtime, bundle):
    b = terminal(bundle("echo line; exit 4"))
    name = runtime.prepare(b)
    with open("/dev/full", "wb") as full:
        process = runtime.popen("run", "--bundle", str(b.path), name, stdout=full)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 4, said
    assert not said
