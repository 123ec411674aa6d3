"""`check` and `create` agree on real configurations that have been changed: a sample of what script/checked.py measures."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.checked.asked import Scene, adapted
from integration.checked.mutants import KINDS, Mutant, make
from integration.harness.bundle import BUSYBOX
from tests.samples import ABSENT, CONFIGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EACH = 3  # mutants of each kind

pytestmark = [ABSENT, pytest.mark.v1, pytest.mark.pyrunc_only("has no check")]


@pytest.fixture
def scene(runtime, tmp_path: Path) -> Iterator[Scene]:
    """Return a place for mutants, beside a process whose namespaces they may join."""
    directory = tmp_path / "mutants"
    directory.mkdir()
    for each in (directory, *directory.parents):
        if not each.stat().st_mode & 0o001:
            each.chmod(0o755)  # root of a user namespace is nobody there
    shutil.copy(BUSYBOX, directory / "busybox")
    keeper = subprocess.Popen(("unshare", "--net", "--uts", "--ipc", "--mount", "sleep", "infinity"))
    yield Scene(runtime.binary, directory, runtime.new_id(), keeper.pid)
    keeper.kill()
    keeper.wait()


@pytest.mark.parametrize("kind", ["as it is", *KINDS])
def test_both_say_the_same(scene, kind):
    """With a seed of one's own if PYRUNC_SEED is set: no mutant may be silent, and none an alarm."""
    seed = os.environ.get("PYRUNC_SEED", "1")
    print(f"seed {seed}")
    chance = random.Random(f"{seed} {kind}")
    for _ in range(EACH):
        path = chance.choice(CONFIGS)
        base = adapted(json.loads(path.read_text()), scene.directory, scene.own)
        mutant = Mutant(kind, (), base, None) if kind == "as it is" else make(chance, base, kind)
        found = scene.judge(mutant)
        assert found.fault in ("", "warned", "place"), f"seed {seed}: {path}: {mutant.changes}: {found}"
