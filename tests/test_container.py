"""What is remembered of containers, which names they may have, and what each state allows."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrunc.cgroup.paths import Place
from pyrunc.container import status, store, work
from pyrunc.container.statefile import SavedState, load, note, noted, save, write_file
from pyrunc.container.status import ALLOWED, CREATED, CREATING, PAUSED, RUNNING, STOPPED, Status, guard
from pyrunc.errors import ConfigError, StateError, UsageError
from pyrunc.host import tasks
from pyrunc.plan.op import Token
from pyrunc.run import undo

if TYPE_CHECKING:
    from collections.abc import Callable

SAVED = SavedState("box", "/bundle", "/bundle/rootfs", "2026-01-01T00:00:00.5Z", 0)


@pytest.mark.parametrize("name", ["a", "A9_+-.", "-a", "+", "9", "a..b", ".a", "...", ".seccomp2", "x" * 1024])
def test_ids(name: str):
    assert store.check_id(name) == name
    assert store.directory("/run", name) == f"/run/{name}"


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".seccomp", "a/b", "../a", "a b", "a\n", "a\0", "\N{SUPERSCRIPT TWO}", "x" * 1025, "٣", "a@b"]
)
def test_what_is_no_id(name: str):
    with pytest.raises(UsageError) as caught:
        store.check_id(name)
    assert "\n" not in str(caught.value)


def test_who_makes_the_directory_has_the_id(tmp_path: Path):
    root = str(tmp_path / "deep/root")
    working = store.reserve(root, "box", "create")
    assert os.stat(root).st_mode & 0o777 == 0o700
    with pytest.raises(StateError, match="already exists"):
        store.reserve(root, "box", "create")
    assert store.ids(root) == ["box"]
    assert not working.gone()
    store.discard(working.directory)
    assert working.gone()
    working.close()
    assert store.ids(root) == []
    with pytest.raises(StateError, match="does not exist"):
        work.begin(working.directory, "start")


def test_what_a_create_made_goes_without_a_descriptor_left(tmp_path: Path):
    for name in store.MADE_BY_CREATE:
        (tmp_path / "box" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "box" / name).mkdir() if name == store.NOTIFY else (tmp_path / "box" / name).write_text("")
    path = str(tmp_path / "box")
    assert in_child_without_descriptors(lambda: store.discard(path)) == 0
    assert not os.path.exists(path)
    os.mkdir(path)
    (tmp_path / "box/theirs").write_text("")
    assert in_child_without_descriptors(lambda: store.discard(path)) == errno.EMFILE
    assert os.listdir(path) == ["theirs"]


def in_child_without_descriptors(does: Callable[[], None]) -> int:
    """Call DOES in a process that can open nothing; return the number of the OSError that it ends with, 0 if with none."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
            does()
            status = 0
        except OSError as error:
            status = error.errno
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    "saved",
    [
        SAVED,
        SAVED.replace(pid=7, start=8, annotations={"a": "b\n"}, joins=("pid", "user"), hooks=("poststop",)),
        SAVED.replace(annotations={"": "", "tab\t": "\\t", "line\u2028": "\x00\x85\r", "\u00e9\\": "\udc80"}),
        SAVED.replace(bundle="/b\n\\n \u00fc"),
        SAVED.replace(own_pid_namespace=False, unit="a-b.scope", listener=("/run/agent", ""), resctrl_owns=("/a b",)),
        SAVED.replace(unit="a-b.scope", user_unit=True),
        SAVED.replace(found=("/c\td",), made=(Token("make_cgroup", ("/c", "7")), Token("limit_cgroup", ("/c/f", "7", "a\n")))),
        SAVED.replace(places=(Place("/sys/fs/cgroup/box", "/sys/fs/cgroup", ("",)), Place("/a", "/", ("cpu", "cpuacct")))),
    ],
)
def test_what_is_saved_is_loaded(tmp_path: Path, saved: SavedState):
    save(str(tmp_path), SAVED)
    save(str(tmp_path), saved)
    assert load(str(tmp_path)) == saved
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_what_is_no_container(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in ("absent", "file", "."):
        with pytest.raises(StateError, match="container does not exist"):
            load(str(tmp_path / path))
    save(str(tmp_path), SAVED)
    whole = (tmp_path / "state").read_bytes()
    cut = (b"", b"id", whole[:-1], whole[: whole.index(b"bundle")])
    for damaged in (*cut, whole + b"surplus\t1\n", b"\xff" + whole, whole.replace(b"pid\t", b"pid\tx")):
        (tmp_path / "state").write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"/state is damaged"):
            load(str(tmp_path))


@pytest.mark.filterwarnings("error")  # Python warns of most of them, and lets them pass
@pytest.mark.parametrize("escape", ["\\q", "\\0", "\\", "\\\\\\", "\\x1", "\\u12", "\\N{DIGIT ONE}", "\\'", "\\\\\\d"])
def test_an_escape_that_nobody_writes_is_damage(tmp_path: Path, escape: str):
    save(str(tmp_path), SAVED)
    whole = (tmp_path / "state").read_bytes()
    (tmp_path / "state").write_bytes(whole + f"unit\t{escape}\n".encode())
    with pytest.raises(ConfigError, match=r"/state is damaged"):
        load(str(tmp_path))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file"
    write_file(str(path), b"old")
    path.unlink()
    path.mkdir()  # so that the rename fails
    with pytest.raises(OSError):
        write_file(str(path), b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("text", [b"a", b"a longer one than before"])
def test_what_a_killed_writer_left_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes):
    path = tmp_path / "file"
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("posix.rename", lambda *_: os._exit(9))
        write_file(str(path), b"never seen")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [entry.name for entry in tmp_path.iterdir()] == [".file"]
    write_file(str(path), text)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"file": text}


def test_a_draft_is_no_way_to_another_file(tmp_path: Path):
    """What stands at the draft's name may be somebody's link."""
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / ".file").symlink_to(other)
    write_file(str(tmp_path / "file"), b"new")
    os.link(other, tmp_path / ".file")
    write_file(str(tmp_path / "file"), b"newer")
    assert other.read_bytes() == b"precious"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"newer"


STATES = (CREATING, CREATED, RUNNING, PAUSED, STOPPED)


@pytest.mark.parametrize("verb", ALLOWED)
@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_what_a_state_allows(verb: str, state: Status):
    allowed, _ = ALLOWED[verb]
    if state in allowed:
        guard(verb, SAVED, state)
        return
    with pytest.raises(StateError) as caught:
        guard(verb, SAVED, state)
    assert "{" not in str(caught.value)


@pytest.mark.parametrize(
    ("verb", "state", "words"),
    [
        ("start", STOPPED, "cannot start a container that has stopped"),
        ("start", RUNNING, "cannot start an already running container"),
        ("kill", STOPPED, "container not running"),
        ("delete", RUNNING, "cannot delete container box that is not stopped: running"),
        ("pause", PAUSED, "container not running or created: paused"),
        ("resume", RUNNING, "container not paused"),
        ("exec", STOPPED, "cannot exec in a stopped container: container not running"),
    ],
)
def test_in_the_words_that_engines_look_for(verb: str, state: Status, words: str):
    with pytest.raises(StateError) as caught:
        guard(verb, SAVED, state)
    assert caught.value.message == words


def test_a_process_is_known_by_its_start():
    child = subprocess.Popen(["sleep", "60"])
    try:
        begun = status.start_time(child.pid)
        assert begun > status.start_time(os.getppid()) or begun > 0
        assert status.alive(SAVED.replace(pid=child.pid, start=begun))
        assert not status.alive(SAVED.replace(pid=child.pid, start=begun - 1))  # another process of that pid
        child.kill()
        deadline = time.monotonic() + 10
        while status.start_time(child.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert status.start_time(child.pid) == 0  # a zombie runs no more
        assert not status.alive(SAVED.replace(pid=child.pid, start=begun))
    finally:
        child.kill()
        child.wait()
    assert status.start_time(child.pid) == 0
    assert not status.alive(SAVED)


def test_what_is_noted_is_read_again_but_for_a_line_cut_off(tmp_path: Path):
    assert noted(str(tmp_path)) == ()
    tokens = Token("clone3", ("7", "8")), Token("limit_cgroup", ("/c/f", "7", "a\tb\n"))
    note(str(tmp_path), tokens[:1])
    note(str(tmp_path), tokens[1:])
    with (tmp_path / "made").open("a") as file:
        file.write("make_cgroup\t/half")
    assert noted(str(tmp_path)) == tokens


# A first thread that ends while another lives on; it says its pid.
THREADS = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print(os.getpid(), flush=True)
ctypes.CDLL(None).syscall(60, 0)  # exit(2) of x86-64: of this thread alone
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of exit(2)")
def test_a_process_lives_as_long_as_one_of_its_threads():
    child = subprocess.Popen([sys.executable, "-c", THREADS], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        stat = Path(f"/proc/{child.pid}/stat")
        deadline = time.monotonic() + 10
        while ") Z " not in stat.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ") Z " in stat.read_text()
        assert status.start_time(child.pid) > 0
    finally:
        child.kill()
    assert tasks.ends_within(os.pidfd_open(child.pid), 10_000)
    assert status.start_time(child.pid) == 0
    child.communicate()


def test_a_name_with_parentheses_is_no_field(tmp_path: Path):
    """A process names itself: ") R 1 2 3" must not be taken for what follows the name."""
    script = tmp_path / ") Z 1 2"
    script.symlink_to("/bin/sleep")
    child = subprocess.Popen([script, "60"])
    try:
        deadline = time.monotonic() + 10
        while ") Z" not in Path(f"/proc/{child.pid}/comm").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ") Z" in Path(f"/proc/{child.pid}/comm").read_text()
        assert status.start_time(child.pid) > 0
    finally:
        child.kill()
        child.wait()


def test_start_is_the_machines_in_every_time_namespace():
    """Commands of two time namespaces must know a process by the same start (time_namespaces(7))."""
    imports = "import sys; sys.path.insert(0, sys.argv[1]); from pyrunc.host import tasks"
    script = f"{imports}; print(tasks.start_time(int(sys.argv[2])))"
    words = [sys.executable, "-c", script, str(Path(tasks.__file__).parents[2]), str(os.getpid())]
    apart = ["unshare", "--map-root-user", "--time", "--boottime", "5000", "--fork", "--", *words]
    done = subprocess.run(apart, capture_output=True, text=True, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no time namespace here: {done.stderr}")
    assert done.stdout, done.stderr
    assert int(done.stdout) == tasks.start_time(os.getpid())


def test_a_damaged_note_proves_nothing(tmp_path: Path):
    """What was made is written down by commands that may be killed, on disks that may fail."""
    whole = b"make_cgroup\t/a\t7\t/\n"
    (tmp_path / "made").write_bytes(b"\xff\xfe\n" + rb"make_cgroup" + b"\t\\x\n" + whole + b"no_such_op\tx\n")
    found = noted(str(tmp_path))
    assert Token("make_cgroup", ("/a", "7", "/")) in found
    assert undo.backwards(token for token in found if token.call != "make_cgroup") == []
    undo.kill([Token("make_cgroup", ("/a", "x", "/")), Token("clone3", ("a", "b")), Token("make_cgroup", ())])
    assert undo.backwards([Token("make_cgroup", ("one word",))])[0][0] == "make_cgroup"


def test_what_an_earlier_version_has_saved_is_read_and_nothing_of_it_lost(checkout: Path, tmp_path: Path):
    """So a container outlives an update of pyrunc."""
    kept = checkout / "tests/saved/0.1"
    saved = load(str(kept))
    assert (saved.id, saved.bundle, saved.rootfs, saved.owner) == ("web", "/bundle", "/bundle/rootfs", 1000)
    assert (saved.pid, saved.start, saved.created) == (7574, 2703743, "2026-11-28T13:08:24.731529577Z")
    assert saved.annotations == {"org.example.note": "two words\tand \xe9"}
    assert saved.places[1] == Place("/sys/fs/cgroup/cpu/web", "/sys/fs/cgroup/cpu", ("cpu", "cpuacct"))
    assert len(saved.places) == 3
    assert (saved.joins, saved.hooks, saved.own_pid_namespace) == (("pid", "network", "mount"), ("poststart", "poststop"), True)
    assert (saved.unit, saved.user_unit, saved.listener) == ("pyrunc-web.scope", True, ("/run/agent", "data"))
    assert saved.resctrl_joins == saved.resctrl_owns == ("/sys/fs/resctrl/web",)
    assert saved.found == ("/sys/fs/cgroup/memory/slice",)
    assert saved.made == (Token("make_cgroup", ("/sys/fs/cgroup/memory/slice/web", "8236208", "/sys/fs/cgroup/memory")),)
    save(str(tmp_path), saved)
    assert {*(kept / "state").read_text().splitlines()} <= {*(tmp_path / "state").read_text().splitlines()}
