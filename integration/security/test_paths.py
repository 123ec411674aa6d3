"""Paths that lead out of the root, by links and while somebody swaps them (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from integration.harness.swapping import swapping
from integration.looking import mountinfo, volume


@pytest.fixture
def flipping():
    """Return a function that lets PATH be a directory and a link to TARGET by turns, as fast as it goes."""
    with swapping() as swap:

        def flip(path: Path, target: str) -> None:
            other = path.with_name(path.name + ".other")
            path.mkdir(exist_ok=True)
            other.symlink_to(target)
            swap(path, other)

        yield flip


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("1.1.5 makes directories on the host: CVE-2024-45310")
@pytest.mark.parametrize("target", ["/", "{out}", "../../../../../../../../../../..{out}"])
def test_a_mount_point_that_is_swapped_while_it_is_looked_up(runtime, bundle, flipping, target, tmp_path):
    out = tmp_path / "outside"
    out.mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    flipping(shared / "here", target.format(out=out))
    before = mountinfo(Path("/proc/self/mountinfo").read_text()).keys()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        b = bundle("true")
        b.mount("/data", "bind", str(shared), "bind")
        b.mount("/data/here/made", "tmpfs", "tmpfs")
        b.mount("/data/here/file", "bind", str(b.path / "config.json"), "bind")
        b.linux["maskedPaths"] = ["/data/here"]
        b.linux["readonlyPaths"] = ["/data/here"]
        runtime.run(b, check=False)
        assert not list(out.iterdir())
    assert mountinfo(Path("/proc/self/mountinfo").read_text()).keys() == before
    assert not Path("/made").exists()


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
