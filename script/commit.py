#!/usr/bin/env python3
"""Print the commit of this source, with -dirty behind it where a file has been changed since; or write the module that holds it.

commit.py [MODULE]      MODULE: a copy of pyrunc/commit.py to write it into

A source without git's directory, such as an sdist, has it written in runtime/pyrunc/commit.py already.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
MODULE = TOP / "runtime/pyrunc/commit.py"
LINE = re.compile(r'^COMMIT = "([^"]*)".*$', re.MULTILINE)


def git(*words: str) -> str:
    """Return what git says, in one line; raises OSError or CalledProcessError."""
    command = ["git", "-C", str(TOP), *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout.strip()


def commit() -> str:
    """Return the commit."""
    written = LINE.search(MODULE.read_text())
    if (TOP / ".git").exists():
        try:
            changed = git("status", "--porcelain", "--untracked-files=no")
            return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
        except (OSError, subprocess.CalledProcessError):  # no git, or a directory that is another user's
            pass
    return written[1] if written else "unknown"


def write(module: Path, found: str) -> None:
    """Let MODULE, a copy of pyrunc/commit.py, hold commit FOUND."""
    text = LINE.sub(f'COMMIT = "{found}"', module.read_text())
    module.unlink()  # it may be a hard link to the source
    module.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]), commit())
    else:
        print(commit())
