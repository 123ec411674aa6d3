"""Errors that nobody has put in words: the call, the file, what to do; and no source file of ours."""

from __future__ import annotations

import fcntl
import os
import posix

import pytest

from pyrunc.cli import mishap
from pyrunc.host import files
from pyrunc.linux import process

PATH, MORE = " (correct the path, or make what is missing)", " (run it with --debug to see more)"
GONE = " (the process is gone: see what has ended it)"


def told(call) -> str:
    with pytest.raises(OSError, match=r"\w") as caught:
        call()
    return mishap.told(caught.value)


def closed() -> int:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    return read


def test_which_call_on_what():
    assert told(lambda: posix.open("/no/such", posix.O_RDONLY)) == "open /no/such: no such file or directory" + PATH
    assert told(lambda: files.read("/no/such")) == "open /no/such: no such file or directory" + PATH
    assert told(lambda: posix.rename("/no/such", "/no/other")) == "rename /no/such /no/other: no such file or directory" + PATH
    assert told(lambda: posix.mkdir("/proc/no")) == "mkdir /proc/no: no such file or directory" + PATH


def test_calls_without_a_file():
    fd = closed()
    assert told(lambda: posix.write(fd, b"x")) == "write: bad file descriptor" + MORE
    assert told(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)) == "flock: bad file descriptor" + MORE
    assert told(lambda: posix.pidfd_open(2**22 + 1)) == "pidfd_open: no such process" + GONE
    assert told(lambda: process.setns(fd, 0)) == "setns: bad file descriptor" + MORE


def test_what_is_nested_in_the_call_is_not_it():
    fd = closed()
    said = told(lambda: posix.write(fd, ",".join(str(len(word)) for word in ("a", "b")).encode()))
    assert said == "write: bad file descriptor" + MORE


def test_what_runs_out_has_a_hint():
    error = OSError(24, "Too many open files", "/sys/fs/cgroup")
    assert mishap.told(error) == "/sys/fs/cgroup: too many open files (raise ulimit -n of this process)"


@pytest.mark.parametrize("path", [mishap.PACKAGE + "/run", "/usr/lib/python3.11/json/__init__.py", "/x/_ctypes.cpython-311.so"])
def test_no_source_file_is_named(path: str):
    said = mishap.told(OSError(24, "Too many open files", path))
    assert said == "cannot load a part of this program: too many open files (raise ulimit -n of this process)"


def test_a_library():
    error = ImportError("libffi.so.8: cannot open shared object file: Too many open files")
    assert mishap.unloaded(error).endswith("Too many open files (raise ulimit -n of this process)")
