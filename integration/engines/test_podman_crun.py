"""Podman: what its users have from crun (docs/crun.md), as Podman asks for it."""

from __future__ import annotations

import os

import pytest

from integration.engines.conftest import need
from integration.looking import cgroup_of

need("podman", "conmon")
pytestmark = [pytest.mark.slow_vm, pytest.mark.cruns("runc has none of it")]
GROUPS = (54, 1054)


def groups(text):
    """Return the groups in TEXT, what /proc/self/status says."""
    return text.split(":")[1].split()


def test_keep_groups(podman):
    """podman run --group-add keep-groups: the caller's groups are the container's, and those of an exec."""
    found = podman.run("grep Groups /proc/self/status", "--group-add", "keep-groups", extra_groups=GROUPS).stdout
    assert set(map(str, GROUPS)) <= set(groups(found))


def test_an_exec_keeps_groups(podman):
    name = podman.start("--group-add", "keep-groups")
    found = podman("exec", name, "grep", "Groups", "/proc/self/status", extra_groups=GROUPS).stdout
    assert set(map(str, GROUPS)) <= set(groups(found))


def test_without_it_they_do_not_stay(podman):
    found = podman.run("grep Groups /proc/self/status", extra_groups=GROUPS).stdout
    assert not set(map(str, GROUPS)) & set(groups(found))


def test_without_cgroups(podman):
    """podman run --cgroups=disabled: it stays where Podman is."""
    name = podman.start("--cgroups=disabled", "--cgroupns=host")
    own = cgroup_of(os.getpid(), "pids")
    assert cgroup_of(podman.pid(name), "pids") == own
    assert podman("exec", name, "echo", "here").stdout == "here\n"
    podman("stop", "--time=0", name)
    assert podman.ended(name) == "137"


@pytest.mark.parametrize("name", ["hooks.stdout", "hooks.stderr"])
def test_annotations_of_the_command_line(podman, name):
    """podman run --annotation: without hooks nothing comes of it."""
    file = podman.directory / name
    podman.run("true", "--annotation", f"run.oci.{name}={file}")
    assert podman.name == "crun" or not file.exists()


def test_a_mount_option(podman):
    """A link that is made again, and not what it leads to."""
    source = podman.directory / "link"
    if not source.is_symlink():
        source.symlink_to("/etc/passwd")
    done = podman.run("readlink /copied", "--mount", f"type=bind,source={source},destination=/copied,copy-symlink", check=False)
    if "copy-symlink" in done.stderr and "invalid" in done.stderr:
        pytest.skip("this Podman does not know the option")
    assert done.stdout == "/etc/passwd\n", done.stderr
