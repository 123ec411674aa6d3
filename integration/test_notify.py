"""SCMP_ACT_NOTIFY: an agent of the test's answers system calls; and what the other flags of a filter do."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from integration.harness.failures import fails
from integration.harness.runtime import wait_for
from integration.looking import fields, mapped, refused, with_probe
from integration.test_seccomp import call, forbidding, profile, rule

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
RECV, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_*
CONTINUE = 1
EXECVE, CAPSET = 59, 126
GETPGRP = 111  # runc itself calls getppid after the filter


class Agent:
    """Listens at `path`; answers 1000 and the number of the call to what it is asked, and lets those in LETTING go on."""

    def __init__(self, directory, letting=(), *, patient=True):
        self.patient = patient
        self.path = str(directory / "agent")
        self.letting = letting
        self.messages, self.asked, self.fds = [], [], []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(self.path)
        self.server.listen()
        self.stop, self.stopper = os.pipe()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        watch = select.poll()
        watch.register(self.server, select.POLLIN)
        watch.register(self.stop, select.POLLHUP)
        while True:
            for fd, event in watch.poll():
                if fd == self.stop:
                    return
                if fd == self.server.fileno():
                    watch.register(self.take(), select.POLLIN)
                elif not event & select.POLLIN:
                    watch.unregister(fd)  # nobody is under this filter any more
                else:
                    self.answer(fd)

    def take(self):
        """Receive one state, to the end of the connection (which runc 1.1 leaves open); return the descriptor."""
        connection, _ = self.server.accept()
        with connection:
            data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(64))
            ((level, kind, rights),) = ancillary
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            while self.patient and (more := connection.recv(65536)):
                data += more
        fds = array.array("i")
        fds.frombytes(rights)
        self.fds += fds
        self.messages.append((json.loads(data), list(fds)))
        return fds[0]

    def answer(self, fd):
        asked = bytearray(80)
        try:
            fcntl.ioctl(fd, RECV, asked)
        except FileNotFoundError:
            return  # it was killed meanwhile
        number, _, _, number_of_call = struct.unpack_from("=QIIi", asked)
        self.asked.append(number_of_call)
        let = number_of_call in self.letting
        value = 0 if let else 1000 + number_of_call
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(fd, SEND, struct.pack("=QqiI", number, value, 0, CONTINUE if let else 0))

    def heard(self, number):
        """Return the messages once there are NUMBER of them: what was sent may not have been read yet."""
        wait_for(lambda: len(self.messages) >= number, f"the agent to hear {number} times")
        assert len(self.messages) == number
        return self.messages

    def close(self):
        os.close(self.stopper)
        self.thread.join(10)
        assert not self.thread.is_alive()
        for fd in (*self.fds, self.stop):
            os.close(fd)
        self.server.close()


@pytest.fixture
def agent(tmp_path, binary):
    made = []

    def start(*letting):
        made.append(Agent(tmp_path, letting, patient=not binary.endswith("/runc")))
        return made[0]

    yield start
    for each in made:
        each.close()


def notifying(b, agent, *names, **more):
    return forbidding(b, rule(*names, action="SCMP_ACT_NOTIFY"), listenerPath=agent.path, **more)


def test_an_agent_answers(runtime, bundle, agent):
    handler = agent()
    b = notifying(bundle(), handler, "getpgrp", listenerMetadata="opaque: \N{SNOWMAN}")
    b.config["annotations"] = {"org.test": "yes"}
    assert call(runtime, b, GETPGRP) == 1000 + GETPGRP
    ((message, fds),) = handler.messages
    assert len(fds) == 1
    assert message["fds"] == ["seccompFd"]
    assert message["metadata"] == "opaque: \N{SNOWMAN}"
    assert message["pid"] == message["state"]["pid"] > 1
    assert message["state"]["bundle"] == str(b.path)
    assert message["state"]["annotations"]["org.test"] == "yes"
    assert message["state"]["status"] in ("creating", "running")
    assert re.fullmatch(r"1\.\d\.\d.*", message["ociVersion"])
    assert GETPGRP in handler.asked


def test_without_metadata(runtime, bundle, agent):
    handler = agent()
    assert call(runtime, notifying(bundle(), handler, "getpgrp"), GETPGRP) == 1111
    assert not handler.messages[0][0].get("metadata")


@pytest.mark.parametrize("new_privileges", [True, False])
def test_create_start_and_exec(runtime, bundle, agent, new_privileges):
    """The pids are those of the host; a process of exec has a filter, and so a descriptor, of its own."""
    handler = agent()
    b = with_probe(notifying(bundle(), handler, "getpgrp"))
    b.process["noNewPrivileges"] = not new_privileges
    name = runtime.create(b)
    ((message, _),) = handler.heard(1)  # it has been sent by the time that `create` returns
    assert message["state"]["status"] == "creating"
    assert message["pid"] == runtime.pid(name)
    runtime("start", name)
    assert runtime.exec(name, "probe", "call", "111").stdout == "1111\n"
    first, second = (message for message, _ in handler.messages)
    pid = runtime.pid(name)
    assert first["pid"] == first["state"]["pid"] == second["state"]["pid"] == pid
    assert second["pid"] not in (pid, 0)
    assert second["state"]["status"] == "running"
    assert first["state"]["id"] == second["state"]["id"] == name


def test_what_is_not_notified_is_not_asked_about(runtime, bundle, agent):
    handler = agent()
    assert call(runtime, notifying(bundle(), handler, "mkdir"), "getpgrp") >= 0
    assert GETPGRP not in handler.asked


def test_the_call_goes_on(runtime, bundle, agent):
    handler = agent(GETPGRP)
    assert call(runtime, notifying(bundle(), handler, "getpgrp"), GETPGRP) == 1
    assert GETPGRP in handler.asked


@pytest.mark.pyrunc_only("needs more calls between the filter and execve")
@pytest.mark.parametrize("new_privileges", [True, False])
def test_even_the_calls_by_which_it_starts(runtime, bundle, agent, new_privileges):
    """Nothing waits for an answer before the agent has been asked to give any."""
    handler = agent(EXECVE, CAPSET)
    names = ("sendmsg", "write", "read", "close", "fcntl", "execve", "execveat", "capset", "futex", "clock_gettime", "prctl")
    b = notifying(bundle(), handler, *names)
    b.process["noNewPrivileges"] = not new_privileges
    name = runtime.prepare(with_probe(b, "call", "111"))
    handler.letting = (*handler.letting, 0, 1, 3, 72, 157, 202, 228)
    assert runtime("run", "--bundle", str(b.path), name).stdout == "1\n"
    assert {EXECVE, 1} <= set(handler.asked)
    assert CAPSET not in handler.asked


@pytest.mark.pyrunc_only("refuses it")
def test_as_the_default_action(runtime, bundle, agent):
    class All:
        def __contains__(self, number):
            return number != GETPGRP

    handler = agent()
    handler.letting = All()
    b = profile(bundle(), "SCMP_ACT_NOTIFY", listenerPath=handler.path)
    assert call(runtime, b, GETPGRP) == 1111
    assert EXECVE in handler.asked


@pytest.mark.pyrunc_only("of 1.1 has no such flag")
def test_in_a_user_namespace(runtime, bundle, agent):
    handler = agent()
    b = mapped(notifying(bundle(), handler, "getpgrp", flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]))
    assert call(runtime, b, GETPGRP) == 1111


def test_no_agent(runtime, bundle, tmp_path):
    b = forbidding(bundle(), rule("getpgrp", action="SCMP_ACT_NOTIFY"), listenerPath=str(tmp_path / "nobody"))
    if runtime.name == "pyrunc":
        said = fails(runtime, b, verb="run")
        assert "no such file or directory (at /linux/seccomp/listenerPath; start the agent" in said
        assert "/linux/seccomp/listenerPath" in fails(runtime, b, verb="create")
    else:
        refused(runtime, b)


def test_exec_without_the_agent(runtime, bundle, agent):
    handler = agent()
    name = runtime.start(notifying(bundle(), handler, "getpgrp"))
    os.unlink(handler.path)
    assert runtime.exec(name, "true", check=False).returncode != 0
    assert runtime.status(name) == "running"


def test_a_program_that_cannot_start(runtime, bundle, agent):
    """What went wrong is told, and nobody waits for a descriptor that does not come."""
    b = notifying(bundle("/absent"), agent(), "getpgrp")
    refused(runtime, b, "/absent")
    b.process["args"] = ["/bin/broken"]
    (b.rootfs / "bin/broken").write_bytes(b"\x7fELF nonsense")
    (b.rootfs / "bin/broken").chmod(0o755)
    refused(runtime, b, "exec format error")


@pytest.mark.pyrunc_only("says it otherwise, or not")
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"listenerPath": ""}, "/linux/seccomp/listenerPath"),
        ({"listenerPath": "", "listenerMetadata": "m", "syscalls": []}, "/linux/seccomp/listenerMetadata"),
        ({"listenerPath": 1}, "/linux/seccomp/listenerPath"),
    ],
)
def test_nonsense(runtime, bundle, agent, change, pointer):
    b = notifying(bundle(), agent(), "getpgrp")
    b.linux["seccomp"].update(change)
    refused(runtime, b, f"(at {pointer}")


def test_a_listener_without_notifications_is_left_alone(runtime, bundle, tmp_path):
    b = forbidding(bundle(), rule("getpgrp"), listenerPath=str(tmp_path / "nobody"), listenerMetadata="m")
    assert call(runtime, b, GETPGRP) == -1


# The other flags


@pytest.mark.pyrunc_only("1.1 knows no flags")
def test_the_log_flag(runtime, bundle):
    """A refusal is in the kernel's log with it, and only with it."""

    def log():
        return subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout

    def logged(comm, **more):
        b = with_probe(forbidding(bundle(), rule("getpgrp"), **more))
        shutil.copy(b.rootfs / "bin/probe", b.rootfs / "bin" / comm)
        b.process["args"] = [comm, "call", str(GETPGRP)]
        assert runtime.output(b) == "-1\n"
        return f'comm="{comm}"' in log()

    if "audit: type=" not in log():
        pytest.skip("this kernel logs nothing of the kind")
    assert not logged(f"quiet{os.getpid()}")
    for number in range(5):  # the kernel leaves lines out where there are many
        if logged(f"loud{os.getpid()}-{number}", flags=["SECCOMP_FILTER_FLAG_LOG"]):
            return
        time.sleep(number)
    pytest.fail("nothing is logged")


FLAGS = {"TSYNC": 1, "LOG": 2, "SPEC_ALLOW": 4, "WAIT_KILLABLE_RECV": 32}
NEW_LISTENER, TSYNC_ESRCH = 8, 16


def flags_of_the_call(runtime, b):
    """Return the flags of the seccomp(2) that loads B's filter, as strace sees it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    name = runtime.prepare(b)
    trace = b.path / "trace"
    argv = ["strace", "-f", "-X", "raw", "-e", "trace=seccomp", "-o", str(trace)]
    argv += runtime.argv("run", "--bundle", str(b.path), name)
    subprocess.run(argv, check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    loads = re.findall(r"seccomp\(0x1, (\w+), .* = \d+", trace.read_text())
    assert len(loads) == 1, trace.read_text()
    return int(loads[0], 0)


@pytest.mark.pyrunc_only("1.1 adds its own")
@pytest.mark.parametrize(
    ("names", "notify", "expected"),
    [
        (None, False, 4),
        ((), False, 0),
        (("TSYNC",), False, 1),
        (("LOG", "SPEC_ALLOW"), False, 6),
        (("WAIT_KILLABLE_RECV",), False, 0),  # there is no answer to wait for
        (None, True, 4 | NEW_LISTENER),
        ((), True, NEW_LISTENER),
        (("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"), True, 1 | 2 | 4 | 32 | NEW_LISTENER | TSYNC_ESRCH),
    ],
)
def test_flags(runtime, bundle, agent, names, notify, expected):
    flags = {} if names is None else {"flags": [f"SECCOMP_FILTER_FLAG_{name}" for name in names]}
    b = forbidding(bundle("true"), rule("acct"), **flags)
    if notify:
        b = notifying(b, agent(), "getpgrp", **flags)
    assert flags_of_the_call(runtime, b) == expected


# From `create` to `start`


EXECVEAT = 322


@pytest.mark.pyrunc_only("refuses it")
@pytest.mark.parametrize("new_privileges", [True, False])
def test_as_the_default_action_from_create_on(runtime, bundle, agent, new_privileges):
    """The agent is asked for nothing before the program's own execve: waiting for `start` is let through."""

    class All:
        def __contains__(self, number):
            return True

    handler = agent()
    handler.letting = All()
    b = profile(bundle("sh", "-c", "echo ran >/data/ran; exec sleep 1000"), "SCMP_ACT_NOTIFY", listenerPath=handler.path)
    b.process["noNewPrivileges"] = not new_privileges
    name = runtime.create(b)
    handler.heard(1)
    assert runtime.status(name) == "created"
    assert fields(Path(f"/proc/{runtime.pid(name)}/status").read_text())["Seccomp"] == "2"
    assert not handler.asked
    runtime("start", name)
    wait_for((b.rootfs / "data/ran").exists, "the program to run")
    assert handler.asked[0] in (EXECVE, EXECVEAT)
    assert runtime("start", name, check=False).returncode == 1


@pytest.mark.parametrize("ending", ["TERM", "KILL", "delete"])
def test_a_created_container_with_an_agent_can_be_ended(runtime, bundle, agent, ending):
    name = runtime.create(notifying(bundle(), agent(), "getpgrp"))
    if ending == "delete":
        runtime("delete", "--force", name)
        return
    runtime("kill", name, ending)
    runtime.wait(name, "stopped")
    assert runtime("start", name, check=False).returncode == 1


def test_startcontainer_hooks_share_the_agent(runtime, bundle, agent):
    """One filter, one descriptor, for the hook and the program, from `create` and from `run`."""
    handler = agent()
    b = with_probe(notifying(bundle(), handler, "getpgrp"), "call", str(GETPGRP))
    b.config["hooks"] = {"startContainer": [{"path": "/bin/probe", "args": ["probe", "call", str(GETPGRP)]}]}
    assert runtime.output(b) == f"{1000 + GETPGRP}\n"
    assert handler.asked.count(GETPGRP) == 2
    name = runtime.create(b)
    handler.heard(2)
    runtime("start", name)
    runtime.wait(name, "stopped")
    assert handler.asked.count(GETPGRP) == 4
    assert len(handler.messages) == 2


@pytest.mark.parametrize("hook", [True, False])
@pytest.mark.parametrize("files", [3, 64])
def test_the_limits_are_set_even_so(runtime, bundle, agent, files, hook):
    """Also one that leaves no room for the descriptor which the filter makes."""
    if runtime.name != "pyrunc" and files == 3:
        pytest.skip("runc: too many open files")
    b = notifying(bundle("sh", "-c", "sleep 1000"), agent(), "getpgrp")
    b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": files, "hard": files + 1}]
    if hook and files > 3:
        b.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", f"test $(ulimit -n) = {files}"]}]}
    name = runtime.create(b)
    if runtime.name == "pyrunc":
        assert f"Max open files            {files} " in Path(f"/proc/{runtime.pid(name)}/limits").read_text()
    runtime("start", name)
    assert f"Max open files            {files} " in Path(f"/proc/{runtime.pid(name)}/limits").read_text()


@pytest.mark.parametrize("verb", ["run", "create"])
def test_an_agent_that_lets_nothing_be_executed(runtime, bundle, agent, verb):
    """It answers with a number of its own: the execve has not worked, and the program has not run."""
    handler = agent(CAPSET)
    b = notifying(bundle("echo", "ran"), handler, "execve", "execveat")
    if runtime.name != "pyrunc":
        pytest.skip("runc 1.5 goes on as if it had")
    name = runtime.prepare(b)
    done = runtime(verb, "--bundle", str(b.path), name, check=False, **({} if verb == "run" else {"stdout": -3, "stderr": -3}))
    if verb == "create":
        done = runtime("start", name, check=False)
    assert done.returncode == (255 if verb == "run" else 1)  # as where the kernel refuses the program
    assert done.stderr.strip()
    assert "ran" not in str(done.stdout)
