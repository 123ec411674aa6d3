"""--no-pivot: the host's mounts stay below the root, and must help nobody (docs/security.md)."""

from __future__ import annotations

import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from integration.looking import Mounted, give, mapped, mountinfo, mounts_inside, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A process without any capability makes namespaces of its own, in which it may mount what the kernel lets it.
TRIES = {
    "proc": "unshare -m -r -p -f mount -t proc none /proc",
    "sysfs": "unshare -m -r -n mount -t sysfs none /sys",
}
both = pytest.mark.parametrize("flags", [(), ("--no-pivot",)], ids=["pivot_root", "no-pivot"])
ids = pytest.mark.parametrize("ids", ["own ids", "mapped ids"])


def confined(b, ids: str):
    """Give B what mapping ids takes, and the bounds of most containers: /proc and /sys with masks."""
    give(b, "CAP_SETFCAP", sets=("bounding", "permitted", "effective"))
    return mapped(b) if ids == "mapped ids" else b


@both
@ids
@pytest.mark.parametrize("kind", TRIES)
def test_no_file_system_without_masks(runtime, bundle, kind, flags, ids):
    b = confined(bundle(f"{TRIES[kind]} && echo mounted"), ids)
    done = runtime.run(b, *flags, check=False)
    assert done.stdout == ""
    assert "mount: permission denied" in done.stderr


@pytest.fixture
def hidden(runtime, tmp_path) -> Iterator[Path]:
    """Let RUNTIME run where one procfs lies below another mount."""
    place = tmp_path / "hidden"
    (place / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "proc", "none", str(place / "below")], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)
    subprocess.run(["umount", str(place / "below")], check=True)


@pytest.mark.pyrunc_only("runc looks only where a path leads to")
def test_a_procfs_that_another_mount_hides(runtime, bundle, hidden):
    b = confined(bundle(f"{TRIES['proc']} && echo mounted"), "own ids")
    assert runtime.run(b, "--no-pivot", check=False).stdout == ""


@pytest.mark.pyrunc_only("runc looks only where a path leads to")
def test_a_procfs_that_cannot_be_reached(runtime, bundle, hidden):
    """A user namespace holds the host's mounts fast: what cannot be covered either is a reason to refuse."""
    b = confined(bundle("true"), "mapped ids")
    name = runtime.prepare(b)
    said = runtime.refuses("run", "--no-pivot", "--bundle", str(b.path), name)
    assert f"the host's proc at {hidden}/below would stay below the root" in said


@pytest.fixture(params=["on the root's mount", "on a mount of its own"])
def somewhere(request, bundle, tmp_path) -> Iterator[None]:
    """Let bundles be made here or there."""
    if request.param == "on the root's mount":
        yield
        return
    bundle.directory = tmp_path / "own"
    bundle.directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(bundle.directory)], check=True)
    yield
    subprocess.run(["umount", str(bundle.directory)], check=True)


@pytest.mark.parametrize("propagation", [None, "shared", "rshared", "slave", "unbindable"])
@ids
def test_the_hosts_mounts_stay(runtime, bundle, somewhere, tmp_path, propagation, ids):
    """Even where all of them are shared, as with systemd."""
    own_mount = bundle.directory != tmp_path
    if runtime.name == "runc" and own_mount and ids == "own ids" and "shared" in (propagation or ""):
        pytest.skip("runc moves the container's root over the host's own, too")
    b = confined(bundle("true"), ids)
    if propagation:
        b.linux["rootfsPropagation"] = propagation
    name = runtime.prepare(b)
    line = 'cat /proc/self/mountinfo >"$1"; shift; "$@" || exit; cat /proc/self/mountinfo'
    argv = ["unshare", "-m", "--propagation", "shared", "sh", "-c", line, "sh", str(tmp_path / "before")]
    words = runtime.argv("run", "--no-pivot", "--bundle", str(b.path), name)
    done = subprocess.run([*argv, *words], check=True, capture_output=True, text=True)
    assert whose(tmp_path, done.stdout) == whose(tmp_path, (tmp_path / "before").read_text())


def whose(path: Path, text: str) -> dict[str, Mounted]:
    """Return the mounts in TEXT that are the machine's or below PATH: others' tests may run beside this one."""
    others = tempfile.gettempdir() + "/"
    found = mountinfo(text)
    return {point: row for point, row in found.items() if not point.startswith(others) or point.startswith(f"{path}/")}


@both
def test_what_is_seen_is_the_same(runtime, bundle, flags):
    found = mounts_inside(runtime, bundle())
    b = bundle("cat", "/proc/self/mountinfo")
    assert mountinfo(runtime.output(b, *flags)).keys() == found.keys()


@both
def test_another_process_is_in_the_same_root(runtime, bundle, flags):
    b = bundle()
    (b.rootfs / "mark").touch()
    name = runtime.start(b, *flags)
    assert runtime.exec(name, "sh", "-c", "ls /mark; ls /../mark; cd /; cd ..; pwd").stdout.split() == ["/mark", "/../mark", "/"]


@pytest.mark.parametrize("word", ["private", "rprivate"])
def test_private_is_refused(runtime, bundle, word):
    b = bundle("true")
    b.linux["rootfsPropagation"] = word
    name = runtime.prepare(b)
    said = runtime.refuses("run", "--no-pivot", "--bundle", str(b.path), name)
    assert "rootfsPropagation of [r]private is not safe without pivot_root" in said


def test_private_is_fine_with_pivot_root(runtime, bundle):
    b = bundle("true")
    b.linux["rootfsPropagation"] = "private"
    runtime.run(b)
    b.linux["rootfsPropagation"] = "sideways"
    refused(runtime, b, "sideways")
