"""Exit statuses and output of the commands that need no root, each in a process of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.cli.table import ROWS, commands

Run = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = "import sys; sys.path.insert(0, {!r}); from pyrunc.cli.main import main; sys.exit(main(sys.argv[1:]))"
NOBODY = 65534
MAKES = ("create", "run", "restore")
BY_ID = [command.name for command in commands() if command.positional == ("ID",) and command.name not in MAKES]


@pytest.fixture(scope="session")
def pyrunc(checkout: Path) -> Run:
    program = PROGRAM.format(str(checkout / "runtime"))

    def run(*argv: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-c", program, *map(str, argv)]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(command, text=True, timeout=60, **options)

    return run


def test_version_and_help(pyrunc: Run):
    for words in (["--version"], ["-v"], ["--debug", "--version", "state"]):
        done = pyrunc(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("pyrunc version ")
    for words in ([], ["--help"], ["help"], ["-h"]):
        done = pyrunc(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("NAME:\n   pyrunc - ")
    assert pyrunc("help", "run").stdout == pyrunc("run", "--help").stdout


@pytest.mark.parametrize("name", BY_ID)
def test_an_absent_container(pyrunc: Run, tmp_path: Path, name: str):
    done = pyrunc("--root", tmp_path, name, "absent", *(["true"] if name == "exec" else []))
    assert done.returncode == (255 if name == "exec" else 1)
    assert done.stdout == ""
    assert done.stderr.startswith(f"pyrunc {name} failed: container")
    assert "does not exist" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


WRONG_USE = [((), 1), (("--nonsense", "x", "true"), 1), (("--user",), 1), (("absent", "true"), 255)]


@pytest.mark.parametrize(("words", "status"), WRONG_USE)
def test_the_status_of_exec_tells_wrong_use_from_failure(pyrunc: Run, tmp_path: Path, words: tuple[str, ...], status: int):
    """As with runc."""
    done = pyrunc("--root", tmp_path, "exec", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("pyrunc exec failed: ")


def test_deleting_an_absent_one_by_force_is_no_error(pyrunc: Run, tmp_path: Path):
    done = pyrunc("--root", tmp_path, "delete", "--force", "absent")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_listing_nothing(pyrunc: Run, tmp_path: Path):
    root = ["--root", tmp_path]
    assert pyrunc(*root, "list", "-q").stdout == ""
    assert json.loads(pyrunc(*root, "list", "--format", "json").stdout) is None
    assert pyrunc(*root, "list").stdout.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    done = pyrunc("--root", tmp_path / "absent", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert not (tmp_path / "absent").exists()


def test_the_log_gets_what_standard_error_gets(pyrunc: Run, tmp_path: Path):
    log = tmp_path / "log.json"
    for _ in range(2):
        done = pyrunc("--root", tmp_path, "--log", log, "--log-format", "json", "state", "absent")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["level"] for row in rows] == ["error", "error"]
    assert done.stderr == rows[-1]["msg"] + "\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["fly"], "No help topic for 'fly': unknown command (pyrunc --help lists the commands)"),
        (["state"], "pyrunc state takes ID: 0 were given (pyrunc state --help)"),
        (["--root", "", "state", "x"], "--root is empty (leave it out for /run/pyrunc)"),
        (["--log", "/absent/log", "list"], "cannot open the log: open /absent/log: no such file or directory"),
        (["kill", "x", "FLY"], 'unknown signal "FLY" (a number up to 64, or a name such as TERM)'),
        (["plan", "/absent"], "cannot read the bundle: open /absent/config.json: no such file or directory"),
    ],
)
def test_refusals_in_one_line(pyrunc: Run, argv: list[str], said: str):
    done = pyrunc(*argv)
    assert (done.returncode, done.stdout) == (3 if argv == ["fly"] else 1, "")
    name = next((word for word in argv if word in ROWS), "")
    assert done.stderr.startswith(f"pyrunc {name} failed: {said}" if name else f"pyrunc: {said}")
    assert done.stderr.count("\n") == 1


def test_spec(pyrunc: Run, tmp_path: Path):
    assert pyrunc("spec", "--bundle", tmp_path).returncode == 0
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    assert document["ociVersion"] == "1.3.0"
    assert document["process"]["args"] == ["sh"]
    done = pyrunc("spec", cwd=tmp_path)
    assert (done.returncode, done.stderr.split(" (")[0]) == (1, "pyrunc spec failed: file config.json exists")
    assert json.loads(path.read_text()) == document
    (tmp_path / "config.json").unlink()
    assert pyrunc("spec", "--rootless", cwd=tmp_path).returncode == 0
    assert json.loads(path.read_text())["linux"]["uidMappings"][0]["hostID"] == os.geteuid()


def test_spec_to_a_full_disk_leaves_nothing(pyrunc: Run, tmp_path: Path):
    done = pyrunc("spec", cwd=tmp_path, preexec_fn=limit_files)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def limit_files() -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_features(pyrunc: Run):
    done = pyrunc("features")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["ociVersionMin"], document["ociVersionMax"]) == ("1.0.0", "1.3.0")
    assert "rbind" in document["mountOptions"]
    assert set(document["linux"]["namespaces"]) == {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}


def nobody() -> None:
    """Become a user without any right, if this is root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


@pytest.fixture
def open_checkout(checkout: Path, tmp_path: Path) -> Path:
    """Return a copy of what `plan` needs, in a directory that everybody may enter."""
    import shutil
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="pyrunc-plan-"))
    place.chmod(0o755)
    shutil.copytree(checkout / "runtime", place / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(checkout / "examples/hello", place / "hello", symlinks=True)
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if stat.S_ISDIR(path.stat().st_mode) else 0o044))
    yield place
    shutil.rmtree(place)


def test_plan_needs_no_root(open_checkout: Path):
    program = PROGRAM.format(str(open_checkout / "runtime"))
    command = ["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable, "-B", "-I", "-c", program, "plan"]
    run = {"capture_output": True, "text": True, "preexec_fn": nobody, "cwd": "/"}
    done = subprocess.run([*command, str(open_checkout / "hello")], **run)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["HOST", "CHILD"]
    assert any("exec_program(" in line for line in lines)
    document = json.loads(subprocess.run([*command, "--json", str(open_checkout / "hello")], **run).stdout)
    assert [row["call"] for row in document["child"]][-1] == "exec_program"
    assert len(document["host"]) + len(document["child"]) == len(lines) - 2


@pytest.mark.parametrize("command", ["run", "list", "state", "delete"])
def test_without_a_directory_for_state_an_ordinary_user_hears_what_to_set(open_checkout: Path, command: str):
    """But not for what has no state, nor where --root names a directory."""
    program = PROGRAM.format(str(open_checkout / "runtime"))
    start = ["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable, "-B", "-I", "-c", program]
    run = {"capture_output": True, "text": True, "preexec_fn": nobody, "cwd": "/", "env": {}}
    words = [command, *(["box"] if command != "list" else [])]
    done = subprocess.run([*start, *words], **run)
    said = "XDG_RUNTIME_DIR is not set, so there is no directory for the state of your containers"
    hint = f"set it to a directory of your own, usually /run/user/{NOBODY}, which a login makes; or name one by --root"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"pyrunc {command} failed: {said} ({hint})\n"
    assert said not in subprocess.run([*start, "--root", "/nonexistent", *words], **run).stderr
    assert said not in subprocess.run([*start, *words], **{**run, "env": {"XDG_RUNTIME_DIR": "/nonexistent"}}).stderr
    assert subprocess.run([*start, "features"], **run).returncode == 0


def test_nobody_reads_the_output(pyrunc: Run):
    """As `pyrunc features | head -1` does: no traceback, and the status of a program that SIGPIPE ended."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = pyrunc("features", stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_told(pyrunc: Run):
    with open("/dev/full", "w") as full:
        done = pyrunc("features", stdout=full)
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_standard_streams_may_be_closed(pyrunc: Run, tmp_path: Path):
    """No file that is opened later may take the number of a stream."""
    log = tmp_path / "log"

    def close_all() -> None:
        os.closerange(0, 3)

    options = dict.fromkeys(("stdin", "stdout", "stderr"))
    done = pyrunc("--log", log, "--root", tmp_path, "state", "absent", preexec_fn=close_all, **options)
    assert done.returncode == 1
    assert log.read_text().count("\n") == 1


INTERRUPTED_WHERE_NOBODY_CATCHES = """
import sys, _signal
sys.path.insert(0, {!r})
from pyrunc.cli import interrupts
_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # as the launcher leaves it
interrupts.heed()

class Finished:
    def __del__(self):
        _signal.raise_signal(_signal.SIGINT)

try:
    if {!r}:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT,))
        _signal.signal(_signal.SIGALRM, interrupts._try_again)
        _signal.raise_signal(_signal.SIGALRM)
        for _ in range(3):
            _signal.sigtimedwait((), 0.01)
        print("held")
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGINT,))
    else:
        Finished()
    while True:
        _signal.pause()
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize("held", [False, True])
def test_an_interrupt_where_nobody_can_catch_it_is_heard_a_moment_later(checkout: Path, held: bool):
    """And not while interrupts are held."""
    program = INTERRUPTED_WHERE_NOBODY_CATCHES.format(str(checkout / "runtime"), held)
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("held\nheard\n" if held else "heard\n", "")


SEVERAL_AT_ONCE = """
import sys, _signal
sys.path.insert(0, {!r})
from pyrunc.cli import interrupts
_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # as the launcher leaves it
interrupts.heed()
interrupts.undo_when_ended()
ours = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
before = _signal.pthread_sigmask(_signal.SIG_BLOCK, ours)
for number in ours:
    _signal.raise_signal(number)
try:
    _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
    print("not heard")
except KeyboardInterrupt:
    for step in range(1000):  # what undoes it
        str(step)
    print("undone", sorted(map(int, _signal.sigpending())))
"""


def test_of_several_signals_at_once_one_is_heard_and_the_others_wait(checkout: Path):
    program = SEVERAL_AT_ONCE.format(str(checkout / "runtime"))
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("undone [2, 15]\n", "")
