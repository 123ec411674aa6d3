"""bin/pyrunc as setup.py writes it: found through links, deaf to the environment, and short."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
setuptools = pytest.importorskip("setuptools", reason="setup.py needs it")
HOSTILE = ("os", "json", "posix", "sys", "errno", "encodings", "pyrunc", "sitecustomize", "usercustomize")


@pytest.fixture(scope="module")
def setup_py():
    spec = importlib.util.spec_from_file_location("pyrunc_setup", CHECKOUT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installed(tmp_path: Path, setup_py) -> Path:
    """Return bin/pyrunc in the layout of an installation, with the package linked in."""
    library = tmp_path / "prefix/lib"
    library.mkdir(parents=True)
    (library / "pyrunc").symlink_to(CHECKOUT / "runtime/pyrunc")
    script = tmp_path / "prefix/bin/pyrunc"
    script.parent.mkdir()
    libraries = os.path.relpath(sysconfig.get_path("platlib"), script.parent)
    script.write_text(setup_py.launcher(os.path.realpath(sys.executable), "../lib", libraries))
    script.chmod(0o755)
    return script


def version(command: list[str], **options) -> str:
    command = [*command, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()[0]


def test_links_lead_to_it(installed: Path, tmp_path: Path):
    expected = version([str(installed)])
    assert expected.startswith("pyrunc version ")
    absolute, relative = tmp_path / "absolute", tmp_path / "relative"
    absolute.symlink_to(installed)
    relative.symlink_to("absolute")
    assert version([str(relative)]) == expected
    assert version(["./relative"], cwd=tmp_path) == expected
    assert version(["pyrunc"], env={"PATH": str(installed.parent)}, cwd="/") == expected


def test_a_hostile_directory_and_environment_have_no_say(installed: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    trap.mkdir()
    sprung = tmp_path / "sprung"
    for name in HOSTILE:
        (trap / f"{name}.py").write_text(f"open({str(sprung)!r}, 'a').write({name!r})\n")
    variables = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR")
    environment = dict.fromkeys(variables, str(trap)) | {
        "PYTHONSTARTUP": str(trap / "os.py"),
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error::os.Nothing",
        "PYTHONBREAKPOINT": "os.system",
        "PATH": os.environ["PATH"],
    }
    assert version([str(installed)], cwd=trap, env=environment).startswith("pyrunc version ")
    assert not sprung.exists()


def test_an_interrupt_while_it_starts_ends_it_without_a_word(installed: Path, tmp_path: Path):
    """As it would end a program that has not begun yet; the first start, which compiles all there is, takes longest."""
    package = tmp_path / "prefix/lib/pyrunc"
    package.unlink()
    shutil.copytree(CHECKOUT / "runtime/pyrunc", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__pycache__").mkdir()
    for part in range(1, 9):
        command = [str(installed), "--root", str(tmp_path), "create", "absent"]
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # It has begun to compile when the first module is there, and goes on doing so for long.
        wait_for(lambda part=part, it=started: len(list(package.rglob("*.pyc"))) >= part * 3 or it.poll() is not None)
        started.send_signal(signal.SIGINT)
        said = started.communicate(timeout=60)[0]
        assert (started.returncode, said) == (-signal.SIGINT, b"")
        assert not list(package.rglob("*.image*"))


def test_an_interrupt_at_any_moment_ends_it_without_a_word(installed: Path, tmp_path: Path, setup_py):
    """Also while the interpreter starts, whose own answer would be a traceback."""
    if not setup_py.holder():
        pytest.skip("this env(1) cannot block signals")
    version([str(installed)])  # which leaves it compiled
    chosen = random.Random(7)
    early = 0
    for _ in range(300):
        command = [str(installed), "--root", str(tmp_path), "state", "absent"]
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        end = time.monotonic() + chosen.random() * 0.03
        while time.monotonic() < end:
            pass
        started.send_signal(signal.SIGINT)
        said = started.communicate(timeout=60)[0]
        assert started.returncode in (-signal.SIGINT, 130, 1)
        # An answer may be there already, when the interrupt comes at the very end.
        answered = said.startswith(b"pyrunc state failed: container does not exist (there is no absent ")
        assert answered if started.returncode == 1 else answered or said == b"", said
        early += started.returncode == -signal.SIGINT
    assert early


def test_an_interrupt_that_is_blocked_is_let_in_once_it_starts(installed: Path, setup_py):
    """Nothing of how it was started is left over."""
    if not setup_py.holder():
        pytest.skip("this env(1) cannot block signals")
    look = "import posix; posix.write(2, [each for each in open('/proc/self/status', 'rb') if each.startswith(b'SigBlk')][0])"
    text = installed.read_text().replace("\nexec(", f"\n{look}\nexec(", 1)
    installed.write_text(text)
    done = subprocess.run([str(installed), "--version"], capture_output=True, text=True, check=True)
    assert done.stderr == f"SigBlk:\t{0:016x}\n"


def test_an_interrupt_that_is_ignored_stays_so(installed: Path):
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    started = subprocess.Popen([str(installed), "--version"], stdout=subprocess.PIPE, text=True, preexec_fn=ignore)  # noqa: PLW1509
    while started.poll() is None:
        started.send_signal(signal.SIGINT)
    assert started.returncode == 0
    assert started.stdout.read().startswith("pyrunc version ")


def wait_for(true) -> None:
    """Wait until TRUE() is."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("env", [True, False], ids=["env", "no-env"])
@pytest.mark.parametrize("name", ["plain", "with a space", "x" * 200, 'a"$#'])
def test_an_interpreter_of_any_name(name: str, env: bool, setup_py, tmp_path: Path, monkeypatch):
    """Through a shell where the kernel, or env(1), could not start it."""
    if not env:
        monkeypatch.setattr(setup_py, "holder", str)
    place = tmp_path / name
    place.mkdir()
    interpreter = place / "python3"
    interpreter.symlink_to(os.path.realpath(sys.executable))
    script = tmp_path / "pyrunc"
    package = os.path.relpath(CHECKOUT / "runtime", tmp_path)
    libraries = os.path.relpath(sysconfig.get_path("platlib"), tmp_path)
    script.write_text(setup_py.launcher(str(interpreter), package, libraries))
    script.chmod(0o755)
    if name not in ("plain", 'a"$#'):
        assert script.read_text().startswith("#!/bin/sh\n")
    assert version([str(script)]).startswith("pyrunc version ")


def test_a_name_that_no_shell_line_can_hold_is_refused(setup_py):
    for env in ("", "/usr/bin/env"):
        with pytest.raises(SystemExit, match="cannot start an interpreter of this name"):
            setup_py.shebang("/tmp/it's here/python3", env)
