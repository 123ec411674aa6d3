"""A /proc, /sys that the image, or a configuration, fakes (CVE-2019-16884, -19921, CVE-2023-27561, CVE-2025-52881)."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.looking import refused, volume


@pytest.mark.parametrize("target", ["/data", "../../../../../{out}", "{out}", "data"])
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_link_is_no_place_for_the_kernels_files(runtime, bundle, name, target, tmp_path):
    b = bundle("true")
    out = tmp_path / "outside"
    out.mkdir()
    (b.rootfs / name).rmdir()
    (b.rootfs / name).symlink_to(target.format(out=out))
    before = Path("/proc/self/mountinfo").read_text()
    refused(runtime, b, f"/{name}")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    "destination",
    ["/proc", "/proc/", "//proc", "/data/../proc", "/link", "/proc/.", "/./proc"],
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_nothing_else_is_mounted_on_proc(runtime, bundle, destination, kind):
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    if kind == "bind":
        b.mount(destination, "bind", str(volume(b)), "bind")
    else:
        b.mount(destination, "tmpfs", "tmpfs")
    refused(runtime, b)


@pytest.mark.parametrize(
    "destination",
    [
        "/proc/sys",
        "/proc/self/attr",
        "/proc/../proc/sys",
        "/link/sys",
        "/deep/attr",
        "/proc/sys/kernel/core_pattern",
    ],
)
def test_nothing_is_mounted_inside_proc(runtime, bundle, destination):
    """CVE-2019-16884: not even by way of a link, or the labels that are written there go elsewhere."""
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    (b.rootfs / "deep").symlink_to("/proc/self")
    if destination.endswith("core_pattern"):
        (b.path / "file").touch()
        b.mount(destination, "bind", "file", "bind")
    else:
        b.mount(destination, "bind", str(volume(b)), "bind")
    refused(runtime, b)


@pytest.mark.parametrize("name", ["meminfo", "cpuinfo", "uptime", "stat", "loadavg"])
def test_what_lxcfs_emulates_may_be(runtime, bundle, name):
    b = bundle("cat", f"/proc/{name}")
    (b.path / "file").write_text("emulated\n")
    b.mount(f"/proc/{name}", "bind", "file", "bind")
    assert runtime.output(b) == "emulated\n"
