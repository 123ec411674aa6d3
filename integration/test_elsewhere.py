"""The suite itself on an odd machine: another umask, locale and TMPDIR, a shared `/`, a CRIU that is told to log to a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
ODD = {"LC_ALL": "C", "LANG": "tr_TR.UTF-8", "HOME": "/nonexistent"}
# Its peers are its own, not the machine's; what criu reads lies on a tmpfs there.
SCRIPT = """
mount --make-rprivate / && mount --make-rshared / || exit 99
if [ -d /etc/criu ]; then mount -t tmpfs none /etc/criu && echo 'log-file /dev/null' >/etc/criu/default.conf; fi
umask 077
exec "$@"
"""



def suite(tmp_path, *words):
    """Run pytest with WORDS on that machine."""
    odd = tmp_path / "odd dir é"
    odd.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", sys.executable, "-m", "pytest", "-q"]
    environment = {**os.environ, **ODD, "TMPDIR": str(odd)}
    command += ["-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=TOP, env=environment, stdin=-3, capture_output=True, text=True, errors="replace", timeout=300)


@pytest.mark.slow_vm
@pytest.mark.host_only
@pytest.mark.timeout(400)
def test_it_is_collected_and_passes(tmp_path, binary):
    done = suite(tmp_path, "--collect-only", "integration")
    assert done.returncode == 0, done.stdout[-3000:]
    done = suite(tmp_path, "--runtime", binary, "integration/test_lifecycle.py", "-k", "whole_life or delete")
    assert done.returncode == 0, done.stdout[-3000:]
