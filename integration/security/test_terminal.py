"""The container's terminal (CVE-2025-52565, CVE-2026-88264)."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.looking import mountinfo

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime


def on_a_terminal(runtime: Runtime, b: Bundle) -> str:
    """Run B on a terminal of our own and return what appears there."""
    b.process["terminal"] = True
    name = runtime._prepare(b)
    master, slave = pty.openpty()
    words = runtime.argv("run", "--bundle", str(b.path), name)
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    seen = b""
    while select.select([master], [], [], 20)[0]:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.close(master)
    process.wait(20)
    return seen.decode(errors="replace")


@pytest.mark.parametrize("target", ["{file}", "{out}/console", "../../../../../../../../../../../..{file}"])
def test_a_console_that_is_a_link(runtime, bundle, target, tmp_path):
    b = bundle("echo", "ran")
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    b.mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620")
    out = tmp_path / "outside"
    out.mkdir()
    (out / "file").write_text("the host's")
    (b.rootfs / "dev/console").symlink_to(target.format(file=out / "file", out=out))
    before = mountinfo(Path("/proc/self/mountinfo").read_text()).keys()
    on_a_terminal(runtime, b)
    assert os.listdir(out) == ["file"]
    assert (out / "file").read_text() == "the host's"
    assert mountinfo(Path("/proc/self/mountinfo").read_text()).keys() == before
