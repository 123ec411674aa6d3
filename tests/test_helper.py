"""What goes between the library and its helper, and how one is started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc.errors import UsageError
from pyrunc.helper import message
from pyrunc.library import channel, ends, program
from pyrunc.library.streams import DEVNULL, PIPE, STDOUT, Streams

PACKAGE = Path(__file__).parents[1] / "runtime"


def open_fds() -> list[str]:
    return sorted(each for each in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{each}"))


@pytest.mark.parametrize("size", [0, 1, message.MAX - 60, message.MAX, 1 << 22])
def test_a_message_comes_out_as_it_went_in(size: int):
    before = open_fds()
    head = {"call": "create", "text": "a\nb\u00e4\U0001f600\0"}
    head["text"] = head["text"].replace("\0", "")
    document = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    data, memory = message.pack(head, document)
    assert len(data) <= message.MAX
    fds = () if memory < 0 else (memory,)
    kept = os.open("/dev/null", os.O_RDONLY)
    assert message.unpack(data, (kept, *fds)) == (head, document, (kept,))
    os.close(kept)
    assert open_fds() == before


def test_streams_are_closed_and_refused():
    before = open_fds()
    streams = Streams(PIPE, DEVNULL, STDOUT)
    assert streams.theirs[1] == streams.theirs[2]
    assert set(streams.ours) == {"stdin"}
    streams.close_theirs()
    streams.close()
    for wrong in ((PIPE, 12345, PIPE), (STDOUT, None, None), (PIPE, -7, None), (PIPE, 1 << 40, None)):
        with pytest.raises(UsageError):
            Streams(*wrong)
    assert open_fds() == before


def test_the_status_stays_for_whoever_waits_next():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = subprocess.Popen(["/bin/true"])
    ended = ends.Ended(child.pid, os.pidfd_open(child.pid), ours.detach())
    assert not ended.look()
    assert not ended.wait(0.01)
    theirs.send((9 << 8).to_bytes(4, "little"))
    assert ended.wait(None)
    assert ended.status == 9
    again = ends.Ended(child.pid, -1, os.dup(ended.fd()))
    assert again.wait(1)
    assert again.status == 9
    again.close()
    ended.close()
    theirs.close()
    child.wait()


def test_a_helper_starts_and_ends_with_its_socket():
    """As any user, too; nothing is a child of ours afterwards."""
    children = f"/proc/self/task/{os.getpid()}/children"
    with open(children) as file:
        before = file.read()
    sock, pid = program.start()
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    assert status["Threads"] == "1"
    assert int(status["SigIgn"], 16) & 3 << 31 == 0
    assert status["Umask"] == "0022"
    with open(f"/proc/{pid}/environ", "rb") as file:
        names = {each.partition(b"=")[0].decode() for each in file.read().split(b"\0") if each}
    assert names <= {*program.PASSED_ON, "LC_CTYPE"}
    with open(children) as file:
        assert file.read() == before
    pidfd = os.pidfd_open(pid)
    sock.close()
    assert ends._readable(pidfd, 20)
    os.close(pidfd)


def test_what_is_no_call_of_ours_ends_no_helper():
    """A verb that fails tells its error; the next call is done."""
    for _ in range(3):
        with pytest.raises(Exception, match="container does not exist"):
            channel.perform(channel.Call("start", {"root": "/nonexistent", "id": "x"}, lambda _: None))
    pid = channel.helper().pid
    channel.close()
    assert channel.helper().pid != pid
    channel.close()


def test_without_a_program_it_says_so(monkeypatch: pytest.MonkeyPatch):
    before = open_fds()
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Exception, match="cannot start the helper: /nonexistent: no such file"):
        program.start()
    assert open_fds() == before


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch):
    import pyrunc

    monkeypatch.setattr(pyrunc, "__version__", "9.9")
    with pytest.raises(Exception, match=r"the helper is of version .*, and the library of 9\.9"):
        program.start()


def test_a_document_that_is_no_json():
    for wrong in ({"a": object()}, {"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises(UsageError, match="not JSON"):
            channel.to_json(wrong)
    assert json.loads(channel.to_json({"a": [1, None, "x"]})) == {"a": [1, None, "x"]}
