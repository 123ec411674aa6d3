"""bin/pyrunc as setup.py writes it: found through links, deaf to the environment, and short."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
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


@pytest.mark.parametrize("name", ["with a space", "x" * 200])
def test_an_interpreter_that_the_kernel_cannot_start(name: str, setup_py, tmp_path: Path):
    place = tmp_path / name
    place.mkdir()
    interpreter = place / "python3"
    interpreter.symlink_to(os.path.realpath(sys.executable))
    script = tmp_path / "pyrunc"
    package = os.path.relpath(CHECKOUT / "runtime", tmp_path)
    libraries = os.path.relpath(sysconfig.get_path("platlib"), tmp_path)
    script.write_text(setup_py.launcher(str(interpreter), package, libraries))
    script.chmod(0o755)
    assert script.read_text().startswith("#!/bin/sh\n")
    assert version([str(script)]).startswith("pyrunc version ")


def test_a_name_that_no_shell_line_can_hold_is_refused(setup_py):
    with pytest.raises(SystemExit, match="cannot start an interpreter of this name"):
        setup_py.shebang("/tmp/it's here/python3")
