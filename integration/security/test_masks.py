"""Masks and read-only paths that the image undermines (CVE-2025-31133, CVE-2026-115521)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from integration.harness.swapping import swapped
from integration.looking import mountinfo, volume
from integration.security.naive import apart, caught
from integration.security.racing import SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from integration.harness.bundle import Bundle

FAKES = ("a file", "a link to a file", "a link to the secret", "another device", "a directory")
NULL = "1:3"


def with_a_fake_null(b: Bundle, kind: str) -> Bundle:
    """Let B mask /etc/secret, with a /dev that is the image's, and in it KIND in the place of `null`."""
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    b.linux["maskedPaths"] = ["/etc/secret"]
    (b.rootfs / "etc/secret").write_text("secret\n")
    (b.rootfs / "etc/planted").write_text("planted\n")
    null = b.rootfs / "dev/null"
    if kind == "a file":
        null.write_text("planted\n")
    elif kind == "a directory":
        null.mkdir()
    elif kind == "another device":
        os.mknod(null, 0o20666, os.makedev(1, 5))
    else:
        null.symlink_to("/etc/planted" if kind == "a link to a file" else "/etc/secret")
    return b


LOOK = "stat -c 'device %t:%T' /etc/secret; head -c 20 /etc/secret"


def masked(text: str) -> None:
    """Check that what the container sees of its secret, TEXT, is the null device: nothing of the image's, and nothing to read."""
    assert text == f"device {NULL}\n"


@pytest.mark.parametrize("kind", FAKES)
def test_a_mask_is_the_hosts_null_device(runtime, bundle, kind):
    """Or there is no container at all, as where the default device cannot be made."""
    b = with_a_fake_null(bundle(LOOK), kind)
    done = runtime.run(b, check=False)
    if done.returncode == 0:
        masked(done.stdout)
    assert "secret" not in done.stdout


@pytest.mark.parametrize("kind", FAKES[:-1])
def test_a_mask_is_the_hosts_null_device_bites(bundle, kind):
    """Who binds the image's /dev/null shows what the image has put there."""
    b = with_a_fake_null(bundle(), kind)
    script = f'touch "$1/proc/mounts"; chroot "$1" mount -o bind /dev/null /etc/secret; exec chroot "$1" sh -c "{LOOK}"'
    done = apart(script, b.rootfs, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.stdout, done
    with caught():
        masked(done.stdout)


@pytest.mark.slow_vm
def test_a_null_device_that_is_swapped_meanwhile(runtime, bundle, tmp_path):
    """In a /dev that is a volume of two containers: one device and one link, by turns."""
    b = with_a_fake_null(bundle(LOOK), "a file")
    dev = tmp_path / "dev"
    dev.mkdir()
    os.mknod(dev / "null", 0o20666, os.makedev(1, 3))
    (dev / "other").symlink_to("/etc/planted")
    b.mount("/dev", "bind", str(dev), "bind", "dev")
    end, ran = time.monotonic() + SECONDS, 0
    with swapped(dev / "null", dev / "other"):
        while time.monotonic() < end or not ran:
            done = runtime.run(b, check=False)
            if done.returncode == 0:
                masked(done.stdout)
                ran += 1
    assert ran


# Read-only, by way of the container's own /proc/self/fd (CVE-2026-115521)


def misleading(b: Bundle) -> Path:
    """Give B, which mounts no /proc, links in /proc/self/fd that lead from every number to its volume /rw."""
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] not in ("/proc", "/sys", "/sys/fs/cgroup")]
    b.linux["maskedPaths"], b.linux["readonlyPaths"] = [], ["/etc"]
    volume(b, "one", "file")
    volume(b, "other", "file")
    fds = b.rootfs / "proc/self/fd"
    fds.mkdir(parents=True)
    for number in range(64):
        (fds / str(number)).symlink_to("/rw")
    return fds


def protected(can_write: dict[str, bool]) -> None:
    """Check that what was to be read-only is, and that nothing else has become so in its place."""
    assert can_write == {"/ro": False, "/etc": False, "/rw": True}


@pytest.mark.pyrunc_only("needs a /proc in the container")
def test_a_read_only_mount_by_a_descriptor(runtime, bundle):
    b = bundle("for place in /ro /etc /rw; do touch $place/made 2>/dev/null && echo $place; done; true")
    misleading(b)
    b.mount("/ro", "bind", str(b.path / "one"), "bind", "ro")
    b.mount("/rw", "bind", str(b.path / "other"), "bind")
    said = runtime.output(b).split()
    protected({place: place in said for place in ("/ro", "/etc", "/rw")})


def test_a_read_only_mount_by_a_descriptor_bites(bundle):
    """A remount by the path of a descriptor in the container's /proc makes another mount read-only than it should."""
    b = bundle()
    misleading(b)
    script = """
        mkdir "$1/ro" "$1/rw"
        mount --bind "$2" "$1/ro"; mount --bind "$3" "$1/rw"; mount --bind "$1/etc" "$1/etc"
        for place in ro etc; do
            mount -o remount,bind,ro "$1$(readlink "$1/proc/self/fd/9")"
        done
        cat /proc/self/mountinfo
    """
    done = apart(script, b.rootfs, b.path / "one", b.path / "other", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.returncode == 0, done
    mounts = mountinfo(done.stdout)
    with caught():
        protected({place: "ro" not in mounts[f"{b.rootfs}{place}"].options for place in ("/ro", "/etc", "/rw")})
