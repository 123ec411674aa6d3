"""What each command has loaded when it ends, after doing its work on a real container.

tests/test_imports.py says what importing a command loads; here nothing more may come while it works.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.harness.runtime import Runtime
from tests.test_imports import C_MODULES, INTERPRETER, OTHERS, RUNTIME

SPY = f"""#!{INTERPRETER} -IS
import sys
started = set(sys.modules)
sys.path.insert(0, {str(RUNTIME)!r})
sys.path.append(@LIBRARIES@)
from pyrunc.cli.main import main
import posix
me = posix.getpid()
status = main(sys.argv[1:])
if posix.getpid() == me:
    loaded = sorted(name for name in set(sys.modules) - started if name.partition(".")[0] != "pyrunc")
    command = next(word for word in sys.argv[1:] if word in @COMMANDS@)
    with open("@DIRECTORY@/" + command, "a") as file:
        file.write(" ".join(loaded) + "\\n")
posix._exit(status)
"""
COMMANDS = ("create", "start", "state", "exec", "pause", "resume", "kill", "delete", "run")


@pytest.fixture
def spied(tmp_path: Path, binary: str):
    """Return a runtime that writes down what each command has loaded, and where it does."""
    if Path(binary).name != "pyrunc":
        pytest.skip("only pyrunc is written in Python")
    directory = tmp_path / "loaded"
    directory.mkdir()
    libraries = [str(place) for place in Path(binary).parents[1].glob("lib/python3.*/site-packages")]
    text = SPY.replace("@DIRECTORY@", str(directory)).replace("@COMMANDS@", repr(COMMANDS))
    script = tmp_path / "pyrunc"
    script.write_text(text.replace("@LIBRARIES@", repr(libraries[0] if libraries else "")))
    script.chmod(0o755)
    runtime = Runtime(str(script), tmp_path)
    yield runtime, directory
    runtime.close()


def test_nothing_more_is_loaded_at_work(spied, bundle):
    runtime, directory = spied
    made = bundle("sleep", "1000")
    # The first time a seccomp profile is seen, a library compiles it; what counts is the second.
    warm = runtime.create(made)
    runtime("delete", "--force", warm)
    for file in directory.iterdir():
        file.unlink()

    name = runtime.start(made)
    runtime.state(name)
    assert runtime.exec(name, "echo", "hello").stdout == "hello\n"
    runtime("pause", name)
    runtime("resume", name)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    runtime("delete", name)
    assert runtime.output(bundle("echo hello world")) == "hello world\n"

    found = {file.name: set(file.read_text().split()) - C_MODULES - OTHERS for file in directory.iterdir()}
    assert found == {command: set() for command in COMMANDS}
