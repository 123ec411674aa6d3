"""What pyproject.toml cannot say: how bin/pyrunc starts, what of this source is not a module, and of which commit it is.

bin/pyrunc is the native program (native/), or a script that starts the interpreter isolated and without `site` (-I -S):
neither the environment nor the current directory nor a .pth file has a say in what a root process runs, and it saves 2 ms
of each start.  Nor has the locale (-X utf8): names of files are in UTF-8, as config.json is, and finding a locale takes 0.1 ms.

There are three kinds of wheel:

- with the native program: for this version of Python and this kind of machine, as its tag says.  The dump in it is one
  installation's (docs/adr/0003), so it is made for the one that builds it, and not to be handed on as a file.
- with a script, by PYRUNC_NATIVE=0 or where the program cannot be built: for every Python.  Installers write the interpreter
  into the first line of a script, but drop all options there.  So bin/pyrunc is a shell's, and reads it in bin/pyrunc-python.
- an editable one: with a script that runs this directory.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Command, Distribution, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
SCRIPT = "script"  # in the package, and no module of it
OPTIONS = "-ISXutf8"  # one word: the kernel hands over all that follows the interpreter as one
# Python answers ^C while it starts with a traceback of its own: so it starts with that blocked, and is told so.
HOLD, HELD = "--block-signal=INT", "-Xheld"
PYTHON = "pyrunc-python"
FIRST = 5  # the docstring and the statements of script/launcher.py that come before all others
OLDEST = (3, 11)
# Where else than where this Python puts it the package may be, seen from bin/pyrunc; and what else has libraries.
PLACES = ("../lib/python{version}/site-packages", "../lib/python{version}/dist-packages", "..")
SYSTEM = ":".join(
    f"{{prefix}}/{place}"
    for place in ("lib/python{version}/site-packages", "local/lib/python{version}/dist-packages", "lib/python3/dist-packages")
)
SHEBANG_MAX = 127  # Linux before 5.1 cuts a longer first line off; since then at 255


def holder() -> str:
    """Return the path of an env(1) that starts a program with a signal blocked (GNU coreutils 8.31), or nothing."""
    path = shutil.which("env", path="/usr/bin:/bin")
    if path is None or subprocess.run([path, HOLD, "true"], capture_output=True, check=False).returncode:
        return ""
    return path


def shebang(interpreter: str, env: str) -> str:
    """Return the first lines of a script for INTERPRETER, through /bin/sh if the kernel could not read it.

    ENV is what `holder` returned.
    """
    line = f"#!{env} -S {HOLD} {interpreter} {OPTIONS} {HELD}\n" if env else f"#!{interpreter} {OPTIONS}\n"
    if len(os.fsencode(line)) <= SHEBANG_MAX and not set(interpreter) & set(" \t\n\"'$#\\"):
        return line
    if set(interpreter) & set("'\\\n"):
        raise SystemExit(f"setup.py: cannot start an interpreter of this name: {interpreter!r}")
    # To a shell this is an exec; to Python, two string literals side by side.
    words = f"'{env}' {HOLD} '{interpreter}' {OPTIONS} {HELD}" if env else f"'{interpreter}' {OPTIONS}"
    return f"#!/bin/sh\n'''exec' {words} \"$0\" \"$@\"\n' '''\n"


def body(package: str, library: str) -> str:
    """Return bin/pyrunc without its first line: PACKAGE says where pyrunc may be, LIBRARY where what it imports is.

    What is relative in them is so to the script; several places stand between colons.

    What follows the first statements, which are about ^C, is compiled only after these have run: where env(1) cannot block
    it, the interpreter answers with a traceback until then.
    """
    tree = ast.parse((HERE / "script/launcher.py").read_text())
    first, rest = (ast.unparse(part) for part in (tree.body[1:FIRST], tree.body[FIRST:]))  # without docstring and comments
    rest = rest.replace("@PACKAGE@", package).replace("@LIBRARY@", library)
    return f"{first}\nexec({rest!r})\n"


def launcher(interpreter: str, package: str, library: str) -> str:
    """Return bin/pyrunc for INTERPRETER, with what `body` says of PACKAGE and LIBRARY."""
    return shebang(interpreter, holder()) + body(package, library)


def portable(package: str, library: str) -> str:
    """Return bin/pyrunc for a wheel that does not know which Python it will be installed for."""
    head = (HERE / "script/anypython.sh").read_text()
    return head.replace("@OPTIONS@", f"{OPTIONS} {HELD}").replace("@HOLD@", HOLD) + body(package, library)


def places() -> list[str]:
    """Return where, seen from bin/pyrunc, the package may have been put: where this Python would put it, and PLACES."""
    own = os.path.relpath(sysconfig.get_path("platlib"), sysconfig.get_path("scripts"))
    return list(dict.fromkeys((own, *PLACES)))


def system() -> bool:
    """Return whether this Python finds what its system has installed, as all do that are in no virtual environment."""
    if sys.prefix == sys.base_prefix:
        return True
    config = Path(sys.prefix, "pyvenv.cfg")
    lines = config.read_text().splitlines() if config.is_file() else []
    return "include-system-site-packages=true" in [line.replace(" ", "").lower() for line in lines]


def module(path: Path) -> Any:
    """Return the module in file PATH of this source."""
    spec = importlib.util.spec_from_file_location(f"pyrunc_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def native(target: Path, package: Path, script: str) -> bool:
    """Build the native program as TARGET, of PACKAGE; SCRIPT is what it hands over to.  Return whether that can be done here."""
    if os.environ.get("PYRUNC_NATIVE") == "0":
        return False
    build = module(HERE / "native/build.py")
    try:
        build.build(target, os.path.realpath(sys.executable), script, package)
    except build.CannotBuildError as error:
        if os.environ.get("PYRUNC_NATIVE") == "1":
            raise SystemExit(f"pyrunc: cannot build the native program: {error}") from None
        print(f"pyrunc: no native program, which would start faster: {error}", file=sys.stderr)
        return False
    return True


def shared(directory: Path) -> list[tuple[str, list[str]]]:
    """Write manual pages and completion to DIRECTORY; return what goes where below the prefix."""
    pages = module(HERE / "script/manpages.py").write(directory / "man")
    made = module(HERE / "script/completion.py").write(directory)
    made["bash"] = made["bash"].rename(directory / "pyrunc")
    places = {
        "share/man/man8": pages,
        "share/bash-completion/completions": [made["bash"]],
        "share/zsh/site-functions": [made["zsh"]],
        "share/fish/vendor_completions.d": [made["fish"]],
    }
    return [(place, [str(path) for path in paths]) for place, paths in places.items()]


def refuse() -> None:
    """End with the reason if this machine or this Python is none that pyrunc runs on."""
    if sys.platform != "linux":
        raise SystemExit(f"pyrunc: containers are Linux's, and this is {sys.platform}")
    if sys.implementation.name != "cpython":
        raise SystemExit(f"pyrunc: it needs CPython, and this is {sys.implementation.name}")
    if sys.version_info < OLDEST:
        raise SystemExit(f"pyrunc: it needs Python 3.11 or later, and this is {sys.version.split()[0]}")


class BuildScripts(Command):
    """Write bin/pyrunc: the native program (native/), or a script from script/launcher.py where that cannot be built.

    PYRUNC_NATIVE in the environment decides otherwise: 0 for the script, 1 for the native program or none.
    """

    user_options = [("build-dir=", "d", "directory to build to")]  # noqa: RUF012

    def initialize_options(self) -> None:
        """Know nothing yet."""
        self.build_dir = None

    def finalize_options(self) -> None:
        """Take the directory from `build`."""
        self.set_undefined_options("build", ("build_scripts", "build_dir"))

    def run(self) -> None:
        """Write it with its first line and the places of the package and of the library."""
        target = Path(self.build_dir) / "pyrunc"
        target.parent.mkdir(parents=True, exist_ok=True)
        build = self.get_finalized_command("build_py")
        if build.editable_mode:
            scripts = sysconfig.get_path("scripts")
            library = os.path.relpath(sysconfig.get_path("platlib"), scripts)
            library = f"{library}:{SYSTEM}" if system() else library
            # The binary itself, not a virtual environment's link to it: the library is found without that.
            target.write_text(launcher(os.path.realpath(sys.executable), os.path.relpath(HERE / "runtime", scripts), library))
        else:
            version = f"3.{sys.version_info[1]}"
            script = ":".join(f"{place.replace('{version}', version)}/pyrunc/{SCRIPT}" for place in places())
            if not native(target, Path(build.build_lib) / "pyrunc", script):
                target.write_text(portable(":".join(PLACES), SYSTEM))
                python = target.with_name(PYTHON)
                python.write_text((HERE / "script/anypython.py").read_text())
                python.chmod(0o755)
        target.chmod(0o755)

    def get_source_files(self) -> list[str]:
        """Return what the scripts are made of."""
        return ["script/launcher.py", "script/anypython.sh", "script/anypython.py"]


class BuildPy(build_py):
    """Ship spec/schema as pyrunc/schema, the script that the native program hands over to, and the commit."""

    def run(self) -> None:
        """Copy the package, then the rest; an editable install reads the schemas where they are."""
        refuse()
        # What an earlier build left there, a module that is gone by now too, would be shipped.
        shutil.rmtree(Path(self.build_lib) / "pyrunc", ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        built = Path(self.build_lib) / "pyrunc"
        schema = HERE / "spec/schema"
        if not schema.is_dir():
            raise SystemExit(f"pyrunc: this source is not whole: there is no {schema}")
        shutil.copytree(schema, built / "schema", dirs_exist_ok=True)
        if os.environ.get("PYRUNC_NATIVE") != "0":
            (built / SCRIPT).write_text(launcher(os.path.realpath(sys.executable), "..", SYSTEM if system() else ".."))
            (built / SCRIPT).chmod(0o755)
        about = module(HERE / "script/commit.py")
        about.write(built / "commit.py", about.commit())
        self.distribution.data_files = shared(Path(self.get_finalized_command("build").build_base, "shared"))


class Sdist(sdist):
    """The source, with its commit."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy FILES to BASE_DIR, and write the commit there."""
        super().make_release_tree(base_dir, files)
        for directory in (HERE / "examples").glob("*/rootfs"):  # links to directories, which setuptools passes over
            for link in (each for each in directory.rglob("*") if each.is_symlink()):
                copy = Path(base_dir, link.relative_to(HERE))
                copy.unlink(missing_ok=True)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.symlink_to(os.readlink(link))
        about = module(HERE / "script/commit.py")
        about.write(Path(base_dir) / "runtime/pyrunc/commit.py", about.commit())


class AsBuilt(Distribution):
    """A distribution whose wheel is tagged with this version of Python and this kind of machine, unless it is for all."""

    def has_ext_modules(self) -> bool:
        """Return whether bin/pyrunc is, or may be, the native program."""
        return os.environ.get("PYRUNC_NATIVE") != "0"


if __name__ == "__main__":
    setup(
        distclass=AsBuilt,
        scripts=["script/launcher.py"],
        cmdclass={"build_scripts": BuildScripts, "build_py": BuildPy, "sdist": Sdist},
    )
