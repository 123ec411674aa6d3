"""Names that lead elsewhere: ids of containers, cgroups, sizes of pages."""

from __future__ import annotations

import os

import pytest


@pytest.mark.parametrize("name", ["../escape", "a/b", ".", "..", "a b", "a\nb", "", "/absolute", "x" * 1025])
def test_a_name_that_leads_elsewhere(runtime, bundle, name):
    b = bundle("true")
    b.save()
    before = sorted(os.listdir(runtime.directory))
    done = runtime("create", "--bundle", str(b.path), "--", name, check=False)
    assert done.returncode != 0
    assert sorted(os.listdir(runtime.directory)) == before
    assert os.listdir(runtime.root) in ([], [".seccomp"])


@pytest.mark.pyrunc_only("1.1 has no such flag for all of them")
@pytest.mark.parametrize("path", ["..", "../..", "/../..", "a/../../..", "/no/such"])
def test_exec_into_another_cgroup(runtime, bundle, path):
    name = runtime.start(bundle())
    done = runtime("exec", "--cgroup", path, name, "cat", "/proc/self/cgroup", check=False)
    assert done.returncode == 255
    assert done.stdout == ""
