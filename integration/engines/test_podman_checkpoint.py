"""Podman: containers that are saved and go on later, where CRIU works: in the virtual machine."""

from __future__ import annotations

import pytest

from integration.engines.conftest import need
from integration.harness.criu import works
from integration.harness.runtime import wait_for

need("podman", "conmon", "criu")
pytestmark = works
COUNTING = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.1; done"


def count(podman, name: str) -> int:
    """Return how far the program of container NAME has counted: in its memory, so that only what was saved goes on from there."""
    return int(podman.exec(name, "cat /count") or 0)


@pytest.fixture
def counting(podman):
    """Return a container that counts."""
    name = podman.start(command=COUNTING)
    wait_for(lambda: count(podman, name) > 3, "the program to count", 60)
    return name


def test_checkpoint_and_restore(podman, counting):
    before = count(podman, counting)
    podman("container", "checkpoint", counting)
    assert podman.inspect(counting, ".State.Status") == "exited"
    assert podman.inspect(counting, ".State.Checkpointed") == "true"
    podman("container", "restore", counting)
    assert podman.inspect(counting, ".State.Status") == "running"
    wait_for(lambda: count(podman, counting) > before, "the program to go on", 60)


def test_checkpoint_and_leave_it_running(podman, counting):
    podman("container", "checkpoint", "--leave-running", counting)
    assert podman.inspect(counting, ".State.Status") == "running"
    before = count(podman, counting)
    wait_for(lambda: count(podman, counting) > before, "the program to go on", 60)


def test_export_a_checkpoint_and_import_it_under_another_name(podman, counting, tmp_path):
    before = count(podman, counting)
    podman("container", "checkpoint", f"--export={tmp_path}/saved.tar.gz", counting)
    podman("rm", counting)
    other = podman.new_name()
    podman("container", "restore", f"--import={tmp_path}/saved.tar.gz", f"--name={other}")
    wait_for(lambda: count(podman, other) > before, "the program to go on", 60)
