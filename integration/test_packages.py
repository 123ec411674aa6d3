"""Packages as a user installs them, from a network, each with a container that runs by it.

They take minutes, so a run of all tests leaves them out: PYRUNC_EVERY_PACKAGE=1 has them. tests/test_packages.py is what can be said
about packages without a network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
SCRIPT = Path(__file__).parent / "harness/bare-debian.sh"
HELLO = TOP / "examples/hello"
DEBIAN = "/usr/bin/python3"
SUITES = ("bookworm", "trixie")

pytestmark = [
    pytest.mark.host_only,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("PYRUNC_EVERY_PACKAGE") != "1", reason="takes minutes and a network: PYRUNC_EVERY_PACKAGE=1"),
]


def pythons() -> list[str]:
    """Return the Pythons of this machine that pyrunc is for: Debian's, and those of pyenv."""
    found = [DEBIAN, *map(str, sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3")))]
    question = "import sys; sys.exit(sys.version_info < (3, 11))"
    return [each for each in found if Path(each).exists() and subprocess.run([each, "-c", question], check=False).returncode == 0]


def run(*command: object, **options) -> str:
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=os.environ.get("PYRUNC_TOOLS", ""))
    if found is None:
        pytest.skip(f"there is no {name} here: put it on $PATH, or its directory into PYRUNC_TOOLS")
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sdist, built as `python -m build` does."""
    directory = tmp_path_factory.mktemp("sdist")
    run(DEBIAN, "-m", "venv", directory / "env")
    run(directory / "env/bin/pip", "install", "-q", "build")
    run(directory / "env/bin/python", "-m", "build", "-q", "--sdist", "-o", directory, TOP)
    (found,) = directory.glob("*.tar.gz")
    return found


def pip(python: str, source: Path, place: Path) -> Path:
    run(python, "-m", "venv", place)
    run(place / "bin/pip", "install", "-q", source)
    return place / "bin/pyrunc"


def target(python: str, source: Path, place: Path) -> Path:
    run(python, "-m", "pip", "install", "-q", "--target", place, source)
    return place / "bin/pyrunc"


def user(python: str, source: Path, place: Path) -> Path:
    variables = {**os.environ, "PYTHONUSERBASE": str(place), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    run(python, "-m", "pip", "install", "-q", "--user", source, env=variables)
    return place / "bin/pyrunc"


def pipx(python: str, source: Path, place: Path) -> Path:
    variables = {**os.environ, "PIPX_HOME": str(place), "PIPX_BIN_DIR": str(place / "bin")}
    run(tool("pipx"), "install", "--python", python, source, env=variables)
    return place / "bin/pyrunc"


def uv(python: str, source: Path, place: Path) -> Path:
    variables = {**os.environ, "UV_TOOL_DIR": str(place), "UV_TOOL_BIN_DIR": str(place / "bin")}
    run(tool("uv"), "tool", "install", "--python", python, source, env=variables)
    return place / "bin/pyrunc"


@pytest.mark.parametrize("form", ["native", "script"])
@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("install", [pip, target, user, pipx, uv])
def test_a_container_runs_by_it(install, python: str, form: str, sdist: Path, tmp_path: Path, monkeypatch, bundle):
    """By the native program where it can be built, which is with Debian's Python; and by the script."""
    if form == "native" and python != DEBIAN:
        pytest.skip("its static library lacks modules: only the script")
    monkeypatch.setenv("PYRUNC_NATIVE", "1" if form == "native" else "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")  # which has what was built of this sdist before, whatever that variable said then
    program = install(python, sdist, tmp_path / "place")
    assert (program.read_bytes()[:4] == b"\x7fELF") is (form == "native")
    root = ("--root", tmp_path / "state")
    assert "hello from a container" in run(program, *root, "run", "--bundle", HELLO, f"pyrunc-test-{os.getpid()}")
    b = bundle("true")
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
    b.save()
    run(program, *root, "run", "--bundle", b.path, f"pyrunc-test-{os.getpid()}")  # libseccomp is found
    b.config["hostname"] = b.process["args"] = 4
    b.save()
    done = subprocess.run([program, "check", "--json", b.path], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert {"/hostname", "/process/args"} <= {each["pointer"] for each in found["violations"]}  # jsonschema and the schemas are


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a release of the commit that is checked out, made twice, of equal bytes."""
    if run("git", "-C", TOP, "status", "--porcelain"):
        pytest.skip("a release is of a commit: commit first")
    made = tmp_path_factory.mktemp("released")
    for name in ("one", "two"):
        run(sys.executable, TOP / "script/release", made / name)
    run("diff", "-r", made / "one", made / "two")
    return made / "one"


def test_a_release_is_the_same_bytes_each_time(released: Path):
    names = {path.name for path in released.iterdir()}
    assert {"SHA256SUMS", "pyrunc-0.1.0.tar.gz", "pyrunc-0.1.0-py3-none-any.whl", "pyrunc-0.1.0.cdx.json"} <= names
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=released)
    bill = json.loads((released / "pyrunc-0.1.0.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"jeepney", "jsonschema", "psutil", "pyseccomp"} <= {each["name"] for each in bill["components"]}
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == ("pyrunc", "0.1.0")
    if list(released.glob("*.deb")):
        assert {"glibc"} <= {each["name"] for each in bill["components"]}


@pytest.mark.parametrize("suite", SUITES)
def test_the_debian_package_on_a_bare_machine(suite: str, released: Path, tmp_path: Path):
    """It is installed, makes a container, is updated below one that runs, and leaves nothing when it is purged."""
    packages = list(released.glob("*.deb"))
    if not packages:
        pytest.skip("script/release has made no .deb: it needs dpkg-buildpackage, and what debian/control names")
    run("unshare", "--mount", "--propagation", "private", "sh", SCRIPT, tool("debootstrap"), suite, tmp_path / "root", packages[0], HELLO)
