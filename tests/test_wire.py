"""What the two sides say to each other, over a real socket pair."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.run import wire
from pyrunc.run.wire import Frame


@pytest.fixture
def ends():
    host, child = wire.pair()
    yield host, child
    host.close()
    child.close()


def test_each_frame(ends):
    host, child = ends
    wire.send_at(child, "ready")
    wire.send_moved(child, 12345)
    child.send(wire.fail(7, errno.EPERM, "because"))
    wire.send_go(host)
    assert wire.receive(host) == Frame(wire.AT, name="ready")
    assert wire.receive(host) == Frame(wire.MOVED, pid=12345)
    assert wire.receive(host) == Frame(wire.FAIL, index=7, errno=errno.EPERM, text="because")
    assert wire.receive(child) == Frame(wire.GO)


def test_a_descriptor_goes_along(ends, tmp_path):
    host, child = ends
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    wire.send_at(child, "console", fd)
    os.write(fd, b"sent")
    os.close(fd)
    frame = wire.receive(host)
    assert frame.name == "console"
    (received,) = frame.fds
    assert os.pread(received, 9, 0) == b"sent"
    assert not os.get_inheritable(received)
    os.close(received)


def test_several_descriptors_keep_their_names(ends, tmp_path):
    host, child = ends
    given = {name: os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("a", "b", "c")}
    wire.send_give(host, given)
    for name, fd in given.items():
        os.write(fd, name.encode())
        os.close(fd)
    frame = wire.receive(child)
    assert frame.kind == wire.GIVE
    assert frame.name.split(wire.SEPARATOR) == list(given)
    for name, fd in zip(given, frame.fds, strict=True):
        assert os.pread(fd, 9, 0) == name.encode()
        os.close(fd)


def test_a_signal_in_between_ends_no_wait(ends):
    host, child = ends
    before = signal.signal(signal.SIGALRM, lambda *_: wire.send_moved(child, 7))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert wire.receive(host) == Frame(wire.MOVED, pid=7)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_that_nobody_has_is_closed():
    host, child = wire.pair()
    fd = host.fileno()
    del host
    with pytest.raises(OSError):
        os.fstat(fd)
    assert wire.receive(child) is None


def test_the_end_of_the_wire(ends):
    host, child = ends
    wire.send_at(child, "ready")
    child.close()
    assert wire.receive(host).name == "ready"
    assert wire.receive(host) is None
    assert wire.receive(host) is None


def test_a_death_with_something_unread(ends):
    host, child = ends
    wire.send_go(host)
    child.close()  # which the kernel tells by ECONNRESET
    assert wire.receive(host) is None


def test_last_words_are_heard_though_something_is_unread(ends):
    """A process that fails leaves the word to go on unread: the kernel tells that first, and what it said is still there."""
    host, child = ends
    wire.send_go(host)
    child.send(wire.fail(7, errno.EMFILE, "recvmsg"))
    child.close()
    assert wire.receive(host) == Frame(wire.FAIL, index=7, errno=errno.EMFILE, text="recvmsg")
    assert wire.receive(host) is None


def test_both_ends_are_closed_on_exec(ends):
    assert not any(os.get_inheritable(end.fileno()) for end in ends)


@given(index=st.integers(0, 1 << 20), number=st.integers(0, 200), text=st.text(max_size=200))
def test_failures_come_as_they_were_sent(index: int, number: int, text: str):
    frame = wire.parse(wire.fail(index, number, text))
    assert (frame.index, frame.errno) == (index, number)
    assert frame.text == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("before", ["", "-", "--"])
@pytest.mark.parametrize("letter", ["x", "\N{EURO SIGN}", "\N{GRINNING FACE}"])
def test_a_long_text_is_cut_between_letters(letter: str, before: str, ends):
    host, child = ends
    child.send(wire.fail(1, 2, before + letter * 5000))
    frame = wire.receive(host)
    assert (frame.index, frame.errno) == (1, 2)
    assert frame.text
    assert set(frame.text) <= {*before, letter}
    assert len(frame.text.encode()) > wire.FRAME_MAX - 128


@pytest.mark.parametrize("data", [b"", b"X", b"\0"])
def test_what_is_no_frame(data: bytes):
    assert wire.parse(data) is None
