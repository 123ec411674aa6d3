"""A runtime without guards, in small: what each test of an attack has to catch, if it can catch anything.

Each does in the obvious way what pyrunc does with care, on files of the test alone.  `apart` gives it mounts of its own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

APART = ("unshare", "-m", "--propagation", "private", "sh", "-ec")


def apart(script: str, *words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run shell SCRIPT, with WORDS as $1 and so on, in a mount namespace of its own; its mounts end with it."""
    command = [*APART, script, "sh", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


def inside(root: Path, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run WORDS in ROOT, by chroot(2) and nothing else."""
    mounted = 'mount -t proc proc "$1/proc"; exec chroot "$@"'
    return apart(mounted, root, *words, **options)


def make_directory(root: Path, path: str) -> None:
    """Make directory PATH below ROOT: by its name, which leads through whatever is there."""
    os.makedirs(f"{root}{path}", exist_ok=True)


def write(path: Path, text: str) -> None:
    """Write TEXT to PATH, wherever that leads."""
    with open(path, "w") as file:
        file.write(text)


def caught() -> pytest.RaisesContext[AssertionError]:
    """Expect the assertion of a test to fail: the naive way has been found out."""
    return pytest.raises(AssertionError)
