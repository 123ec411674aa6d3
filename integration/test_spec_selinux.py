"""SELinux labels on a kernel without SELinux: nobody could honour them (config.md, config-linux.md "Mount Label")."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.looking import refused

pytestmark = [
    pytest.mark.pyrunc_only("1.1 goes on without the label"),
    pytest.mark.skipif(" - selinuxfs " in Path("/proc/self/mountinfo").read_text(), reason="this kernel has SELinux"),
]
LABEL = "system_u:system_r:container_t:s0:c1,c2"


@pytest.mark.parametrize("pointer", ["/process/selinuxLabel", "/linux/mountLabel"])
def test_without_selinux_labels_are_refused(runtime, bundle, pointer):
    b = bundle("true")
    _, part, field = pointer.split("/")
    b.config[part][field] = LABEL
    refused(runtime, b, f"(at {pointer}")


def test_of_a_process_that_exec_adds(runtime, bundle, tmp_path):
    b = bundle()
    name = runtime.start(b)
    (tmp_path / "process.json").write_text(json.dumps({**b.process, "args": ["true"], "selinuxLabel": LABEL}))
    done = runtime("exec", "--process", str(tmp_path / "process.json"), name, check=False)
    assert done.returncode == 255
    assert "/selinuxLabel" in done.stderr
