"""The state directory, and the files that a caller names: what others have put there, and what they put there meanwhile."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.ordinary import UID
from integration.harness.receiver import Receiver
from integration.harness.swapping import swapped
from integration.looking import reachable
from integration.security import naive
from integration.security.naive import caught
from integration.security.racing import TRIES, tried
from pyrunc.container import statefile

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

SOME = TRIES // 2  # each try waits for the directory's lock
ours = pytest.mark.pyrunc_only("has other files there, and believes everybody's")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Return a file of the host's that links lead to."""
    path = tmp_path / "victim"
    path.write_text("the host's")
    return path


def still_the_hosts(victim: Path) -> None:
    """Check that nobody has written to VICTIM, or given it away."""
    assert victim.read_text() == "the host's"
    assert victim.stat().st_uid == 0


# What it looks like


def for_nobody_else(runtime: Runtime, name: str) -> None:
    """Check that of what is kept of container NAME others can change nothing, and read no more than runc lets them."""
    for path in (runtime.root / name, *(runtime.root / name).iterdir()):
        found = path.lstat()
        assert found.st_uid == os.geteuid()
        assert not found.st_mode & 0o022, path
        assert stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode) or stat.S_ISDIR(found.st_mode)


@ours
@pytest.mark.parametrize("umask", [0, 0o077])
def test_nobody_else_may_write_there(runtime, bundle, umask):
    """Whatever the caller's umask; the directory above is made for its owner alone."""
    shutil.rmtree(runtime.root)
    name = runtime.create(bundle(), preexec_fn=lambda: os.umask(umask) and None)
    assert stat.S_IMODE(runtime.root.stat().st_mode) == 0o700
    for_nobody_else(runtime, name)
    runtime("start", name)
    for_nobody_else(runtime, name)


def test_nobody_else_may_write_there_bites(runtime):
    (runtime.root / "box").mkdir()
    (runtime.root / "box").chmod(0o777)
    with caught():
        for_nobody_else(runtime, "box")
    (runtime.root / "box").rmdir()


# Links that lie where it writes


@ours
def test_links_in_a_containers_directory(runtime, bundle, victim):
    """Drafts, notes and state are new files: what lies there under their names is not written through."""
    name = runtime.create(bundle())
    directory = runtime.root / name
    (directory / "made").unlink(missing_ok=True)
    for entry in (".state", ".config.json", "made", "x"):
        (directory / entry).symlink_to(victim)
    runtime("start", name)
    runtime("update", "--pids-limit", "50", name)
    runtime("pause", name)
    runtime("resume", name)
    runtime("delete", "--force", name)
    still_the_hosts(victim)
    assert not directory.exists()


@ours
def test_a_state_that_is_a_link(runtime, bundle, tmp_path):
    """It is not followed: a container is what is in its directory."""
    name = runtime.start(bundle())
    real = runtime.root / name / "state"
    copy = tmp_path / "copy"
    shutil.copy(real, copy)
    real.unlink()
    real.symlink_to(copy)
    assert "cannot be read" in runtime.refuses("state", name)
    real.unlink()
    shutil.copy(copy, real)


@pytest.mark.slow_vm
@pytest.mark.parametrize("way", ["guarded", "naive"])
def test_a_name_that_is_a_link_by_turns(tmp_path, victim, way):
    """CVE-2025-24965, at the guard itself: state, configuration and pid file are written beside, and take the name."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "here").mkdir()
    target = root / "here/state"
    target.write_text("")
    (root / "here/link").symlink_to(victim)

    def write(*_: object) -> None:
        if way == "guarded":
            statefile.write_file(str(target), b"written")
        else:
            naive.write(target, "written")

    with swapped(target, root / "here/link"):
        assert tried(write, root, SOME) >= SOME
    if way == "guarded":
        still_the_hosts(victim)
    else:
        with caught():
            still_the_hosts(victim)


# Another user's --root


def forged(runtime: Runtime, b: Bundle, victim: Path) -> str:
    """Let user 1000 have a container of B's in a --root of its own, with a hook that would run as root; return its id."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo gotcha >{victim}"]}
    b.config["hooks"] = {"poststop": [hook]}
    return str(runtime.start(b))


def give_away(path: Path) -> None:
    """Give PATH and all in it to user 1000."""
    reachable(path)
    for each in (path, *path.rglob("*")):
        os.chown(each, UID, UID, follow_symlinks=False)


COMMANDS = (("delete", "--force"), ("delete",), ("kill",), ("start",), ("state",), ("exec",), ("update", "--pids-limit", "5"), ("ps",), ("pause",))


@ours
@pytest.mark.parametrize("way", ["owner", "mode", "owner of the container", "link"])
def test_root_does_not_go_by_another_users_state(runtime, bundle, victim, tmp_path, way):
    """What it says decides which hooks run, as root, which processes are killed, and which cgroups go."""
    name = forged(runtime, bundle(), victim)
    directory, away = runtime.root / name, tmp_path / "away"
    if way == "owner":
        os.chown(runtime.root, UID, UID)
    elif way == "mode":
        runtime.root.chmod(0o777)
    elif way == "owner of the container":
        runtime.root.chmod(0o1777)  # as /tmp is, where anybody may make such a directory
        os.chown(directory, UID, UID)
    else:
        runtime.root.chmod(0o1777)
        directory.rename(away)
        directory.symlink_to(away)
        os.chown(directory, UID, UID, follow_symlinks=False)
    for words in COMMANDS:
        more = ("true",) if words[0] == "exec" else ()
        done = runtime(*words, name, *more, check=False)
        assert done.returncode != 0, words
        assert "could change what is done by it" in done.stderr
    listed = runtime("list", check=False)  # one that is not ours is left out, and a whole root refused
    assert "could change what is done by it" in listed.stderr
    assert (listed.returncode == 0) == ("container" in way or way == "link")
    done = runtime("create", "--bundle", str(bundle().path), runtime.new_id(), check=False, stdout=-3, stderr=-3)
    assert (done.returncode == 0) == ("container" in way or way == "link")
    still_the_hosts(victim)
    if way == "link":
        directory.unlink()
        away.rename(directory)
    for path in (runtime.root, directory):
        os.chown(path, 0, 0)
        path.chmod(0o700)


@ours
def test_root_does_not_go_by_another_users_state_bites(runtime, bundle, victim):
    """Where nobody looks, as in a directory of root's own with the same in it, the hook runs."""
    name = forged(runtime, bundle(), victim)
    runtime("delete", "--force", name)
    with caught():
        still_the_hosts(victim)


@ours
def test_an_ordinary_user_goes_by_its_own(ordinary, bundle, runtime):
    """And in a directory that its own group may write to, as a umask of 002 makes them."""
    runtime.root.chmod(0o775)
    b = ordinary.bundle(bundle("echo", "ran"))
    assert ordinary.run(b).stdout == "ran\n"


# Files that the caller names


def test_a_pid_file_replaces_what_lies_there(runtime, bundle, victim, tmp_path):
    """A link, or a draft's name that is one: neither is followed."""
    for target in ("pid", ".pid"):
        (tmp_path / target).symlink_to(victim)
    name = runtime.start(bundle(), "--pid-file", str(tmp_path / "pid"))
    assert (tmp_path / "pid").read_text() == str(runtime.pid(name))
    assert not (tmp_path / "pid").is_symlink()
    still_the_hosts(victim)


def test_a_pid_file_replaces_what_lies_there_bites(victim, tmp_path):
    (tmp_path / "pid").symlink_to(victim)
    naive.write(tmp_path / "pid", "1234")
    with caught():
        still_the_hosts(victim)


@ours
def test_a_log_in_a_directory_of_everybodys(runtime, bundle, victim, tmp_path):
    """It is appended to, never cut, and one line is one line, whatever the image or the configuration has in it."""
    log = tmp_path / "log"
    log.write_text("before\n")
    b = bundle('/no/such\n{"level":"error","msg":"forged"}\x1b[2J')
    runtime("--log", str(log), "--log-format", "json", "run", "--bundle", str(b.path), runtime.prepare(b), check=False)
    one_line_more("before", log.read_text())


def one_line_more(before: str, text: str) -> None:
    """Check that TEXT has, after what was there BEFORE, one line, and nothing that a terminal obeys."""
    first, *lines = text.splitlines()
    assert first == before
    assert [line.startswith('{"level":"error","msg":"pyrunc run failed') for line in lines] == [True]
    assert "\x1b" not in text


def test_a_log_that_is_forged_bites():
    said = 'pyrunc run failed: /no/such\n{"level":"error","msg":"forged"}'
    with caught():
        one_line_more("before", f'before\n{{"level":"error","msg":"{said}"}}')


@pytest.mark.parametrize("kind", ["a file", "a directory", "a link to nowhere", "a fifo", "nobody listens"])
def test_a_console_socket_that_is_none(runtime, bundle, tmp_path, victim, kind):
    """Nothing is made, written or left behind there."""
    path = tmp_path / "console"
    if kind == "a file":
        path.symlink_to(victim)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a fifo":
        os.mkfifo(path)
    elif kind == "a link to nowhere":
        path.symlink_to(tmp_path / "made")
    else:
        Receiver(path).listener.close()
    b = bundle()
    b.process["terminal"] = True
    name = runtime.prepare(b)
    done = runtime("create", "--console-socket", str(path), "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert not (runtime.root / name).exists()
    assert not (tmp_path / "made").exists()
    still_the_hosts(victim)


def test_a_console_socket_that_is_none_bites(tmp_path, victim):
    """Who opens what is there writes to it."""
    (tmp_path / "console").symlink_to(victim)
    naive.write(tmp_path / "console", "/dev/ptmx")
    with caught():
        still_the_hosts(victim)
