"""Devices: what of the image stands in their place, and which may be opened (GHSA-g54h-m393-cpwq, CVE-2026-41579, -88265)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from integration.harness.swapping import swapped
from integration.looking import become, fingerprint, give
from integration.security import naive
from integration.security.naive import caught
from integration.security.racing import TRIES, by_turns, tried
from pyrunc.run.steps import files

if TYPE_CHECKING:
    from pathlib import Path


def nothing_made(out: Path, before: list[str]) -> None:
    """Check that nothing is OUTside, and that the host's /dev is as BEFORE."""
    assert os.listdir(out) == []
    assert sorted(os.listdir("/dev")) == before


def still_the_hosts(victim: Path, before: object) -> None:
    """Check that VICTIM is as BEFORE, and still root's."""
    assert fingerprint(victim) == before
    assert victim.stat().st_uid == 0


@pytest.mark.pyrunc_only("1.1.5 makes its links on the host: CVE-2026-41579")
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("target", ["/data", "{out}", "../../../../../..{out}", "/proc/self/cwd"])
def test_a_dev_that_is_a_link(runtime, bundle, target, mounted, tmp_path):
    """The devices land in the container, or it is an error; none appears on the host."""
    b = bundle("true")
    out = tmp_path / "outside"
    out.mkdir()
    (b.rootfs / "dev").rmdir()
    (b.rootfs / "dev").symlink_to(target.format(out=out))
    if not mounted:
        b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    before = sorted(os.listdir("/dev"))
    runtime.run(b, check=False)
    nothing_made(out, before)
    assert not (b.path / "null").exists()


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "tty", "ptmx", "fd", "stdout"])
def test_a_device_that_is_a_link_in_the_image(runtime, bundle, name, tmp_path):
    """The host's file behind it is neither opened, written, replaced nor given away."""
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    before = fingerprint(victim)
    b = become(bundle("echo written; echo more >&2"), 1000)
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    (b.rootfs / f"dev/{name}").symlink_to(victim)
    done = runtime.run(b, check=False)
    still_the_hosts(victim, before)
    if done.returncode == 0:
        assert done.stdout == "written\n"


@pytest.mark.pyrunc_only("1.1.5 takes it for the null device: CVE-2026-88265")
def test_a_null_device_that_is_a_file_of_the_image(runtime, bundle):
    """Streams that were /dev/null stay the host's null device, and the file is not the container's user's."""
    b = become(bundle("sh", "-c", "stat -L -c %F /proc/self/fd/0"), 1000)
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    (b.rootfs / "dev/null").write_text("fake")
    done = runtime.run(b, check=False)
    assert done.returncode != 0 or done.stdout == "character special file\n"
    assert (b.rootfs / "dev/null").stat().st_uid == 0


# What naive ways would do with the same images


def test_a_dev_that_is_a_link_bites(bundle, tmp_path):
    b = bundle()
    out = tmp_path / "outside"
    out.mkdir()
    (b.rootfs / "dev").rmdir()
    (b.rootfs / "dev").symlink_to(out)
    os.mknod(f"{b.rootfs}/dev/null", 0o20666, os.makedev(1, 3))
    with caught():
        nothing_made(out, sorted(os.listdir("/dev")))


def test_a_device_that_is_a_link_in_the_image_bites(bundle, tmp_path):
    b = bundle()
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    before = fingerprint(victim)
    (b.rootfs / "dev/null").symlink_to(victim)
    os.chown(b.rootfs / "dev/null", 1000, -1)
    with caught():
        still_the_hosts(victim, before)
    os.chown(victim, 0, 0)
    naive.write(b.rootfs / "dev/null", "written")
    with caught():
        still_the_hosts(victim, before)


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("it is our own guard that is called")
@pytest.mark.parametrize("way", ["guarded", "naive"])
def test_a_dev_that_is_swapped(tmp_path, way):
    """CVE-2026-41579: no node is made behind a link, however often /dev is one."""
    root, out = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    out.mkdir()
    fd = os.open(root, os.O_PATH)

    def guarded(_: object, path: str) -> None:
        files.make_node(None, fd, path, "c", 0o666, 1, 3, 0, 0)

    def unguarded(root: object, path: str) -> None:
        os.mknod(f"{root}{path}", 0o20666, os.makedev(1, 3))

    with swapped(*by_turns(root, out)):
        assert tried(guarded if way == "guarded" else unguarded, root) >= TRIES
    os.close(fd)
    if way == "guarded":
        nothing_made(out, sorted(os.listdir("/dev")))
    else:
        with caught():
            nothing_made(out, sorted(os.listdir("/dev")))


# Which devices may be opened (GHSA-g54h-m393-cpwq)

KMSG = "mknod /data/kmsg c 1 11 && dd if=/data/kmsg of=/dev/null bs=8k count=1"
LISTS = {
    "none": [],
    "an allowed one": [{"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"}],
    "a whole major denied": [{"allow": False, "type": "c", "major": 10, "access": "rwm"}],
    "every block device": [{"allow": True, "type": "b", "access": "rwm"}],
    "a wildcard taken back": [
        {"allow": True, "type": "c", "major": 1, "access": "rwm"},
        {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rwm"},
    ],
}
# The kernel's lists of version 1 cannot take one device out of a wildcard: such rules are refused there.
EACH = [pytest.param(name, marks=pytest.mark.v2 if "back" in name else ()) for name in LISTS]


def kept_from(done) -> None:
    """Check that the device was made, as it may be, and could not be opened."""
    assert done.returncode != 0
    assert "Operation not permitted" in done.stderr


@pytest.mark.parametrize("rules", EACH)
def test_what_is_not_listed_cannot_be_opened(runtime, bundle, rules):
    """All is denied first, whether a rule says so or not: a list of what is allowed is not one of what is denied."""
    b = give(bundle(KMSG), "CAP_MKNOD", "CAP_SYSLOG")
    b.linux["resources"] = {"devices": LISTS[rules]}
    kept_from(runtime.run(b, check=False))


@pytest.mark.parametrize("rules", EACH)
def test_not_even_after_an_update(runtime, bundle, rules):
    b = give(bundle(), "CAP_MKNOD", "CAP_SYSLOG")
    b.linux["resources"] = {"devices": LISTS[rules]}
    name = runtime.start(b)
    runtime("update", "--pids-limit", "50", name)
    kept_from(runtime.exec(name, "sh", "-c", KMSG, check=False))


def test_what_is_not_listed_cannot_be_opened_bites(runtime, bundle):
    """Where all is allowed first, as by who reads the list as one of what is denied, it can."""
    b = give(bundle(KMSG), "CAP_MKNOD", "CAP_SYSLOG")
    b.linux["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    done = runtime.run(b, check=False)
    assert done.returncode == 0, done
    with caught():
        kept_from(done)
