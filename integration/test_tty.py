"""Terminals: in the foreground, and through a console socket."""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import subprocess
import time

import pytest

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
    screen = on_screen(runtime, terminal(bundle("stty -echo; echo ready; read line; echo got $line; stty size")))
    screen.read_until("ready")
    screen.size(50, 120)
    os.kill(screen.process.pid, signal.SIGWINCH)
    time.sleep(0.3)
    screen.write("word\n")
    screen.read_until("50 120")
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


class ConsoleSocket:
    """Listens where --console-socket sends the master to."""

    def __init__(self, path):
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(20)

    def receive(self):
        connection, _ = self.listener.accept()
        fds = array.array("i")
        name, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_LEN(fds.itemsize))
        fds.frombytes(ancillary[0][2])
        connection.close()
        self.listener.close()
        return name, fds[0]


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
    console = ConsoleSocket(tmp_path / "s")
    name = runtime.create(terminal(bundle("tty; echo line")), "--console-socket", console.path)
    sent, master = console.receive()
    assert sent  # runc sends the master's name
    runtime("start", name)
    assert read_all(master) == "/dev/pts/0\r\nline\r\n"
    os.close(master)


def test_exec_with_a_console_socket(runtime, bundle, tmp_path):
    name = runtime.start(bundle())
    console = ConsoleSocket(tmp_path / "s")
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
