"""The modules here can fail: each must, with a runtime that does something wrong.

One fault for each engine, as it takes long until each is noticed; all of them with PYRUNC_EVERY_FAULT=1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.harness import leaks

HERE = Path(__file__).parent
ABOUT_ENGINES = {Path(__file__).name, "test_install.py"}  # not about what a runtime does
MODULES = sorted({path.name for path in HERE.glob("test_*.py")} - ABOUT_ENGINES)
# Each is the real runtime, but for one command.
FAULTS = {
    "start": "exit 0",  # says that it started, and did not
    "exec": "exit 1",
    "kill": "exit 0",
    "create": "exit 1",
    "delete": "exit 0",
}
USUAL = ("exec", "start", "kill")
USED = {  # by those that use no others
    "test_buildah.py": ("delete", "start", "create"),
    "test_containerd_network.py": ("kill", "start", "create"),
    **{f"test_containerd_{subject}.py": ("start", "create") for subject in ("files", "rights")},
    **{f"test_docker_{subject}.py": ("start", "create") for subject in ("files", "networks", "rights")},
}
CASES = [(module, command) for module in MODULES for command in USED.get(module, USUAL)]
if "PYRUNC_EVERY_FAULT" not in os.environ:
    CASES = [(module, USED.get(module, USUAL)[0]) for module in MODULES if module.count("_") == 1]
WRAPPER = """#!/bin/sh
for word; do
    [ "$word" = {command} ] && {{ {fault}; }}
done
exec {real} "$@"
"""


@pytest.mark.parametrize(("module", "command"), CASES)
@pytest.mark.slow_vm
@pytest.mark.timeout(600)  # an engine tries for long, a busy machine lets it, and the last test may be the one that notices
def test_a_broken_runtime_is_noticed(module, command, binary, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text(WRAPPER.format(command=command, fault=FAULTS[command], real=binary))
    broken.chmod(0o755)
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "60", "--runtime", str(broken)]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*argv, str(HERE / module)], cwd=HERE.parents[1], **options) as running:
        try:
            out = running.communicate()[0]
        finally:
            running.kill()
            leaks.sweep(f"pyrunctest{running.pid}n")  # what such a runtime leaves
    last = out.strip().splitlines()[-1]
    if "not installed" in out or (running.returncode == 0 and "passed" not in last):
        pytest.skip(last)  # nothing of it is for this machine
    assert running.returncode == 1, f"{module} did not notice a runtime whose {command} is broken:\n{out[-2000:]}"
