"""Whether CRIU, which saves containers and brings them back, works on this machine."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest


@functools.cache
def complaint() -> str:
    """Return what criu has against this machine, "" if nothing."""
    if shutil.which("criu") is None:
        return "criu is not installed"
    done = subprocess.run(["criu", "check"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"criu check fails here: {done.stderr.strip().splitlines()[-1]}"


works = pytest.mark.skipif(bool(complaint()), reason=complaint() or "-")
