"""openat2(2), while others rename."""

import os
import signal
from contextlib import contextmanager

import pytest

from pyrunc.linux import fs

HOW = os.O_RDONLY | os.O_CLOEXEC


@contextmanager
def renaming(directory):
    """Let another process rename one file of DIRECTORY to and fro, as fast as it goes."""
    names = f"{directory}/one", f"{directory}/other"
    open(names[0], "w").close()
    child = os.fork()
    if child == 0:
        while True:
            os.rename(*names)
            os.rename(*reversed(names))
    try:
        yield
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it gave up"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("resolve", [fs.RESOLVE_IN_ROOT, fs.RESOLVE_BENEATH])
def test_a_path_with_dots_is_found_while_others_rename(tmp_path, resolve):
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/file").write_text("found")
    path = "a/b/../../" * 4 + "file"
    root = os.open(tmp_path / "root", fs.O_PATH | os.O_CLOEXEC)
    with renaming(tmp_path):
        for _ in range(5000):
            fd = fs.openat2(root, path, HOW, 0, resolve)
            assert os.read(fd, 10) == b"found"
            os.close(fd)
    os.close(root)


def test_it_ends_where_every_try_is_disturbed(monkeypatch):
    tries = []

    def disturbed(*words):
        tries.append(words)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(fs, "syscall", disturbed)
    with pytest.raises(BlockingIOError):
        fs.openat2(fs.AT_FDCWD, "a/../b", HOW, 0, fs.RESOLVE_IN_ROOT)
    assert len(tries) == fs.TRIES
