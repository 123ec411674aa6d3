"""The sdist, and wheels built of it: whole, and good wherever an installer puts them.

Without a network, which integration/test_packages.py has.  So what is installed here lacks the libraries that pyrunc
needs, and does without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

setuptools = pytest.importorskip("setuptools", minversion="77", reason="it builds the packages")
pytest.importorskip("pip", reason="it installs the packages")

CHECKOUT = Path(__file__).parents[1]
MADE = (".git", "__pycache__", "build", "dist", "*.egg-info", ".hypothesis", ".tox", ".venv", ".cache", ".*_cache")  # no source
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
VERSION = f"3.{sys.version_info[1]}"


def files(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_symlink() or not path.is_dir()}


def build(source: Path, what: str, directory: Path, **variables: str) -> Path:
    """Build WHAT of SOURCE as pip does, without a network; return the file."""
    command = [sys.executable, "-c", BUILD, what, str(directory)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, env={**os.environ, **variables})
    if "cannot build the native program: there is no" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return directory / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def source(place: Path) -> Path:
    """Return a copy of the checkout, of a known commit."""
    copy = place / "source"
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=shutil.ignore_patterns(*MADE))
    module = copy / "runtime/pyrunc/commit.py"
    module.write_text(module.read_text().replace('COMMIT = "unknown"', f'COMMIT = "{COMMIT}"'))
    return copy


@pytest.fixture(scope="module")
def unpacked(source: Path, place: Path) -> Path:
    """Return the directory of the unpacked sdist."""
    before = files(source)
    (place / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", build(source, "build_sdist", place), "-C", place / "unpacked"], check=True)
    (found,) = (place / "unpacked").iterdir()
    (found / "before").write_text("\n".join(sorted(before)))
    return found


@pytest.fixture(scope="module")
def portable(unpacked: Path, place: Path) -> Path:
    return build(unpacked, "build_wheel", place, PYRUNC_NATIVE="0")


@pytest.fixture(scope="module")
def native(unpacked: Path, place: Path) -> Path:
    return build(unpacked, "build_wheel", place, PYRUNC_NATIVE="1")


def test_the_sdist_is_all_of_the_checkout(unpacked: Path):
    """So whoever has it can build every package, and run the tests."""
    assert set((unpacked / "before").read_text().splitlines()) - files(unpacked) == set()
    links = [path for path in (unpacked / "examples").rglob("*") if path.is_symlink()]
    assert {str(link.relative_to(unpacked)): os.readlink(link) for link in links} == {
        str(link.relative_to(CHECKOUT)): os.readlink(link) for link in (CHECKOUT / "examples").rglob("*") if link.is_symlink()
    }


def test_a_source_that_is_not_whole_is_refused(unpacked: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(unpacked, copy, symlinks=True)
    shutil.rmtree(copy / "spec")
    done = subprocess.run([sys.executable, "-c", BUILD, "build_wheel", str(tmp_path)], cwd=copy, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1] == f"pyrunc: this source is not whole: there is no {copy}/spec/schema"


def test_what_the_tags_say(portable: Path, native: Path):
    """One for everybody, which has nothing of the builder's; one for this version of Python on this kind of machine."""
    assert portable.name.endswith("-py3-none-any.whl")
    tag = f"cp3{sys.version_info[1]}"
    assert native.name.endswith(f"-{tag}-{tag}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}.whl")
    with zipfile.ZipFile(portable) as archive:
        for name in archive.namelist():
            assert os.path.realpath(sys.executable).encode() not in archive.read(name), name
    modules = {str(path.relative_to(CHECKOUT / "runtime")) for path in (CHECKOUT / "runtime/pyrunc").rglob("*.py")}
    schemas = CHECKOUT / "spec/schema"
    modules |= {f"pyrunc/schema/{path.relative_to(schemas)}" for path in schemas.rglob("*.json")}
    shared = {"man/man8/pyrunc.8", "man/man8/pyrunc-run.8", "bash-completion/completions/pyrunc", "zsh/site-functions/_pyrunc"}
    shared |= {"fish/vendor_completions.d/pyrunc.fish"}
    for wheel in (portable, native):
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        assert modules - names == set()
        assert {f"pyrunc-0.1.0.data/data/share/{name}" for name in shared} <= names


def pip(*words: object, **variables: str) -> None:
    command = [sys.executable, "-m", "pip", "-q", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr


def in_environment(wheel: Path, place: Path) -> Path:
    """Install WHEEL in a virtual environment, whose name no first line can hold."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    pip("--python", place / "bin/python", "install", "--no-deps", "--no-index", wheel)
    return place / "bin/pyrunc"


def by_target(wheel: Path, place: Path) -> Path:
    pip("install", "--no-deps", "--no-index", "--target", place, wheel)
    return place / "bin/pyrunc"


def by_prefix(wheel: Path, place: Path) -> Path:
    pip("install", "--no-deps", "--no-index", "--ignore-installed", "--prefix", place, wheel)
    (found,) = [path for path in place.rglob("bin/pyrunc") if path.is_file()]
    return found


def by_user(wheel: Path, place: Path) -> Path:
    """Install it for a user, with the Python that is in no virtual environment."""
    python = os.path.realpath(sys.executable)
    words = ["install", "-q", "--user", "--no-deps", "--no-index", "--ignore-installed", wheel]
    environment = {**os.environ, "PYTHONUSERBASE": str(place), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    done = subprocess.run([python, "-m", "pip", *words], capture_output=True, text=True, env=environment)
    if "No module named pip" in done.stderr:
        pytest.skip(f"{python} has no pip")
    assert done.returncode == 0, done.stderr
    return place / "bin/pyrunc"


WAYS = [(kind, each, "plain") for kind in ("portable", "native") for each in (in_environment, by_target, by_user)]
WAYS += [("portable", by_prefix, "plain"), ("portable", in_environment, "with a space"), ("portable", in_environment, "x" * 150)]


@pytest.mark.parametrize(("kind", "install", "name"), WAYS, ids=[f"{kind}-{each.__name__}-{n[:5]}" for kind, each, n in WAYS])
def test_it_runs_where_it_is_installed(kind: str, install, name: str, request: pytest.FixtureRequest, tmp_path: Path):
    program = install(request.getfixturevalue(kind), tmp_path / name)
    assert (program.read_bytes()[:4] == b"\x7fELF") is (kind == "native")
    link = tmp_path / "link"
    link.symlink_to(program)
    for start in (program, link):
        done = subprocess.run([start, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[1] == f"commit: {COMMIT}"
        assert done.stdout.splitlines()[3].startswith(f"python: {VERSION}.")
        done = subprocess.run([start, "check", "--help"], capture_output=True, text=True)  # of the native one, by the script
        assert (done.returncode, done.stderr) == (0, "")
        done = subprocess.run([start, "--root", tmp_path, "state", "absent"], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("pyrunc state failed: container does not exist")
        subprocess.run([start, "spec"], cwd=tmp_path, check=True)
        (tmp_path / "config.json").unlink()


def test_the_script_runs_by_the_environment_that_it_is_in(native: Path, tmp_path: Path):
    """A wheel of pip's cache may be built by another interpreter of this version, which need not be there any more."""
    program = in_environment(native, tmp_path / "env")
    data = program.read_bytes()
    built_by = os.path.realpath(sys.executable).encode()
    assert data.count(built_by + b"\0") >= 1
    program.write_bytes(data.replace(built_by + b"\0", b"/nonexistent".ljust(len(built_by), b"x") + b"\0"))
    done = subprocess.run([program, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def environment(portable: Path, place: Path) -> Path:
    """Return a virtual environment with the portable wheel in it."""
    return in_environment(portable, place / "env").parents[1]


def test_without_its_package_it_says_so(environment: Path, tmp_path: Path):
    program = environment / "bin/pyrunc"
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("pyrunc", "pyrunc-python"):
        shutil.copy(program.with_name(name), moved)
    done = subprocess.run([moved / "pyrunc", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"pyrunc: {moved}/pyrunc has been moved away from its package: install it again\n"
    (moved / "pyrunc-python").write_text("#!/nonexistent/python3\n")
    done = subprocess.run([moved / "pyrunc", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pyrunc: there is no /nonexistent/python3, which it was installed for: install it again\n"


def test_neither_path_nor_python_s_variables_have_a_say(environment: Path, tmp_path: Path):
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.mkdir()
    for name in ("env", "readlink", "true", "sh", "python3", "pyrunc-python"):
        (trap / name).write_text(f"#!/bin/sh\necho {name} >>{sprung}\n")
        (trap / name).chmod(0o755)
    for name in ("posix", "sitecustomize", "pyrunc"):
        (trap / f"{name}.py").write_text(f"open({str(sprung)!r}, 'a').write({name!r})\n")
    link = tmp_path / "link"
    link.symlink_to(environment / "bin/pyrunc")
    variables = dict.fromkeys(("PATH", "PYTHONPATH", "PYTHONHOME"), str(trap))
    variables |= dict.fromkeys(("ENV", "BASH_ENV"), str(trap / "sh"))
    done = subprocess.run([link, "--version"], capture_output=True, text=True, env=variables, cwd=trap)
    assert (done.returncode, done.stderr) == (0, "")
    assert not sprung.exists()


FIRST = {
    "short": "#!{0}\n#\n",
    "long": "#!/bin/sh\n'''exec' {0} \"$0\" \"$@\"\n' '''\n",
    "double": "#!/bin/sh\n'''exec' \"{0}\" \"$0\" \"$@\"\n' '''\n",
    "single": "#!/bin/sh\n'''exec' '{0}' \"$0\" \"$@\"\n' '''\n",
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_each_way_that_installers_write_an_interpreter(first: str, environment: Path, tmp_path: Path):
    program = tmp_path / "env/bin/pyrunc"
    shutil.copytree(environment, tmp_path / "env", symlinks=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(os.path.realpath(sys.executable))
    program.with_name("python3").unlink()
    program.with_name("pyrunc-python").write_text(first.format(elsewhere))
    for directory, start in (("/", program), (tmp_path / "env", "bin/pyrunc"), (tmp_path / "env/bin", "./pyrunc")):
        done = subprocess.run([start, "--version"], capture_output=True, text=True, cwd=directory)
        assert (done.returncode, done.stderr) == (0, "")


def test_as_a_module():
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "runtime")}
    command = [sys.executable, "-m", "pyrunc"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pyrunc version ")
    done = subprocess.run([*command, "start", "absent"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("pyrunc start failed: container does not exist")


def test_the_commit_is_that_of_the_checkout(tmp_path: Path):
    """With -dirty as long as a file is another than in it."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    (tmp_path / "script").mkdir()
    (tmp_path / "runtime/pyrunc").mkdir(parents=True)
    for name in ("script/commit.py", "runtime/pyrunc/commit.py"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    (tmp_path / "runtime/pyrunc/commit.py").write_text('COMMIT = "unknown"\n')

    def git(*words: str) -> str:
        command = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def found() -> str:
        command = [sys.executable, tmp_path / "script/commit.py"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert found() == "unknown"
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    assert found() == git("rev-parse", "HEAD")
    module = tmp_path / "runtime/pyrunc/commit.py"
    module.write_text(module.read_text() + "# changed\n")
    assert found() == git("rev-parse", "HEAD") + "-dirty"
    subprocess.run([sys.executable, tmp_path / "script/commit.py", module], check=True)
    assert module.read_text() == f'COMMIT = "{git("rev-parse", "HEAD")}-dirty"\n# changed\n'
