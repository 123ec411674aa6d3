"""Paths that lead out of the root, by links and while somebody swaps them (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.swapping import swapped
from integration.looking import mountinfo, volume
from integration.security import naive
from integration.security.naive import apart, caught
from integration.security.racing import SECONDS, TRIES, by_turns, tried
from pyrunc.run.steps import rootpath

if TYPE_CHECKING:
    from collections.abc import Callable

MOUNTS = 40  # in one container: each is a try


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a directory outside of every root, where links lead to."""
    path = tmp_path / "outside"
    path.mkdir()
    return path


def untouched(out: Path) -> None:
    """Check that nothing was made OUTside."""
    assert os.listdir(out) == []


# Links that stand still

LINKS = ("{out}", "../../../../../../../../../../../..{out}", "/data/../../../..{out}", "hop", "loop")


def with_links(root: Path, out: Path, target: str) -> None:
    """Put links into ROOT that lead, by way of TARGET, to OUT on the host."""
    (root / "hop").symlink_to(str(out))
    (root / "loop").symlink_to("loop")
    (root / "link").symlink_to(target.format(out=out))


@pytest.mark.parametrize("target", LINKS)
def test_links_stay_inside(runtime, bundle, out, target):
    """CVE-2019-18837: mount points, devices, working directory; of links that loop nothing comes but an error."""
    b = bundle("true")
    with_links(b.rootfs, out, target)
    b.mount("/link/mounted", "tmpfs", "tmpfs")
    b.mount("/link/file", "bind", str(b.path / "config.json"), "bind")
    b.linux["devices"] = [{"path": "/link/device", "type": "c", "major": 1, "minor": 5}]
    b.linux["maskedPaths"] = ["/link/masked"]
    b.process["cwd"] = "/link/made"
    done = runtime.run(b, check=False)
    assert (done.returncode != 0) == (target == "loop")
    untouched(out)


def test_links_stay_inside_bites(bundle, out):
    b = bundle()
    with_links(b.rootfs, out, "{out}")
    naive.make_directory(b.rootfs, "/link/made")
    with caught():
        untouched(out)


# Links that are swapped with directories meanwhile


def guarded(like: str) -> Callable[[Path, str], object]:
    """Return what makes a mount point for a LIKE ("directory" or "file") by our own guard."""

    def make(root: Path, path: str) -> None:
        fd = os.open(root, os.O_PATH)
        source = os.open("/dev/null", os.O_PATH)
        try:
            os.close(rootpath.mount_point(fd, path, source if like == "file" else like, set()))
        finally:
            os.close(fd)
            os.close(source)

    return make


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("it is our own guard that is called")
@pytest.mark.parametrize("like", ["directory", "file"])
def test_nothing_is_made_behind_a_swapped_link(tmp_path, out, like):
    """CVE-2024-45310, at the guard itself: thousands of tries against a hundred thousand swaps a second."""
    root = tmp_path / "root"
    root.mkdir()
    with swapped(*by_turns(root, out)):
        assert tried(guarded(like), root) >= TRIES
    untouched(out)


@pytest.mark.slow_vm
def test_nothing_is_made_behind_a_swapped_link_bites(tmp_path, out):
    root = tmp_path / "root"
    root.mkdir()
    with swapped(*by_turns(root, out)):
        tried(naive.make_directory, root)
    with caught():
        untouched(out)


def all_inside(text: str, root: str) -> None:
    """Check that every mount called `marker` in mountinfo TEXT is below ROOT, and that none has got lost."""
    rows = [line.split() for line in text.splitlines() if " marker " in line]
    assert [row[4] for row in rows if not row[4].startswith(root)] == []
    assert len({row[2] for row in rows}) == MOUNTS  # by their devices: what covers a path brings copies along


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("1.1.5 makes directories on the host: CVE-2024-45310")
@pytest.mark.parametrize("target", ["/", "{out}", "../../../../../../../../../../..{out}"])
def test_a_mount_point_that_is_swapped_while_it_is_looked_up(runtime, bundle, out, target, tmp_path):
    """CVE-2021-30465: a volume that two containers share; in each container that starts, all mounts are inside."""
    shared = tmp_path / "shared"
    shared.mkdir()
    b = bundle("cat", "/proc/self/mountinfo")
    b.mount("/data", "bind", str(shared), "bind")
    for number in range(MOUNTS):
        b.mount(f"/data/here/made{number}", "tmpfs", "marker", "size=4k")
    b.mount("/data/here/file", "bind", str(b.path / "config.json"), "bind")
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = ["/data/here"]
    before = mountinfo(Path("/proc/self/mountinfo").read_text()).keys()
    end = time.monotonic() + SECONDS
    with swapped(*by_turns(shared, Path(target.format(out=out)))):
        while time.monotonic() < end:
            done = runtime.run(b, check=False)
            if done.returncode == 0:
                all_inside(done.stdout, "/")
            untouched(out)
    assert mountinfo(Path("/proc/self/mountinfo").read_text()).keys() == before
    assert not Path("/made0").exists()


@pytest.mark.slow_vm
def test_a_mount_point_that_is_swapped_while_it_is_looked_up_bites(bundle, out):
    """mount(8) by the path, as often, in mounts of its own."""
    b = bundle()
    script = f"""
        for number in $(seq {MOUNTS}); do
            mkdir -p "$1/data/here/made$number" && mount -t tmpfs marker "$1/data/here/made$number" || true
        done 2>/dev/null
        cat /proc/self/mountinfo
    """
    with swapped(*by_turns(b.rootfs / "data", out)):
        found = apart(script, b.rootfs).stdout
    with caught():
        all_inside(found, str(b.rootfs))
    with caught():
        untouched(out)


# Links that jump


@pytest.mark.parametrize("target", ["/proc/self/cwd", "/proc/1/root", "/proc/self/fd/3", "/proc/self/root"])
def test_a_magic_link_on_the_way_to_a_mount_point(runtime, bundle, target):
    """Such a link jumps, whatever root one thinks to be in; /proc may be mounted by then."""
    b = bundle("true")
    (b.rootfs / "link").symlink_to(target)
    b.mount("/link/made", "bind", str(volume(b, "volume", "marker")), "bind")
    runtime.run(b, check=False)
    assert not (b.path / "made").exists()
    assert not Path("/made").exists()


def test_a_passwd_that_is_a_link_to_the_hosts(runtime, bundle, tmp_path):
    stolen = tmp_path / "passwd"
    stolen.write_text("root:x:0:0:root:/stolen:/bin/sh\n")
    for target in (str(stolen), f"../../../../../../../../..{stolen}", "/proc/self/cwd/passwd"):
        b = bundle("sh", "-c", "echo $HOME")
        (b.rootfs / "etc/passwd").unlink()
        (b.rootfs / "etc/passwd").symlink_to(target)
        assert "stolen" not in runtime.run(b, check=False).stdout
