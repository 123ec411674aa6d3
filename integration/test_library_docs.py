"""What is shown of the library works: the tutorial's blocks in their order, and the examples."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.bundle import make_rootfs
from integration.harness.program import CHECKOUT, Program
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from integration.harness.runtime import Runtime

pytestmark = pytest.mark.pyrunc_only("runc is no library for Python")
EXAMPLES = CHECKOUT / "examples/library"


@pytest.fixture
def program(runtime: Runtime) -> Program:
    return Program(runtime)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a bundle."""
    make_rootfs(tmp_path / "bundle/rootfs")
    return tmp_path


def blocks(document: str) -> list[str]:
    """Return the blocks of Python in a DOCUMENT."""
    return re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / document).read_text(), re.M | re.S)


def left() -> set[str]:
    """Return the containers where the command line keeps its own."""
    root = Path("/run/pyrunc")
    return {each.name for each in root.iterdir()} - {".seccomp"} if root.exists() else set()


@pytest.mark.parametrize("document", ["docs/library.md", "README.md"])
def test_every_block_of_the_tutorial(program: Program, place: Path, document: str):
    before, code = left(), blocks(document)
    assert code
    program("exec(compile(Path(words[0]).read_text(), 'tutorial', 'exec'))", tutorial(place, code), cwd=place)
    assert left() <= before
    assert not (place / "state").exists() or not [each for each in (place / "state").iterdir() if each.name != ".seccomp"]


def tutorial(place: Path, code: list[str]) -> str:
    """Write CODE as one program, and return its path."""
    path = place / "tutorial.py"
    path.write_text("\n".join(code))
    return str(path)


def example(program: Program, name: str, *words: object) -> list[str]:
    """Return the argument vector of example NAME."""
    return [*program.argv, str(EXAMPLES / name), *map(str, words)]


def run(program: Program, argv: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **program.env, **more}
    return subprocess.run(argv, env=env, text=True, capture_output=True, timeout=100, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("words", "status", "log"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\nerr\n"),
        (["/no/such"], 125, ""),
        (["--timeout", "0.5", "sh", "-c", "echo begun; sleep 1000"], 124, "begun\n"),
        (["--memory", "16", "sh", "-c", "x=$(dd if=/dev/zero bs=1M count=100 2>/dev/null | tr '\\0' x); echo too far"], None, ""),
        (["--mount", "@", "sh", "-c", "echo made >artifact; pwd"], 0, "/mnt\n"),
    ],
)  # fmt: skip
def test_a_job(program: Program, place: Path, words: list[str], status: int | None, log: str):
    before = left()
    given = [str(place) if word == "@" else word for word in words]
    at = 2 if given[0].startswith("--") else 0  # where the command begins
    done = run(program, example(program, "ci_job.py", *given[:at], place / "bundle/rootfs", place / "log", *given[at:]))
    assert done.returncode == status if status is not None else done.returncode != 0, done
    assert (place / "log").read_text() == log
    if "@" in words:
        assert (place / "artifact").read_text() == "made\n"
    assert left() <= before


def test_the_supervisor(program: Program, place: Path):
    before = left()
    words = ("steady=sleep 1000", "failing=sh -c 'exit 3'", "absent=/no/such")
    argv = example(program, "supervisor.py", place / "bundle/rootfs", *words)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **program.env}
    supervisor = subprocess.Popen(argv, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert supervisor.stdout is not None
    said = [supervisor.stdout.readline() for _ in range(10)]
    supervisor.send_signal(signal.SIGTERM)
    rest = supervisor.communicate(timeout=60)[0]
    assert supervisor.returncode == 0, rest
    whole = "".join(said) + rest
    assert whole.count("failing: has ended: 3") >= 2, whole
    assert whole.count("steady: runs") == 1, whole
    assert "steady: has ended: -9" in whole, whole
    assert "absent: unable to start" in whole, whole
    wait_for(lambda: left() <= before, "the containers to be removed")


def test_the_fixture(program: Program, place: Path):
    before = left()
    if subprocess.run([*program.argv[:1], "-c", "import pytest"], capture_output=True).returncode:
        beside = Path(shutil.which("pytest") or "/nonexistent").resolve()
        if not beside.exists():
            pytest.skip("there is no pytest beside the runtime")
        installed = subprocess.run([program.argv[0], "-c", "import pyrunc; print(pyrunc.__path__[0])"], text=True,
                                   capture_output=True, env=program.env).stdout.strip()
        path = os.pathsep.join((str(Path(installed).parent), str(Path(pytest.__file__).parents[1])))
    else:
        path = program.env.get("PYTHONPATH", "")
    argv = [program.argv[0], "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(place), "-c", os.devnull,
            str(EXAMPLES / "test_with_a_service.py")]
    done = run(program, argv, ROOTFS=str(place / "bundle/rootfs"), PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert left() <= before
