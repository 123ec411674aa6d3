"""The native program (native/): what starts from a dump is the same as what starts from files, and brings nothing along.

Skipped where it cannot be built: without a C compiler, or with a Python that has no static library.
"""

from __future__ import annotations

import ast
import errno
import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrunc.container import statefile

CHECKOUT = Path(__file__).parents[1]
ABSENT = "pyrunc {} failed: container does not exist (there is no {} below {}: see pyrunc list, and --root)\n"
PYTHON = os.environ.get("PYRUNC_PYTHON", "/usr/bin/python3")
BUILD = CHECKOUT / "native/build.py"
# What wants a library, and so is the script's alone; a module more is slower for somebody: put it here on purpose.
SCRIPT_ONLY = {"cli.commands.install", "cli.help"}
SCRIPT_ONLY |= {f"install.{name}" for name in ("containerd", "docker", "dropin", "edit", "engines", "toml")}
# What the rest imports within a function and the program has not: there the script takes over, or the caller can do without.
# Past handover.begin() only the latter: who adds a line sees to that.
LIBRARIES = {
    "__init__.py": {"importlib"},  # for who imports pyrunc as a library
    "cgroup/systemd.py": {"jeepney", "jeepney.io.blocking"},  # whatever has a unit goes to the script from the start
    "cgroup/userbus.py": {"jeepney.bus", "jeepney.io.blocking", "socket"},
    "cli/matching.py": {"re"},  # calls need_script() first
    "cli/commands/ps.py": {"psutil", "subprocess"},  # changes nothing
    "cli/main.py": {"traceback"},  # --debug goes to the script from the start
    "cli/mishap.py": {"dis"},  # does without
    "container/checks/mounts.py": {"os.path"},  # changes nothing
    "container/checks/overlay.py": {"os.path"},  # changes nothing
    "container/verbs/listing.py": {"pwd"},  # changes nothing
    "jsonio.py": {"_json", "json"},  # not taken here: native/json.c
    "linux/sharedmemory.py": {"mmap"},  # not taken here: native/module.c
    "oci/explain.py": {"json", "jsonschema", "jsonschema.exceptions", "os.path", "re"},  # does without
    "seccomp/compile.py": {"os"},  # only `check` compiles here, which changes nothing; else seccomp/apart.py has the script do it
    "seccomp/library.py": {"pyseccomp", "seccomp"},
    "seccomp/version.py": {"ctypes"},  # changes nothing
}


def build(directory: Path, builder: Path = BUILD, **variables: str) -> Path:
    """Build the program in DIRECTORY by BUILDER, with a script that tells what it was called with."""
    script = directory / "script"
    script.write_text("import sys, posix\nprint('script', sys.argv[1:], dict(posix.environ).get(b'MARK'))\n"
                      "b'PROGRAM' in posix.environ and print(sys._xoptions['program'], file=sys.stderr)\n")
    made = directory / "pyrunc"
    interpreter = os.path.realpath(PYTHON)
    command = [PYTHON, "-I", str(builder), str(made), interpreter, "script", str(CHECKOUT / "runtime/pyrunc")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode and "native/build.py: there is no" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    (directory / "left-out").write_text(done.stdout)
    return made


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("native"))


def run(program: Path, *argv: str | bytes, **options) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **options}
    return subprocess.run([program, *argv], timeout=60, **options)


def test_a_command(program: Path, tmp_path: Path):
    done = run(program, "--root", str(tmp_path), "state", "nosuch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ABSENT.format("state", "nosuch", tmp_path)


def test_it_is_one_static_file_for_one_place(program: Path):
    """No loader, no library, no memory that is writable and executable."""
    shown = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in shown.splitlines()]
    assert "INTERP" not in shown
    assert not [row for row in rows if row[:1] == ["LOAD"] and "RWE" in row]
    assert [row for row in rows if row[:1] == ["LOAD"] and row[2] == "0x0000000050000000"]


def test_spec_is_what_the_script_writes(program: Path, tmp_path: Path):
    assert run(program, "spec", cwd=tmp_path).returncode == 0
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pyrunc.cli.main import main; sys.exit(main(sys.argv[1:]))"
    (tmp_path / "other").mkdir()
    command = [PYTHON, "-I", "-c", script, str(CHECKOUT / "runtime"), "spec"]
    subprocess.run(command, cwd=tmp_path / "other", check=True)
    assert (tmp_path / "config.json").read_bytes() == (tmp_path / "other/config.json").read_bytes()


# What it hands over


@pytest.mark.parametrize("argv", [["--help"], ["install", "podman"], ["state", "--help"], ["--debug", "state", "x"], ["ps", "x"]])
def test_what_wants_libraries_goes_to_the_script(program: Path, argv: list[str], tmp_path: Path):
    done = run(program, "--root", str(tmp_path), *argv, env={"MARK": "there"})
    if argv[0] == "ps":  # no container, which needs no library to be told
        assert done.stderr == ABSENT.format("ps", "x", tmp_path)
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"script {['--root', str(tmp_path), *argv]} b'there'\n"


def test_a_word_that_is_not_utf8_is_handed_over_as_it_is(program: Path):
    done = run(program, "--debug", b"\xff")
    assert done.stdout == "script ['--debug', '\\udcff'] None\n"


def test_the_script_gets_the_signals_that_we_got(program: Path, tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("print([line for line in open('/proc/self/status') if line.startswith('SigIgn')])\n")
    moved = tmp_path / "pyrunc"
    moved.write_bytes(program.read_bytes())
    moved.chmod(0o755)
    for ignored in ((), (signal.SIGINT,), (signal.SIGUSR1, signal.SIGHUP)):
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
        try:
            with_us = run(moved, "--help", restore_signals=True).stdout
            alone = run(Path(PYTHON), "-ISXutf8", str(script), restore_signals=True).stdout
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        assert with_us == alone


@pytest.mark.parametrize("blocked", [False, True])
def test_the_script_starts_with_interrupts_blocked_and_knows_by_whom(program: Path, tmp_path: Path, blocked: bool):
    """By us, to be let in by it as soon as it can answer; or by the caller, and it stays so."""
    look = "import _signal, sys\nprint(_signal.SIGINT in _signal.pthread_sigmask(0, ()), sorted(sys._xoptions))\n"
    (tmp_path / "script").write_text(look)
    moved = tmp_path / "pyrunc"
    moved.write_bytes(program.read_bytes())
    moved.chmod(0o755)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,) if blocked else ())
    try:
        said = run(moved, "--help").stdout
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert said == f"True ['{'blocked' if blocked else 'held'}', 'program', 'utf8']\n"


def test_the_script_knows_as_what_we_were_called(program: Path, tmp_path: Path):
    """`install` registers the link that it was called by; what Python goes by is its own name."""
    link = tmp_path / "linked"
    link.symlink_to(program)
    assert run(link, "--help", env={"PROGRAM": "1"}).stderr == f"{link}\n"
    done = subprocess.run(["linked", "--help"], env={"PATH": str(tmp_path), "PROGRAM": "1"}, capture_output=True, text=True)
    assert done.stderr == f"{link}\n"


def test_without_its_script_it_says_so(program: Path, tmp_path: Path):
    alone = tmp_path / "pyrunc"
    alone.write_bytes(program.read_bytes())
    alone.chmod(0o755)
    done = run(alone, "--help")
    assert done.returncode != 0
    assert "script" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_left_to_the_script(program: Path):
    """Only what is listed: another module that slips out of the dump makes some command slow."""
    listed = (program.parent / "left-out").read_text().split()
    assert {name.removeprefix("pyrunc.") for name in listed} == SCRIPT_ONLY


def libraries(path: Path, inside: set[str]) -> set[str]:
    """Return what file PATH imports that is neither ours nor INSIDE the program, but for the sake of types."""
    tree = ast.parse(path.read_text())
    types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    left_out = {each for node in types for part in node.body for each in ast.walk(part)}
    found: set[str] = set()
    for node in set(ast.walk(tree)) - left_out:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name for name in found - inside if name.partition(".")[0] not in ("pyrunc", "__future__")}


def test_what_is_imported_late_is_known():
    """A module that only a function imports is missed by no build, but by the command that gets there."""
    package = CHECKOUT / "runtime/pyrunc"
    inside = set(re.findall(r'^    {"(\w+)"', (CHECKOUT / "native/modules.c").read_text(), re.MULTILINE))
    left_out = {f"{name.replace('.', '/')}.py" for name in SCRIPT_ONLY} | {"boot.py", "image.py", "linux/foreign.py"}
    files = [path for path in package.rglob("*.py") if path.parent.name != "library" and path.name != "aio.py"]
    found = {str(path.relative_to(package)): libraries(path, inside) for path in files}
    assert {name: what for name, what in found.items() if what and name not in left_out} == LIBRARIES


def with_script(program: Path, directory: Path, script: str) -> Path:
    """Return a copy of PROGRAM in DIRECTORY that goes over to SCRIPT."""
    copy = directory / "pyrunc"
    shutil.copy(program, copy)
    (directory / "script").write_text(script)
    return copy


ECHO = "import sys; print(sys.stdin.read())"


def test_the_script_gets_the_input_that_we_got(program: Path, tmp_path: Path):
    """Whose unit is systemd's is updated by the script, and its limits come from a pipe, as engines send them."""
    (tmp_path / "box").mkdir()
    saved = statefile.SavedState(id="box", bundle="/", rootfs="/", created="", owner=0, unit="box.scope")
    statefile.save(str(tmp_path / "box"), saved)
    copy = with_script(program, tmp_path, ECHO)
    for source in ("-", "/dev/stdin"):
        done = run(copy, "--root", str(tmp_path), "update", "-r", source, "box", stdin=None, input='{"memory": {}}')
        assert (done.stdout, done.stderr) == ('{"memory": {}}\n', "")


def test_a_configuration_from_a_pipe_is_the_scripts_to_read(program: Path, tmp_path: Path):
    """It comes out of it once, and may want a library."""
    (tmp_path / "config.json").symlink_to("/dev/stdin")
    copy = with_script(program, tmp_path, ECHO)
    done = run(copy, "--root", str(tmp_path / "state"), "create", "--bundle", str(tmp_path), "x", stdin=None, input='{"a": 1}')
    assert (done.stdout, done.stderr) == ('{"a": 1}\n', "")


def test_a_warning_is_said_once(program: Path, tmp_path: Path):
    """It waits until no script will warn of it again; what is listed has its owner's name without one."""
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/state").write_text("no state\n")
    alone = run(program, "--root", str(tmp_path), "list")
    assert alone.stderr.count("cannot read container damaged") == 1
    (tmp_path / "whole").mkdir()
    statefile.save(str(tmp_path / "whole"), statefile.SavedState(id="whole", bundle="/", rootfs="/", created="", owner=0))
    both = run(program, "--root", str(tmp_path), "list")
    assert "root" in both.stdout
    assert both.stderr == alone.stderr


def test_what_fails_too_late_for_the_script_is_told_in_words(program: Path, tmp_path: Path):
    """The name of the call is missing, and no other cause is told."""
    (tmp_path / "box").mkdir()
    ended = {"pid": 4194303, "start": 1}
    saved = statefile.SavedState(id="box", bundle="/", rootfs="/", created="", owner=0, **ended)
    statefile.save(str(tmp_path / "box"), saved)
    (tmp_path / "box/lock").write_text("")
    (tmp_path / "box/strange/directory/file").mkdir(parents=True)
    done = run(program, "--root", str(tmp_path), "delete", "box")
    assert done.returncode == 1
    assert os.strerror(errno.EISDIR).lower() in done.stderr
    assert "ulimit" not in done.stderr
    assert "load a part" not in done.stderr


# What is not the dump's


def facts(program: Path, root: Path, **options) -> str:
    """Return what `plan` says, which asks the machine for all that it decides by."""
    bundle = root / "bundle"
    if not bundle.exists():
        (bundle / "rootfs").mkdir(parents=True)
        run(program, "spec", "--bundle", str(bundle))
    return run(program, "--root", str(root), "plan", str(bundle), **options).stdout


def test_environment_directory_and_user_are_those_of_the_start(program: Path, tmp_path: Path):
    here = run(program, "--root", "", "state", "x", cwd=tmp_path).stderr
    assert "leave it out for /run/pyrunc" in here
    done = run(program, "state", "x", env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/"})
    assert "container does not exist" in done.stderr
    if os.geteuid() == 0:
        mask = run(program, "spec", cwd=tmp_path, umask=0o077)
        assert mask.returncode == 0
        assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600


def test_dumps_of_another_environment_do_the_same(program: Path, tmp_path: Path):
    """Made with other variables, directory, umask and a closed terminal: what comes out is the same."""
    other = build(tmp_path, HOME="/nowhere", LANG="de_DE.UTF-8", TZ="Asia/Tokyo", XDG_RUNTIME_DIR="/run/elsewhere", MARK="dump")
    assert facts(other, tmp_path) == facts(program, tmp_path) != ""
    assert b"Asia/Tokyo" not in other.read_bytes()
    assert b"/run/elsewhere" not in other.read_bytes()


def test_each_dump_has_a_hash_seed_of_its_own(program: Path, tmp_path: Path):
    other = build(tmp_path)
    assert other.read_bytes() != program.read_bytes()


def test_the_environment_has_no_hold(program: Path, tmp_path: Path):
    """No variable makes the program load or run anything: it has no loader, and Python is not asked to read any."""
    trap = tmp_path / "trap.so"
    trap.write_text("not a library")
    names = ("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
    done = run(program, "--root", str(tmp_path), "state", "x", env=dict.fromkeys(names, str(trap)) | {"PYTHONINSPECT": "1"})
    assert done.stderr == ABSENT.format("state", "x", tmp_path)


def test_closed_streams(program: Path, tmp_path: Path):
    script = f"exec {program} --root {tmp_path} state x <&- >&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, ABSENT.format("state", "x", tmp_path))


def test_nobody_can_write_to_a_program_that_runs(program: Path, tmp_path: Path):
    """And two at once share nothing that changes."""
    children = [
        subprocess.Popen([program, "--root", str(tmp_path / str(i)), "state", f"c{i}"], stderr=subprocess.PIPE, text=True)
        for i in range(8)
    ]
    said = {child.communicate()[1] for child in children}
    assert said == {ABSENT.format("state", f"c{i}", tmp_path / str(i)) for i in range(8)}


# Where things lie in a dump


def names_of(path: Path, module: str) -> set[str]:
    """Return MODULE:QUALIFIED.NAME of each function in file PATH."""
    found, todo = set(), [compile(path.read_text(), str(path), "exec")]
    while todo:
        code = todo.pop()
        found.add(f"{module}:{code.co_qualname}")
        todo += [each for each in code.co_consts if hasattr(each, "co_consts")]
    return found


def test_the_functions_that_are_laid_together_are_there():
    """A name that is out of date does no harm, so a few may be: script/hot writes the list again."""
    listed = {name.lstrip("-") for name in (CHECKOUT / "native/hot.txt").read_text().split()}
    if sys.version_info >= (3, 12):  # comprehensions are no functions there (PEP 709)
        listed = {name for name in listed if not name.endswith("comp>")}
    runtime = CHECKOUT / "runtime"
    paths = [(path, ".".join(path.relative_to(runtime).with_suffix("").parts)) for path in runtime.rglob("*.py")]
    known = set().union(*(names_of(path, module.removesuffix(".__init__")) for path, module in paths))
    assert len(listed - known) < len(listed) / 20, sorted(listed - known)


def faults(program: Path, bundle: Path) -> int:
    """Return the page faults of planning BUNDLE."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    done = run(program, "plan", str(bundle))
    assert (done.returncode, done.stderr) == (0, "")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before


def test_what_commands_write_to_lies_together(program: Path, tmp_path: Path):
    """Fewer pages are copied than with a dump that knows of no function."""
    shutil.copytree(BUILD.parent, tmp_path / "native")
    (tmp_path / "native/hot.txt").write_text("")
    other = build(tmp_path, tmp_path / "native/build.py")
    (tmp_path / "bundle/rootfs").mkdir(parents=True)
    assert run(program, "spec", "--bundle", str(tmp_path / "bundle")).returncode == 0
    assert faults(program, tmp_path / "bundle") < 0.8 * faults(other, tmp_path / "bundle")


# Limits, signals, and other ways to be called


def limited(*limits: tuple[int, int]):
    """Return what sets LIMITS of the process to come."""

    def limit() -> None:
        for number, most in limits:
            resource.setrlimit(number, (most, most))

    return limit


def test_it_starts_with_little_memory(program: Path, tmp_path: Path):
    """The region is mapped as it is needed: twice the file's size is plenty."""
    size = program.stat().st_size
    for limits in (
        [(resource.RLIMIT_AS, size + (6 << 20))],
        [(resource.RLIMIT_DATA, size)],
        [(resource.RLIMIT_STACK, 64 << 10)],
        [(resource.RLIMIT_MEMLOCK, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 4)],
    ):
        done = run(program, "--root", str(tmp_path / "none"), "state", "x", preexec_fn=limited(*limits))
        assert (done.returncode, done.stderr) == (1, ABSENT.format("state", "x", tmp_path / "none")), limits


@pytest.mark.parametrize("count", [3 << 15, 1 << 18, 3 << 20], ids=["grows", "grows-much", "outgrows-the-region"])
def test_memory_beyond_what_is_mapped(program: Path, tmp_path: Path, count: int):
    """And where there is none to be had, that is told."""
    bundle = tmp_path / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    words = ",".join(f'"{number}"' for number in range(count))
    (bundle / "config.json").write_text('{"ociVersion": "1.0.0", "annotations": [' + words + "]}")
    argv = ["--root", str(tmp_path / "state"), "create", "--bundle", str(bundle), "x"]
    done = run(program, *argv)  # which is too large for the script to look for all that is wrong
    assert "/annotations" in done.stderr
    assert "expected an object" in done.stderr
    lacking = run(program, *argv, preexec_fn=limited((resource.RLIMIT_AS, program.stat().st_size + (8 << 20))))
    assert lacking.returncode == 1
    assert "not enough memory" in lacking.stderr


def test_interrupts_at_any_moment(program: Path, tmp_path: Path):
    """One or more ^C, before, while and after the command is begun: no traceback, and no other status."""
    chosen = random.Random(7)
    for _ in range(100):
        argv = [program, "--root", str(tmp_path), "state", "x"]
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + chosen.random() * 0.004
        while time.monotonic() < end:
            pass
        for _ in range(chosen.randint(1, 3)):
            child.send_signal(signal.SIGINT)
        said = child.communicate()[1]
        assert child.returncode in (1, 130, -signal.SIGINT)
        assert said in ("", ABSENT.format("state", argv[-1], argv[2]))




def test_an_interrupt_while_it_works(program: Path, tmp_path: Path):
    """It is the command's to answer; where the caller ignores it, it is ignored."""
    (tmp_path / "box").mkdir()
    ended = {"pid": 4194303, "start": 1}
    saved = statefile.SavedState(id="box", bundle="/", rootfs="/", created="", owner=0, **ended)
    statefile.save(str(tmp_path / "box"), saved)
    with open(tmp_path / "box/lock", "w") as lock:
        for ignored in (False, True):
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
            argv = [program, "--root", str(tmp_path), "delete", "box"]
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if before is not None:
                signal.signal(signal.SIGINT, before)
            opened = Path(f"/proc/{child.pid}/fd")
            while str(tmp_path / "box/lock") not in {os.readlink(each) for each in opened.iterdir()}:
                assert child.poll() is None
            child.send_signal(signal.SIGINT)
            if ignored:
                fcntl.flock(lock, fcntl.LOCK_UN)
            assert (child.communicate()[1], child.returncode) == ("", 0 if ignored else 130)


# JSON as the script reads it


def documents() -> list[str]:
    """Return JSON documents, whole and broken: each byte of a small one changed in some way, and known edges."""
    whole = '{"a": [1, -2.5e3, true, null, "x\\u00e9\\ud83d\\ude00\\n"], "b": {"": false}, "long": 12345678901234567890}'
    chosen = random.Random(7)
    found = [whole, "", " ", "[", "{", '"', "[1,]", '{"a":1,}', '{"a"}', '{"a":}', "nul", "NaN", "[Infinity]", "-Infinity"]
    found += ["-", "01", "1.", "1e", "1e5", "-0", "1 2", '"\\x"', '"\\u12"', '"\\u0000"', '"\\ud800"', '"\\udc00"']
    found += ['"\\ud800\\u0041"', '"\t"', '{"a":1,"a":2}', "[" * 100 + "]" * 100, "[" * 5000, "9" * 5000, "\ufeff{}", "{} x"]
    found += ['{"a" 1}', "[1 2]", '"\\ud83d\\ude00"']
    for at in range(len(whole)):
        found.append(whole[:at] + whole[at + 1 :])
        found.append(whole[:at] + chosen.choice('{}[]",:0x\\ \n-') + whole[at:])
        found.append(whole[:at])
    return found


def outcome(program: Path, path: Path, command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr


def test_json_is_read_and_refused_in_the_same_words(program: Path, tmp_path: Path):
    """By the same scanner's interface in one process: the built-in one is asked through `exec`'s process documents."""
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pyrunc import jsonio
from pyrunc.errors import ConfigError
for text in json.load(open(sys.argv[2])):
    try:
        print(json.dumps(["value", repr(jsonio.loads(text, "it"))]))
    except ConfigError as error:
        print(json.dumps(["error", str(error)]))
"""
    (tmp_path / "all.json").write_text(json.dumps(documents()))
    command = [PYTHON, "-I", "-c", code, str(CHECKOUT / "runtime"), str(tmp_path / "all.json")]
    said_by_script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [json.loads(line) for line in said_by_script.splitlines()]
    assert len(expected) == len(documents())
    for number, (text, (kind, said)) in enumerate(zip(documents(), expected, strict=True)):
        bundle = tmp_path / str(number)
        (bundle / "rootfs").mkdir(parents=True)
        (bundle / "config.json").write_text(text, "utf-8")
        done = run(program, "--root", str(tmp_path / "state"), "create", "--bundle", str(bundle), "x")
        if kind == "error":
            assert done.returncode == 1
            wanted = said.replace("it:", f"{'config.json'}:", 1)
            assert done.stderr == f"pyrunc create failed: {wanted}\n", text
        else:  # JSON, and no configuration: the script tells why
            assert done.stdout.startswith("script"), text


def test_this_python_is_the_one_it_is_made_of(program: Path):
    shown = run(program, "--version").stdout
    command = [PYTHON, "-c", "import platform; print(platform.python_version())"]
    assert f"python: {subprocess.run(command, capture_output=True, text=True).stdout.strip()}\n" in shown


assert sys.version_info >= (3, 11)
