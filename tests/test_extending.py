"""The worked examples of docs/extending.md: each diff fits the source, and does what the page says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.planned import minimal

CHECKOUT = Path(__file__).parents[1]
DIFFS = re.findall(r"```diff\n(.*?)```", (CHECKOUT / "docs/extending.md").read_text(), re.DOTALL)
RUN = "import sys; from pyrunc.cli.main import main; sys.exit(main(sys.argv[1:]))"


class Changed:
    """A copy of the source, in DIRECTORY, with one of the diffs applied."""

    def __init__(self, directory: Path, number: int) -> None:
        """Copy and apply."""
        self.directory = directory
        for name in ("runtime", "spec"):
            shutil.copytree(CHECKOUT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["git", "apply", "-"], cwd=directory, input=DIFFS[number], text=True, check=True)

    def python(self, code: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run CODE with WORDS on the changed source."""
        command = [sys.executable, "-B", "-c", code, *words]
        env = {"PYTHONPATH": str(self.directory / "runtime"), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=env, cwd=self.directory, capture_output=True, text=True, check=False)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.python(RUN, *words)

    def bundle(self, **changes: Any) -> str:
        """Return a bundle whose configuration has CHANGES."""
        bundle = self.directory / "bundle"
        (bundle / "rootfs").mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps({**minimal(), "root": {"path": "rootfs"}, **changes}))
        return str(bundle)


@pytest.fixture
def changed(tmp_path: Path, request: pytest.FixtureRequest) -> Changed:
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    return Changed(tmp_path, request.param)


def test_there_are_three():
    assert len(DIFFS) == 3


@pytest.mark.parametrize("changed", [0], indirect=True)
def test_a_mount_option(changed: Changed):
    mount = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["readonly"]}
    plan = changed.command("plan", changed.bundle(mounts=[mount]))
    assert "MOUNT_ATTR_RDONLY" in plan.stdout, plan.stderr
    assert {"readonly", "rreadonly"} <= set(json.loads(changed.command("features").stdout)["mountOptions"])


@pytest.mark.parametrize("changed", [1], indirect=True)
def test_a_limit(changed: Changed):
    look = (
        "from pyrunc.cgroup import knobs; from pyrunc.oci import parsing; import sys\n"
        "resources = parsing.parse(sys.argv[1].encode()).linux.resources\n"
        "print([(write.file, write.value) for write in knobs.writes(resources, unified=sys.argv[2] == 'v2')])"
    )
    config = json.dumps(minimal(linux={"resources": {"memory": {"zswap": 1 << 20}}}))
    assert "('memory.zswap.max', '1048576')" in changed.python(look, config, "v2").stdout
    assert "/linux/resources/memory/zswap" in changed.python(look, config, "v1").stderr
    check = changed.command("check", changed.bundle(linux={"resources": {"memory": {"zswap": "much"}}}))
    assert "/linux/resources/memory/zswap" in check.stdout + check.stderr


@pytest.mark.parametrize("changed", [2], indirect=True)
def test_a_command(changed: Changed):
    assert "print the pid of a container's init" in changed.command("--help").stdout
    done = changed.command("--root", str(changed.directory / "state"), "pid", "web")
    assert done.returncode == 1
    assert done.stderr.startswith("pyrunc pid failed: container does not exist")
