"""Cgroups of the host's that a container could change (CVE-2023-25809), and names that lead to them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.harness.neighbour import hierarchies
from integration.harness.ordinary import UID
from integration.looking import refused
from integration.security.naive import caught

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def given(runtime) -> Iterator[str]:
    """Return the name of a cgroup that user 1000 may write to, in every hierarchy: as systemd gives it to each who logs in."""
    name = f"pyrunc-test-{os.getpid()}-user"
    made = [top / name for top in hierarchies()]
    for directory in made:
        directory.mkdir()
        for path in (directory, *directory.iterdir()):
            os.chown(path, UID, UID)
    yield name
    runtime.close()
    for directory in made:
        for below in sorted((path for path in directory.rglob("*") if path.is_dir()), reverse=True):
            below.rmdir()
        directory.rmdir()


def as_it_was(name: str) -> None:
    """Check that nobody has made anything in cgroup NAME."""
    assert [str(path) for top in hierarchies() for path in (top / name).iterdir() if path.is_dir()] == []


TRY = 'for place in $(find /sys/fs/cgroup /cgroup -maxdepth 3 -type d); do mkdir "$place/escaped" 2>/dev/null; done; echo tried'


@pytest.mark.parametrize("kind", ["cgroup", "bind"])
def test_the_hosts_cgroups_are_out_of_reach(ordinary, bundle, given, kind):
    """Without a cgroup namespace: what an ordinary user's container sees of them is read-only, or its own."""
    b = ordinary.bundle(bundle("sh", "-c", TRY))
    b.namespace("cgroup", drop=True)
    if kind == "bind":
        b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] not in ("/sys", "/sys/fs/cgroup")]
        b.mount("/sys", "bind", "/sys", "rbind", "ro", "nosuid", "noexec", "nodev")
        b.mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
    assert ordinary.run(b, check=False).stdout in ("tried\n", "")
    as_it_was(given)


def test_the_hosts_cgroups_are_out_of_reach_bites(given):
    """The user can, who sees them."""
    script = f'for top in {" ".join(map(str, hierarchies()))}; do mkdir "$top/{given}/escaped" || true; done'
    words = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "sh", "-c", script]
    subprocess.run(words, check=True, capture_output=True)
    with caught():
        as_it_was(given)


def test_root_sees_its_own_cgroup_alone(runtime, bundle):
    b = bundle("find /sys/fs/cgroup -mindepth 2 -maxdepth 2 -type d | wc -l; find /sys/fs/cgroup -name tasks -o -name cgroup.procs | wc -l")
    inside = runtime.output(b).split()
    assert inside[0] == "0"  # no other cgroup below any of its hierarchies
    assert int(inside[1]) <= 2 * len(hierarchies())


# Names that traverse

BAD_SIZES = ("../../2MB", "2MB/../../x", "/2MB", "2MB\n", "2MB.limit_in_bytes", "", ".", "..", "2mb")
BAD_KEYS = ("../memory.max", "a/b", "..", "/memory.max", "cgroup.procs/../x", "memory.max\n")
BAD_PATHS = ("../up", "/../up", "a/../../up", "/", "/..", "..")


def turned_away(said: str, pointer: str) -> None:
    """Check that what was SAID refuses the name at POINTER, before anything is looked up by it."""
    assert pointer in said


@pytest.mark.pyrunc_only("1.1 looks for such files")
@pytest.mark.parametrize("size", BAD_SIZES)
def test_sizes_of_pages(runtime, bundle, size):
    b = bundle("true")
    b.linux["resources"] = {"hugepageLimits": [{"pageSize": size, "limit": 0}]}
    turned_away(refused(runtime, b), "/linux/resources/hugepageLimits/0/pageSize")


@pytest.mark.pyrunc_only("takes them on version 2 alone")
@pytest.mark.parametrize("key", BAD_KEYS)
def test_files_of_version_2(runtime, bundle, key):
    b = bundle("true")
    b.linux["resources"] = {"unified": {key: "1"}}
    turned_away(refused(runtime, b), "/linux/resources/unified")


@pytest.mark.pyrunc_only("1.1 cuts them short")
@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_of_cgroups(runtime, bundle, path):
    b = bundle("true")
    b.linux["cgroupsPath"] = path
    turned_away(refused(runtime, b), "/linux/cgroupsPath")


@pytest.mark.pyrunc_only("1.1 has no such flag for all of them")
@pytest.mark.parametrize("path", ["..", "../..", "/../..", "a/../../..", "./..", "memory:..", "memory:/../..", "pids:../x", "/no/such"])
def test_exec_into_another_cgroup(runtime, bundle, path):
    name = runtime.start(bundle())
    done = runtime("exec", "--cgroup", path, name, "cat", "/proc/self/cgroup", check=False)
    assert (done.returncode, done.stdout) == (255, "")
    turned_away(done.stderr, "--cgroup")


def test_names_that_traverse_bite(tmp_path):
    """Who makes a path of such a name writes beside the cgroup, and refuses nothing."""

    def naive(directory: Path, size: str) -> str:
        (directory / f"hugetlb.{size}").write_text("0")
        return ""

    (tmp_path / "cgroup/hugetlb.").mkdir(parents=True)
    with caught():
        turned_away(naive(tmp_path / "cgroup", "/../../victim"), "/linux/resources/hugepageLimits/0/pageSize")
    assert (tmp_path / "victim").read_text() == "0"
