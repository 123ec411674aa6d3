"""Exec, attach and port-forward through the container runtime interface, as `kubectl` gets them from a kubelet."""

from __future__ import annotations

import signal

import pytest

from integration.engines.conftest import need
from integration.engines.containerd import NEEDED
from integration.harness import keeper
from integration.harness.runtime import wait_for

for module, package in (("grpc", "grpcio"), ("websocket", "websocket-client")):
    pytest.importorskip(module, reason=f"not installed: {package}")
need(*NEEDED)

from integration.engines import cri as interface  # noqa: E402 - only where they are
from integration.engines.streaming import DATA, ERROR, STDERR, STDOUT, SUCCESS, Stream, exit_status  # noqa: E402

QUICK = ("test_exec_returns_both_streams_and_the_status",)  # what the virtual machine runs without being asked
PORT = 8080
# A size is told while the process starts: it may come before or after its first look.
SIZED = 'until [ "$(stty size 2>/dev/null)" = "{}" ]; do sleep 0.1; done; stty size; '


@pytest.fixture
def stream(containerd, cri):
    """Return a function that asks for a stream by METHOD and connects to it."""
    made = []

    def connect(method, **fields):
        made.append(Stream(containerd.place, cri(method, **fields).url))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def execute(stream):
    """Return a function that runs a line for the shell, or a command, in a container."""

    def start(container, do, **chosen):
        words = do if isinstance(do, list) else ["sh", "-c", do]
        return stream("Exec", container_id=container, cmd=words, **{"stdout": True, "stderr": not chosen.get("tty"), **chosen})

    return start


@pytest.fixture
def attach(stream):
    """Return a function that attaches to a container."""
    return lambda container, **chosen: stream("Attach", container_id=container, stdout=True, stderr=not chosen.get("tty"), **chosen)


def seen(pods, container, path):
    """Return what is in a container's file at PATH, or nothing if it is not there yet."""
    return pods.exec(container, ["cat", path]).stdout.decode()


# Exec


@pytest.mark.parametrize("code", [0, 7, 255])
def test_exec_returns_both_streams_and_the_status(pods, pod, execute, code):
    done = execute(pods.start(pod), f"echo out; echo err >&2; exit {code}")
    assert exit_status(done.status()) == code
    assert (done.got[STDOUT], done.got[STDERR]) == (b"out\n", b"err\n")


def test_exec_that_a_signal_ends(pods, pod, execute):
    assert exit_status(execute(pods.start(pod), "kill -KILL $$").status()) == 128 + signal.SIGKILL


def test_exec_reads_standard_input(pods, pod, execute):
    done = execute(pods.start(pod), "read line; echo got $line; head -c 6", stdin=True)
    done.write("one\n")
    done.read_until("got one\n")
    done.write("two\nmore")
    assert exit_status(done.status()) == 0
    assert done.got[STDOUT] == b"got one\ntwo\nmo"


def test_exec_without_standard_input_has_none(pods, pod, execute):
    done = execute(pods.start(pod), ["cat"])
    assert done.status() == SUCCESS
    assert not done.got[STDOUT]


def test_exec_ends_its_input_when_the_client_goes(pods, pod, execute):
    container = pods.start(pod)
    done = execute(container, "echo ready; cat >/tmp/got; echo end >>/tmp/got", stdin=True)
    done.read_until("ready\n")
    done.write("words\n")
    done.close()
    wait_for(lambda: seen(pods, container, "/tmp/got") == "words\nend\n", lambda: seen(pods, container, "/tmp/got"), what="the end")


def test_exec_of_a_lot_of_output(pods, pod, execute):
    done = execute(pods.start(pod), "yes 0123456 | head -c 3000000; yes abc | head -c 300000 >&2")
    assert done.status() == SUCCESS
    assert (len(done.got[STDOUT]), len(done.got[STDERR])) == (3000000, 300000)
    assert set(done.got[STDOUT].split()) == {b"0123456"}


def test_exec_of_a_missing_program(pods, pod, execute):
    container = pods.start(pod)
    status = execute(container, ["missing"]).status()
    assert status["status"] == "Failure"
    assert 'exec: "missing": executable file not found in $PATH' in status["message"]
    assert pods.says(container, ["echo", "alive"]) == "alive\n"


def test_many_at_once(pods, pod, execute):
    container = pods.start(pod)
    running = [execute(container, f"read line; echo $line; exit {number}", stdin=True) for number in range(8)]
    for number, each in reversed(list(enumerate(running))):
        each.write(f"word {number}\n")
    for number, each in enumerate(running):
        assert exit_status(each.status()) == number
        assert each.got[STDOUT] == f"word {number}\n".encode()


def test_exec_ends_with_its_container(pods, pod, execute, cri):
    container = pods.start(pod)
    running = execute(container, "echo ready; exec sleep 1009")
    running.read_until("ready\n")
    cri("StopContainer", container_id=container, timeout=0)
    assert exit_status(running.status()) == 128 + signal.SIGKILL


# Exec with a terminal


def test_exec_with_a_terminal(pods, pod, execute):
    container = pods.start(pod)
    shell = execute(container, f"tty; echo both >&2; {SIZED.format('50 120')} exit 6", tty=True, stdin=True)
    shell.resize(50, 120)
    assert exit_status(shell.status()) == 6
    assert shell.got[STDOUT] == b"/dev/pts/0\r\nboth\r\n50 120\r\n"


def test_exec_with_a_terminal_is_resized_while_it_runs(pods, pod, execute):
    container = pods.start(pod)
    line = "stty -echo; trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
    shell = execute(container, line, tty=True, stdin=True)
    shell.read_until("ready")
    for rows, columns in ((50, 120), (24, 80)):
        shell.resize(rows, columns)
        shell.read_until(f"{rows} {columns}\r\n")


def test_exec_with_a_terminal_is_a_session(pods, pod, execute):
    """What is typed goes through the terminal: an echo, an interrupt, an end."""
    container = pods.start(pod)
    line = "trap 'echo caught; on=1' INT; echo ready; until [ $on ]; do sleep 0.1; done; cat; echo end"
    shell = execute(container, line, tty=True, stdin=True)
    shell.read_until("ready")
    shell.write("\x03")
    shell.read_until("caught\r\n")
    shell.write("typed\n")
    assert shell.read(lambda so_far: so_far.count(b"typed") == 2).endswith(b"typed\r\ntyped\r\n")
    shell.write("\x04")
    assert exit_status(shell.status()) == 0
    assert shell.got[STDOUT].endswith(b"end\r\n")


# Attach


def test_attach_with_standard_input(pods, pod, attach):
    container = pods.start(pod, "read line; echo got $line; read line; echo $line >&2; read line; exit 3", stdin=True)
    attached = attach(container, stdin=True)
    attached.write("one\n")
    attached.read_until("got one\n")
    attached.write("two\n")
    attached.read(lambda so_far: so_far == b"two\n", STDERR)
    attached.write("\n")  # containerd may lose what is said with the end
    assert attached.status() == SUCCESS  # of the attachment; the container's is its own
    assert attached.got[STDOUT] == b"got one\n"
    assert pods.ended(container).exit_code == 3
    assert sorted(pods.log(container)) == [("stderr", "two"), ("stdout", "got one")]


def test_attach_twice_to_an_input_that_stays_open(pods, pod, attach):
    container = pods.start(pod, "while read line; do echo got $line; done", stdin=True)
    for word in ("one", "two"):
        attached = attach(container, stdin=True)
        attached.write(f"{word}\n")
        assert attached.read_until(f"got {word}\n") == f"got {word}\n"
        attached.close()
    assert pods.status(container).state == interface.RUNNING


def test_attach_ends_an_input_that_is_given_once(pods, pod, attach):
    container = pods.start(pod, "cat; echo end", stdin=True, stdin_once=True)
    attached = attach(container, stdin=True)
    attached.write("words\n")
    attached.read_until("words\n")
    assert pods.status(container).state == interface.RUNNING
    attached.close()
    assert pods.ended(container).exit_code == 0
    assert [text for _, text in pods.log(container)] == ["words", "end"]


def test_attach_only_to_see(pods, pod, attach):
    container = pods.start(pod, "while :; do echo tick; sleep 0.1; done")
    first, second = attach(container), attach(container)
    assert first.read_until("tick\n").startswith("tick\n")
    second.read_until("tick\n")
    first.close()
    second.got.clear()
    second.read_until("tick\n")


def test_attach_to_a_terminal(pods, pod, attach):
    line = f"stty -echo; echo ready; {SIZED.format('50 120')} while read line; do echo got $line; done; echo end; sleep 1; exit 4"
    container = pods.start(pod, line, tty=True, stdin=True)
    wait_for(lambda: "ready" in str(pods.log(container)), lambda: pods.log(container), what="the echo to be off")
    attached = attach(container, tty=True, stdin=True)
    attached.resize(50, 120)
    attached.read_until("50 120\r\n")
    attached.write("one\n")
    attached.read_until("got one\r\n")
    attached.close()

    again = attach(container, tty=True, stdin=True)
    assert pods.status(container).state == interface.RUNNING  # as after ^P^Q
    again.write("two\n")
    assert again.read_until("got two\r\n") == "got two\r\n"
    again.write("\x04")
    again.read_until("end\r\n")
    assert again.status() == SUCCESS
    assert pods.ended(container).exit_code == 4


def test_attach_hears_of_the_end(pods, pod, attach, cri):
    container = pods.start(pod, "cat", stdin=True)
    pid = pods.pid(container)
    attached = attach(container, stdin=True)
    attached.write("words\n")
    attached.read_until("words\n")
    cri("StopContainer", container_id=container, timeout=0)
    assert attached.status() == SUCCESS
    assert not keeper.running(pid)


# Port-forward


def framed(stream):
    """Take the first message of both channels, the number of the port, and return that of each."""
    found = [stream.read(lambda got: len(got) >= 2, channel)[:2] for channel in (DATA, ERROR)]
    return [int.from_bytes(each, "little") for each in found]


@pytest.fixture
def forward(stream):
    """Return a function that forwards one port of a pod."""

    def start(pod, port):
        made = stream("PortForward", pod_sandbox_id=pod, port=[port])
        assert framed(made) == [port, port]
        return made

    return start


def test_port_forward_to_a_server_in_the_pod(pods, pod, forward):
    container = pods.start(pod, f"exec httpd -f -p 127.0.0.1:{PORT} -h /data")
    wait_for(lambda: f":{PORT:04X} " in pods.says(container, ["cat", "/proc/net/tcp"]), "the server")
    for _ in range(2):
        forwarded = forward(pod, PORT)
        forwarded.write("GET /file HTTP/1.0\r\n\r\n", DATA)
        answer = forwarded.read(lambda got: b"from the image\n" in got, DATA)
        assert b"200 OK" in answer
        assert len(forwarded.got[ERROR]) == 2
        forwarded.close()


def test_port_forward_to_nobody(pods, pod, forward):
    pods.start(pod)
    forwarded = forward(pod, PORT + 1)
    said = forwarded.read(lambda got: len(got) > 2, ERROR)[2:].decode()
    assert "refused" in said


# All of it


def test_nothing_is_left_behind(containerd, cri):
    wait_for(lambda: not containerd.left(), containerd.left, what="nothing to be left")
    assert containerd.used() >= {"create", "start", "exec", "kill", "delete"}
    assert not cri("ListContainers").containers
