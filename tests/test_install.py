"""`pyrunc install`: what is written, that it is written once, what is refused, and that all of it can be taken back."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pyrunc.cli.main import main
from pyrunc.errors import ConfigError, StateError, UsageError
from pyrunc.install import docker
from pyrunc.install.edit import Edit, Wanted, diff
from pyrunc.install.engines import ENGINES, check
from tests.engine_files import FILES, PROGRAM, Machine

TEXT = '{\n  "a": 1\n}\n'

each_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@each_engine
@pytest.mark.parametrize("default", [False, True])
def test_nothing_is_there(machine: Machine, engine: str, default: bool):
    assert machine.add(engine, default=default).before is None
    assert list(machine.files()) == [FILES[engine][1:]]
    assert not machine.add(engine, default=default).changes
    assert machine.remove(engine).after is None
    assert machine.files() == {}
    assert not machine.remove(engine).changes


@each_engine
def test_the_default_can_be_chosen_later(machine: Machine, engine: str):
    machine.add(engine)
    assert machine.add(engine, default=True).changes
    at_once = Machine(machine.root / "other")
    at_once.add(engine, default=True)
    assert machine.text(FILES[engine]) == at_once.text(FILES[engine])


@each_engine
def test_two_names_side_by_side(machine: Machine, engine: str):
    machine.add(engine)
    before = machine.files()
    machine.add(engine, name="second", path="/opt/second")
    assert not machine.add(engine).changes
    assert not machine.add(engine, name="second", path="/opt/second").changes
    machine.remove(engine, name="second", path="/opt/second")
    assert machine.files() == before
    machine.remove(engine)
    assert machine.files() == {}


@each_engine
def test_another_program_of_the_same_name_is_left_alone(machine: Machine, engine: str):
    machine.add(engine, path="/opt/other/pyrunc")
    error = machine.refuses(engine)
    assert isinstance(error, StateError)
    assert FILES[engine] in error.message
    with pytest.raises(StateError):
        machine.remove(engine)
    machine.remove(engine, path="/opt/other/pyrunc")
    assert machine.files() == {}


@each_engine
def test_a_file_that_is_broken(machine: Machine, engine: str):
    path = FILES[engine]
    machine.put(path, '{"a": 1,\n  "b": }\n' if engine == "docker" else "a = 1\nb =\n")
    error = machine.refuses(engine)
    assert isinstance(error, ConfigError)
    assert path in error.message
    assert "line 2" in error.message
    assert "column" in error.message
    machine.put(path, "\xff")
    (machine.root / path[1:]).write_bytes(b"a = \xff\n")
    assert machine.refuses(engine).message == f"{path}: not UTF-8 at byte 4"


# What each engine's file says, in the words of its own documentation.


def test_what_podman_reads(machine: Machine):
    machine.add("podman")
    said = {
        "runtime_supports_json": ["crun", "runc", "kata", "runsc", "krun", "pyrunc"],
        "runtime_supports_nocgroup": ["crun", "krun", "pyrunc"],
        "runtimes": {"pyrunc": [PROGRAM]},
    }
    assert tomllib.loads(machine.text(FILES["podman"])) == {"engine": said}
    machine.add("podman", default=True)
    assert tomllib.loads(machine.text(FILES["podman"])) == {"engine": {"runtime": "pyrunc", **said}}


def test_what_crio_reads(machine: Machine):
    """crio.conf(5), CRIO.RUNTIME.RUNTIMES TABLE: these keys are there since 1.12 and to this day."""
    machine.add("cri-o", default=True)
    entry = {"runtime_path": PROGRAM, "runtime_type": "oci", "runtime_root": "/run/pyrunc"}
    expected = {"crio": {"runtime": {"default_runtime": "pyrunc", "runtimes": {"pyrunc": entry}}}}
    assert tomllib.loads(machine.text(FILES["cri-o"])) == expected


OTHER = '[engine.runtimes]\npyrunc = ["/bin/x"]\n'


@pytest.mark.parametrize(
    ("engine", "path", "text", "said"),
    [
        ("podman", "/usr/share/containers/containers.conf", OTHER, "engine.runtimes.pyrunc"),
        ("podman", "/etc/containers/containers.conf", OTHER, "engine.runtimes.pyrunc"),
        ("podman", "/etc/containers/containers.conf.d/z.conf", OTHER, "engine.runtimes.pyrunc"),
        ("podman", "/etc/containers/containers.conf.d/z.conf", '[engine]\nruntime = "crun"\n', "engine.runtime = 'crun'"),
        ("cri-o", "/etc/crio/crio.conf", '[crio.runtime]\ndefault_runtime = "crun"\n', "crio.runtime.default_runtime = 'crun'"),
        ("cri-o", "/etc/crio/crio.conf.d/0.conf", '[crio.runtime.runtimes.pyrunc]\nruntime_path = "/x"\n', "runtimes.pyrunc"),
    ],
)
def test_another_file_has_a_say(machine: Machine, engine: str, path: str, text: str, said: str):
    machine.put(path, text)
    error = machine.refuses(engine, default=True)
    assert error.message.startswith(f"{path} says ")
    assert said in error.message
    machine.put(path, text.replace("crun", "pyrunc").replace("pyrunc", "others", 1))
    machine.add(engine)


def test_podmans_vendor_may_have_chosen_a_default(machine: Machine):
    """A file in /usr/share is there to be overruled."""
    machine.put("/usr/share/containers/containers.conf", '[engine]\nruntime = "crun"\n')
    assert machine.add("podman", default=True).changes


@each_engine
def test_a_file_that_was_changed_since_is_not_removed(machine: Machine, engine: str):
    machine.add(engine)
    path = FILES[engine]
    text = machine.text(path)
    changed = text.replace("[", "# mine\n[", 1).replace('"path"', '"runtimeArgs": ["--debug"], "path"')
    assert changed != text
    machine.put(path, changed)
    before = machine.files()
    with pytest.raises(StateError):
        machine.remove(engine)
    assert machine.files() == before


# Files


def test_mode_owner_and_attributes_stay(machine: Machine):
    file = machine.put(FILES["docker"], "{}")
    file.chmod(0o640)
    try:
        os.setxattr(file, "user.kept", b"yes")
        marked = True
    except OSError:  # this file system has none
        marked = False
    if os.geteuid() == 0:
        os.chown(file, 12, 34)
    machine.add("docker")
    found = file.stat()
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert (found.st_uid, found.st_gid) == ((12, 34) if os.geteuid() == 0 else (os.getuid(), os.getgid()))
    assert not marked or os.getxattr(file, "user.kept") == b"yes"
    assert [path.name for path in file.parent.iterdir()] == ["daemon.json"]


def test_new_files_are_for_everybody_to_read(machine: Machine):
    old = os.umask(0o077)
    try:
        machine.add("podman")
    finally:
        os.umask(old)
    file = machine.root / FILES["podman"][1:]
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert {stat.S_IMODE(path.stat().st_mode) for path in list(file.parents)[:3]} == {0o755}


def test_a_link_stays_one(machine: Machine):
    real = machine.put("/etc/docker/real.json", "{}")
    link = machine.root / "etc/docker/daemon.json"
    link.symlink_to("real.json")
    machine.add("docker")
    assert link.is_symlink()
    assert "pyrunc" in real.read_text()


def test_a_link_out_of_destdir_is_refused(machine: Machine, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "daemon.json"
    outside.write_text("{}")
    (machine.root / "etc/docker").mkdir(parents=True)
    (machine.root / "etc/docker/daemon.json").symlink_to(outside)
    with pytest.raises(UsageError, match="leads out of"):
        machine.add("docker")
    assert outside.read_text() == "{}"


def test_a_write_that_fails_leaves_everything(machine: Machine, monkeypatch):
    machine.put(FILES["docker"], TEXT)
    before = machine.files()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        machine.add("docker")
    assert machine.files() == before


@pytest.mark.parametrize("text", [None, "", "{}", "{\n}", TEXT, TEXT.replace("\n", "\r\n")])
def test_the_diff_can_be_applied_and_reversed(machine: Machine, text: str | None):
    """That is why there is no backup: patch(1) understands what was shown."""
    path = "/etc/docker/daemon.json"
    after = docker.add(machine.wanted()).after if not text else text.replace("{", '{"runtimes": {},', 1)
    shown = diff(Edit(path, text, after))
    if subprocess.run(["which", "patch"], capture_output=True, check=False).returncode:
        pytest.skip("patch(1) is not installed")
    file = machine.root / "daemon.json"
    if text is not None:
        file.write_bytes(text.encode())
    argv = ["patch", "--binary", str(file)]
    subprocess.run(argv, input=shown.encode(), check=True, capture_output=True)
    assert file.read_bytes().decode() == after
    subprocess.run([*argv, "-R"], input=shown.encode(), check=True, capture_output=True)
    assert (file.read_bytes().decode() if file.exists() else "") == (text or "")


# The command line


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"name": ""}, 'invalid runtime name ""'),
        ({"name": "a b"}, 'invalid runtime name "a b"'),
        ({"name": "-a"}, 'invalid runtime name "-a"'),
        ({"name": "a.b"}, 'invalid runtime name "a.b"'),
        ({"name": "runc"}, 'engines have a runtime "runc" of their own'),
        ({"path": "pyrunc"}, '--path "pyrunc": expected the absolute path of a program'),
        ({"path": "/a\nb"}, '--path "/a\nb": expected the absolute path of a program'),
        ({"destdir": "x"}, '--destdir "x": expected an absolute path'),
    ],
)
def test_what_cannot_be_registered(wanted: dict, said: str):
    with pytest.raises(UsageError) as caught:
        check(Wanted(**{"name": "pyrunc", "path": PROGRAM, **wanted}))
    assert caught.value.message == said


def run(*argv: object) -> int:
    return main(["install", *map(str, argv)])


@each_engine
def test_dry_run_writes_nothing(machine: Machine, engine: str, capfd):
    options = ["--path", PROGRAM, "--destdir", machine.root]
    assert run(engine, "--dry-run", *options) == 0
    out = capfd.readouterr().out
    assert machine.files() == {}
    assert out.startswith(f"--- /dev/null\n+++ {FILES[engine]}\n@@ ")
    assert out.endswith("\nNothing was written: leave --dry-run out for that.\n")
    assert run(engine, *options) == 0
    done = capfd.readouterr().out
    assert done.startswith(out.partition("\nNothing")[0])
    assert done.endswith(
        f"take back: pyrunc install {engine} --path {PROGRAM} --destdir {machine.root} --remove\n"
        + (f"note:      ctr needs no registration: ctr run --runc-binary {PROGRAM} ...\n" if engine == "containerd" else "")
    )
    assert [line.partition(":")[0] for line in done.split("\n\n")[-1].splitlines()][:3] == ["done", "next", "try it"]
    before = machine.files()
    assert run(engine, *options) == 0
    assert capfd.readouterr().out == f'{ENGINES[engine].title} knows "pyrunc" already: nothing to do\n'
    assert machine.files() == before
    assert run(engine, *options, "--remove", "--dry-run") == 0
    assert machine.files() == before
    assert "\n+++ /dev/null\n" in capfd.readouterr().out
    assert run(engine, *options, "--remove") == 0
    assert f'\ndone:      "pyrunc" is removed from {ENGINES[engine].title}\n' in capfd.readouterr().out
    assert machine.files() == {}
    assert run(engine, *options, "--remove") == 0
    assert capfd.readouterr().out.endswith(f'{ENGINES[engine].title} does not know "pyrunc": nothing to do\n')


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "pyrunc install takes ENGINE: 0 were given (pyrunc install --help)"),
        (["lxd"], 'unknown engine "lxd" (one of containerd, docker, podman, cri-o)'),
        (["docker", "--path", "/absent"], "/absent is not a program (name the program to register by --path)"),
        (["docker", "--remove", "--default"], "--remove takes --default back too (leave --default out)"),
    ],
)
def test_refusals(argv: list[str], said: str, capfd):
    assert run(*argv) == 1
    assert capfd.readouterr().err == f"pyrunc install failed: {said}\n"


SCRIPT = """#!{} -IB
import sys
sys.path.insert(0, {!r})
from pyrunc.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_program_is_named_as_it_was_called(machine: Machine, checkout: Path):
    """A link stays: where it leads to may be another place after an upgrade."""
    program = machine.put("/opt/pyrunc-1.0/pyrunc", SCRIPT.format(sys.executable, str(checkout / "runtime")))
    program.chmod(0o755)
    link = machine.root / "sbin/pyrunc"
    link.parent.mkdir()
    link.symlink_to(program)
    command = ["install", "docker", "--dry-run", "--destdir", str(machine.root)]
    for word, options in (
        (str(link), {}),
        ("./pyrunc", {"cwd": link.parent}),
        ("pyrunc", {"env": {"PATH": f"{link.parent}:{os.environ['PATH']}"}}),
    ):
        done = subprocess.run([word, *command], capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stderr
        assert f'"path": "{link}"' in done.stdout


def test_nothing_else_loads_it(checkout: Path):
    """Neither the table nor another command; and what install itself needs is not loaded by its help."""
    code = "import sys; from pyrunc.cli.main import main; main(['install', '--help']); main(['list']); "
    code += "print([name for name in sys.modules if name.startswith('pyrunc.install') or name == 'tomllib'])"
    found = {"PYTHONPATH": str(checkout / "runtime")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=found)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
