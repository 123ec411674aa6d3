"""What is in the native program's dump depends on no machine: all that its modules hold is the same, wherever it was made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.test_native import BUILD, CHECKOUT, PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator

# What takes the place of the command line: it tells all that can be reached from the modules, sets in an order of their own.
TELL = '''

def _tell(argv, main=main):
    """Print each value that a module holds, with the way to it."""
    if argv != ["--globals"]:
        return main(argv)
    seen = {}
    lines = []

    def inside(value):
        if isinstance(value, dict):
            return [(f"[{key!r}]", item) for key, item in value.items()]
        if isinstance(value, (list, tuple)):
            return [(f"[{index}]", item) for index, item in enumerate(value)]
        if isinstance(value, (set, frozenset)):
            return [(f"<{index}>", item) for index, item in enumerate(sorted(value, key=repr))]
        found = [(f".{name}", getattr(value, name, None)) for name in ("__defaults__", "__kwdefaults__", "__func__", "__self__")]
        cells = getattr(value, "__closure__", None)
        for index, cell in enumerate(cells if isinstance(cells, tuple) else ()):
            found.append((f".cell{index}", cell.cell_contents))
        if isinstance(value, type) or hasattr(value, "__dict__"):
            kept = sorted(value.__dict__.items(), key=lambda item: str(item[0]))
            found += [(f".{name}", item) for name, item in kept if name not in SKIPPED]
        return found

    def walk(way, value):
        if isinstance(value, (str, bytes, int, float, complex, type(None), type(...))):
            lines.append(f"{way} = {value!r}")
        elif isinstance(value, type(sys)) and way != value.__name__:
            lines.append(f"{way}: module {value.__name__}")
        elif id(value) not in seen:
            seen[id(value)] = value
            lines.append(f"{way}: {type(value).__name__}")
            for name, item in inside(value):
                walk(way + name, item)

    SKIPPED = ("__builtins__", "__dict__", "__weakref__", "__doc__")
    sys.argv = []  # as it was when the dump was made: what it holds now is this start's
    for name, module in sorted(sys.modules.items()):
        walk(name, module)
    posix.write(1, "\\n".join(lines).encode("utf-8", "surrogateescape") + b"\\n")
    return 0


main = _tell
'''
# What would be wrong: values of the machine's in every place that one can hide in.
CANARY = """


import posix as _posix

class _Canary:
    held = {"here": [(frozenset((_posix.uname().release,)),)]}

    def first(self, which=_posix.uname().release): ...

    @staticmethod
    def second(*, which=_posix.uname().release.encode()): ...

_Canary.third = (lambda release: lambda: release)(_posix.uname().release)
_Canary.fifth = _Canary()
_Canary.fifth.sixth = [_Canary.fifth, _posix.uname().release].pop
"""
CANARIES = 5
STRANGE = {
    "HOME": "/nowhere", "LANG": "de_DE.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "XDG_RUNTIME_DIR": "/run/elsewhere",
    "PYTHONHASHSEED": "1", "PYTHONUTF8": "0", "PYTHONOPTIMIZE": "2", "SOURCE_DATE_EPOCH": "1",
}  # fmt: skip
# As root: on a machine of another name and time zone, by another user, in namespaces of its own.  Then, and for everybody: on a
# kernel of another version, on one processor, with other limits and mask, signals that are ignored, and without standard input.
ELSEWHERE = """
mount -t tmpfs none /run && hostname elsewhere || exit 99
mount --bind /usr/share/zoneinfo/Asia/Tokyo "$(realpath /etc/localtime)" || exit 99
exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
"""
OTHERWISE = """
trap '' INT HUP USR1 PIPE TERM CHLD
umask 077; ulimit -n 100 -s 4096; cd /tmp
exec setarch "$(uname -m)" --uname-2.6 --addr-no-randomize taskset -c 0 nice -n 5 "$@" <&- 3<&-
"""


def build(package: Path, made: Path, *before: str, env: dict[str, str]) -> None:
    """Build a program of PACKAGE as MADE, by a command that begins with the words BEFORE."""
    command = [PYTHON, "-I", str(BUILD), str(made), os.path.realpath(PYTHON), "script", str(package)]
    done = subprocess.run([*before, *command], capture_output=True, text=True, env={"PATH": os.environ["PATH"], **env})
    if done.returncode and "native/build.py: there is no" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def package() -> Iterator[Path]:
    """Return a copy of the package that tells what it holds, where every user may read it, unlike where pytest has its own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        copy = directory / "pyrunc"
        shutil.copytree(CHECKOUT / "runtime/pyrunc", copy, ignore=shutil.ignore_patterns("__pycache__"))
        for each, text in (("cli/main.py", TELL), ("log.py", CANARY)):
            with (copy / each).open("a") as file:
                file.write(text)
        yield copy


def told(program: Path) -> list[str]:
    """Return what PROGRAM holds, which tells it here and now."""
    done = subprocess.run([program, "--globals"], capture_output=True, text=True, env={}, cwd="/", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def here(package: Path) -> list[str]:
    build(package, package.parent / "here", env={})
    return told(package.parent / "here")


def test_what_modules_hold_is_told(here: list[str]):
    """Numbers, texts, what classes and closures hold: a value of a module's, whatever it is in, has its line."""
    text = "\n".join(here)
    assert len(here) > 10_000
    assert "pyrunc.container.options.DEFAULT_ROOT = '/run/pyrunc'" in text
    for each in (".CreateOptions._defaults['pid_file'] = ''\n", ".NR['mount'] = ", "\nposix.O_CLOEXEC = "):
        assert each in text


def test_what_modules_hold_depends_on_nothing_where_it_was_made(package: Path, here: list[str]):
    made = package.parent / "elsewhere"
    made.mkdir(mode=0o777)
    made.chmod(0o777)
    before = ["sh", "-c", OTHERWISE, "sh"]
    apart = ["unshare", "-muipn", "--fork", "--propagation", "private"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode == 0:  # root, and not in a chroot
        before = [*apart, "sh", "-c", ELSEWHERE, "sh", *before]
    build(package, made / "pyrunc", *before, env=STRANGE)
    there = told(made / "pyrunc")
    assert len(there) == len(here)
    different = {one for one, other in zip(there, here, strict=True) if one != other}
    found = {line for line in different if "._Canary." in line}
    assert different - found == set()
    assert len(found) == CANARIES, found
