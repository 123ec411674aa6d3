#!/usr/bin/env python3
"""Lay pyrunc out below a directory as a distribution's package has it: debian/rules calls this, with the system's Python.

layout.py DESTDIR

/usr/lib/pyrunc/pyrunc      the package, and the script that bin/pyrunc hands over to
/usr/lib/pyrunc/native      what a dump is made of: everything that needs a compiler
/usr/lib/pyrunc/bin         empty: debian/pyrunc.postinst makes `pyrunc` in it, as the dump has a hash seed that no other
                            installation has (docs/adr/0003)
/usr/sbin/pyrunc            a link to that
/usr/share                  manual pages, and completion for bash, zsh and fish
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/pyrunc",
    "zsh": "usr/share/zsh/vendor-completions/_pyrunc",
    "fish": "usr/share/fish/vendor_completions.d/pyrunc.fish",
}


def module(path: Path) -> Any:
    """Return the module in file PATH."""
    spec = importlib.util.spec_from_file_location(f"pyrunc_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def main(destdir: Path) -> None:
    """Make all of it below DESTDIR."""
    os.umask(0o022)
    sys.dont_write_bytecode = True
    setup, commit = module(TOP / "setup.py"), module(TOP / "script/commit.py")
    library = destdir / "usr/lib/pyrunc"
    package, parts = library / "pyrunc", library / "native"
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOP / "runtime/pyrunc", package, ignore=no_caches)
    shutil.copytree(TOP / "spec/schema", package / "schema", ignore=no_caches)
    commit.write(package / "commit.py", commit.commit())
    script = package / setup.SCRIPT
    script.write_text(setup.launcher(PYTHON, "..", setup.SYSTEM))
    script.chmod(0o755)
    parts.mkdir()
    (library / "bin").mkdir()
    command = [sys.executable, "-ISXutf8", str(TOP / "native/build.py"), "--parts", str(parts), str(package)]
    subprocess.run(command, check=True)
    shutil.copy(TOP / "native/build.py", parts)
    for cache in library.rglob("__pycache__"):
        shutil.rmtree(cache)
    link = destdir / "usr/sbin/pyrunc"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../lib/pyrunc/bin/pyrunc")
    module(TOP / "script/manpages.py").write(destdir / "usr/share/man/man8")
    made = module(TOP / "script/completion.py").write(destdir / "made")
    for shell, place in COMPLETIONS.items():
        (destdir / place).parent.mkdir(parents=True)
        made[shell].rename(destdir / place)
    (destdir / "made").rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
