"""What pyproject.toml cannot say: how bin/pyrunc starts, and that the schemas go into the package.

bin/pyrunc starts the interpreter isolated and without `site` (-I -S): neither the environment nor the
current directory nor a .pth file has a say in what a root process runs, and it saves 2 ms of each start.
Nor has the locale (-X utf8): names of files are in UTF-8, as config.json is, and finding a locale takes 0.1 ms.
Entry points cannot have options, and installers drop those of `#!python`, so the script is written here,
with the path of the interpreter that builds.  The wheel is therefore for that version of Python and that
kind of machine, and its tag says so.
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

from setuptools import Command, Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
SCRIPT = "script"  # in the package, and no module of it
OPTIONS = "-ISXutf8"  # one word: the kernel hands over all that follows the interpreter as one
# Python answers ^C while it starts with a traceback of its own: so it starts with that blocked, and is told so.
HOLD, HELD = "--block-signal=INT", "-Xheld"
FIRST = 5  # the docstring and the statements of script/launcher.py that come before all others
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


def launcher(interpreter: str, package: str, library: str) -> str:
    """Return bin/pyrunc: PACKAGE holds pyrunc, LIBRARY what it imports, both relative to the script.

    What follows the first statements, which are about ^C, is compiled only after these have run: where env(1) cannot block
    it, the interpreter answers with a traceback until then.
    """
    tree = ast.parse((HERE / "script/launcher.py").read_text())
    first, rest = (ast.unparse(part) for part in (tree.body[1:FIRST], tree.body[FIRST:]))  # without docstring and comments
    rest = rest.replace("@PACKAGE@", package).replace("@LIBRARY@", library)
    return f"{shebang(interpreter, holder())}{first}\nexec({rest!r})\n"


def native(target: Path, package: Path, script: str) -> bool:
    """Build the native program as TARGET, of PACKAGE; SCRIPT is what it hands over to.  Return whether that can be done here."""
    if os.environ.get("PYRUNC_NATIVE") == "0":
        return False
    spec = importlib.util.spec_from_file_location("pyrunc_native_build", HERE / "native/build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    try:
        build.build(target, os.path.realpath(sys.executable), script, package)
    except build.CannotBuildError as error:
        if os.environ.get("PYRUNC_NATIVE") == "1":
            raise SystemExit(f"pyrunc: cannot build the native program: {error}") from None
        print(f"pyrunc: no native program, which would start faster: {error}", file=sys.stderr)
        return False
    return True


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
        scripts = sysconfig.get_path("scripts")
        library = os.path.relpath(sysconfig.get_path("platlib"), scripts)
        editable = self.get_finalized_command("build_py").editable_mode
        package = os.path.relpath(HERE / "runtime", scripts) if editable else library
        target = Path(self.build_dir) / "pyrunc"
        target.parent.mkdir(parents=True, exist_ok=True)
        built = Path(self.get_finalized_command("build_py").build_lib) / "pyrunc"
        if not editable and native(target, built, f"{library}/pyrunc/{SCRIPT}"):
            return
        # The binary itself, not a virtual environment's link to it: the library is found without that.
        target.write_text(launcher(os.path.realpath(sys.executable), package, library))
        target.chmod(0o755)

    def get_source_files(self) -> list[str]:
        """Return what the script is made of."""
        return ["script/launcher.py"]


class BuildPy(build_py):
    """Ship spec/schema as pyrunc/schema."""

    def run(self) -> None:
        """Copy the package, then the schemas; an editable install reads them where they are."""
        # What an earlier build left there, a module that is gone by now too, would be shipped.
        shutil.rmtree(Path(self.build_lib) / "pyrunc", ignore_errors=True)
        super().run()
        schema = HERE / "spec/schema"
        if schema.is_dir() and not self.editable_mode:
            shutil.copytree(schema, Path(self.build_lib) / "pyrunc" / "schema", dirs_exist_ok=True)
        if not self.editable_mode:
            # What the native program hands over to: the script, from where the package is.
            script = Path(self.build_lib) / "pyrunc" / SCRIPT
            script.write_text(launcher(os.path.realpath(sys.executable), "..", ".."))
            script.chmod(0o755)


class ForThisPython(Distribution):
    """A distribution whose wheel is tagged with this version of Python and this kind of machine."""

    def has_ext_modules(self) -> bool:
        """Say yes: bin/pyrunc names an interpreter and a versioned directory."""
        return True


if __name__ == "__main__":
    setup(
        distclass=ForThisPython,
        scripts=["script/launcher.py"],
        cmdclass={"build_scripts": BuildScripts, "build_py": BuildPy},
    )
