"""Devices: what of the image stands in their place, and which may be opened (GHSA-g54h-m393-cpwq, CVE-2026-41579, -88265)."""

from __future__ import annotations

import os

import pytest

from integration.looking import become, fingerprint


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
    assert not list(out.iterdir())
    assert sorted(os.listdir("/dev")) == before
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
    assert fingerprint(victim) == before
    assert victim.stat().st_uid == 0
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
