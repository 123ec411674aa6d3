"""What could be different where a dump of the interpreter runs (native/), and must not be: of no other kind of start, the same."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import threading

import pytest

from integration.harness.runtime import wait_for

MIB = 1 << 20


def piped(runtime, document: object, *words: str, **options):
    """Run the command of WORDS with DOCUMENT in a pipe, whose path takes the place of PIPE."""
    reader, writer = os.pipe()
    text = json.dumps(document).encode()
    sender = threading.Thread(target=lambda: (os.write(writer, text), os.close(writer)))
    sender.start()
    try:
        path = f"/dev/fd/{reader}"
        return runtime(*(path if word == "PIPE" else word for word in words), pass_fds=(reader,), **options)
    finally:
        os.close(reader)
        sender.join()


def test_a_process_document_from_a_pipe(runtime, bundle):
    running = runtime.start(bundle())
    document = {"args": ["sh", "-c", "pwd"], "cwd": "/etc", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]}
    assert piped(runtime, document, "exec", "--process", "PIPE", running).stdout == "/etc\n"


@pytest.mark.pyrunc_only("says where in the document something is wrong")
def test_all_that_is_wrong_with_a_document_from_a_pipe(runtime, bundle):
    """Finding the second place wants a library, and the document can be read but once."""
    running = runtime.start(bundle())
    done = piped(runtime, {"args": [1], "cwd": 3}, "exec", "--process", "PIPE", running, check=False)
    assert done.returncode == 255
    assert "/cwd" in done.stderr
    assert "/args/0" in done.stderr


@pytest.mark.pyrunc_only("a runtime in Go reserves gigabytes")
def test_a_container_made_with_little_address_space(runtime, bundle):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (48 * MIB, 48 * MIB))
        resource.setrlimit(resource.RLIMIT_DATA, (24 * MIB, 24 * MIB))

    assert runtime.run(bundle("echo", "there"), preexec_fn=limit).stdout == "there\n"


@pytest.mark.pyrunc_only("knows how a process's memory grows")
def test_events_take_no_more_memory_as_time_goes_by(runtime, bundle):
    """Nothing is given back to the kernel, and no garbage collected: so nothing may be left over."""
    running = runtime.start(bundle())
    with runtime.popen("events", "--interval", "1ms", running, stdout=subprocess.PIPE) as watching:
        sizes = []
        for _ in range(2):
            for _ in range(500):
                assert watching.stdout.readline()
            with open(f"/proc/{watching.pid}/status") as file:
                sizes.append(next(line for line in file if line.startswith("VmRSS")))
        watching.send_signal(signal.SIGKILL)
    assert sizes[0] == sizes[1]


@pytest.mark.pyrunc_only("its exit status after ^C is a shell's")
def test_who_is_interrupted_while_it_waits_says_nothing(runtime, bundle):
    """However often."""
    running = runtime.start(bundle())
    with runtime.popen("events", "--interval", "1h", running, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        wait_for(lambda: "poll" in wchan(watching.pid), "events to wait")
        for _ in range(3):
            watching.send_signal(signal.SIGINT)
        _, said = watching.communicate()
    assert watching.returncode == 130
    assert said == ""


def wchan(pid: int) -> str:
    """Return the function of the kernel that process PID waits in (proc(5))."""
    with open(f"/proc/{pid}/wchan") as file:
        return file.read()
