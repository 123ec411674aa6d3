"""What pyproject.toml cannot say: how bin/pyrunc starts, and that the schemas go into the package.

bin/pyrunc starts the interpreter isolated and without `site` (-I -S): neither the environment, the current
directory nor a .pth file has a say in what a root process runs, and it saves 3 of 9 ms.  Entry points cannot have
options, and installers drop those of `#!python`, so the script is written here, with the path of the interpreter
that builds.  The wheel is therefore of that Python version and of this machine only, and its tag says so.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py
from distutils.command.build_scripts import build_scripts  # isort: skip  # setuptools provides distutils

HERE = Path(__file__).resolve().parent
SHEBANG_MAX = 127  # Linux before 5.1 cuts a longer first line off; since then at 255


def shebang(interpreter: str) -> str:
    """Return the first lines of a script for INTERPRETER, by way of /bin/sh where the kernel could not read it."""
    line = f"#!{interpreter} -IS\n"
    if len(line) <= SHEBANG_MAX and not set(interpreter) & set(" \t"):
        return line
    quoted = interpreter.replace("'", "'\"'\"'")
    if "\\" in quoted or "'" in interpreter or "\n" in interpreter:
        raise SystemExit(f"setup.py: cannot start an interpreter of this name: {interpreter!r}")
    # To a shell this is an exec; to Python, two string literals side by side.
    return f"#!/bin/sh\n'''exec' '{quoted}' -IS \"$0\" \"$@\"\n' '''\n"


def library(editable: bool) -> str:
    """Return where the package is installed, seen from the directory of the script."""
    if editable:
        return os.path.relpath(HERE / "runtime", sysconfig.get_path("scripts"))
    return os.path.relpath(sysconfig.get_path("platlib"), sysconfig.get_path("scripts"))


class BuildScripts(build_scripts):
    """Write bin/pyrunc from script/launcher.py."""

    def run(self) -> None:
        """Write it with its shebang and the place of the package."""
        editable = self.get_finalized_command("build_py").editable_mode
        # The binary itself, not a virtual environment's link to it: the library is found from the script.
        head = shebang(os.path.realpath(sys.executable))
        source = (HERE / "script/launcher.py").read_text()
        code = [line.partition("  #")[0] for line in source.splitlines() if not line.startswith("#")]
        body = "\n".join(code) + "\n"
        target = Path(self.build_dir) / "pyrunc"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(head + body.replace("@LIBRARY@", library(editable)))
        target.chmod(0o755)


class BuildPy(build_py):
    """Ship spec/schema as pyrunc/schema."""

    def run(self) -> None:
        """Copy the package, then the schemas; an editable install reads the schemas where they are."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "pyrunc" / "schema"
            shutil.copytree(HERE / "spec/schema", target, dirs_exist_ok=True)


class ForThisPython(Distribution):
    """A distribution whose wheel is tagged with this version of Python and this kind of machine."""

    def has_ext_modules(self) -> bool:
        """Say yes: bin/pyrunc names an interpreter and a versioned directory."""
        return True


setup(
    distclass=ForThisPython,
    scripts=["script/launcher.py"],
    cmdclass={"build_scripts": BuildScripts, "build_py": BuildPy},
)
