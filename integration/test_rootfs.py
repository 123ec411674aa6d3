"""The root directory: where it is, how it is entered, its propagation, and that nothing lies behind it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from integration.looking import give, mountinfo, mounts_inside, refused, volume, with_probe

both = pytest.mark.parametrize("flags", [(), ("--no-pivot",)], ids=["pivot_root", "no-pivot"])


@both
def test_the_root_is_the_rootfs(runtime, bundle, flags):
    out = runtime.output(bundle("ls", "/"), *flags).split()
    assert out == ["bin", "data", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp"]


@both
def test_a_whole_container(runtime, bundle, flags):
    """Mounts, devices, masks and a read-only root do not depend on how the root was entered."""
    b = bundle("cat", "/proc/self/mountinfo", writable=False)
    found = mountinfo(runtime.output(b, *flags))
    assert {"/", "/proc", "/dev", "/sys", "/dev/pts", "/proc/sys"} <= found.keys()
    assert "ro" in found["/"].options


def test_the_hosts_mounts_are_gone(runtime, bundle):
    b = bundle()
    points = mounts_inside(runtime, b)
    wanted = ("/", "/proc", "/dev", "/sys")
    assert not [point for point in points if not point.startswith(wanted[1:]) and point != "/"]


def test_the_mount_behind_is_gone(runtime, bundle):
    """As many `..` as one likes, and a second chroot, lead to the same root."""
    words = "mkdir /data/jail; chroot /data/jail true 2>/dev/null; cd ../../../..; ls -d bin usr boot home"
    b = give(bundle("sh", "-c", words), "CAP_SYS_CHROOT")
    assert runtime.run(b, check=False).stdout.split() == ["bin", "home"]


@both
def test_init_stands_inside(runtime, bundle, flags):
    b = with_probe(bundle(), "cwd")
    assert runtime.output(b, *flags) == "/\n"


def test_seen_from_outside_too(runtime, bundle):
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    inside = runtime.exec(name, "ls", "-A", "/").stdout.split()
    assert sorted(os.listdir(f"/proc/{pid}/root")) == sorted(inside)
    assert Path(f"/proc/{pid}/root/bin/busybox").samefile(Path(runtime.state(name)["rootfs"]) / "bin/busybox")


# Where it is


PATHS = ["rootfs", "./rootfs", "../{bundle}/rootfs", "{absolute}", "{absolute}/", "link"]


@pytest.mark.parametrize("path", PATHS)
def test_root_path(runtime, bundle, path):
    b = bundle("echo", "ran")
    (b.path / "link").symlink_to("rootfs")
    b.config["root"]["path"] = path.format(absolute=b.rootfs, bundle=b.path.name)
    if runtime.name == "runc" and path == "link":
        pytest.skip("runc 1.1 takes no link")
    assert runtime.output(b) == "ran\n"


def test_a_bundle_behind_a_link(runtime, bundle, tmp_path):
    b = bundle("echo", "ran")
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    (tmp_path / "link").symlink_to(b.path)
    assert runtime("run", "--bundle", str(tmp_path / "link"), name).stdout == "ran\n"


def test_the_current_directory_is_the_bundle(runtime, bundle):
    b = bundle("echo", "ran")
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    assert runtime("run", name, cwd=str(b.path)).stdout == "ran\n"


def test_a_name_with_spaces_and_other_letters(runtime, bundle, tmp_path):
    b = bundle("echo", "ran")
    new = tmp_path / "a bundle, \u00e4\u4e2d\\"
    b.path.rename(new)
    b.path, b.rootfs = new, new / "rootfs"
    b.mount("/data", "bind", str(volume(b)), "bind")
    assert runtime.output(b) == "ran\n"


def test_a_rootfs_that_is_a_mount(runtime, bundle):
    b = bundle("ls /below; touch /file")
    (b.rootfs / "below").mkdir()
    subprocess.run(["mount", "--bind", str(b.rootfs), str(b.rootfs)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(b.rootfs / "below")], check=True)
    try:
        (b.rootfs / "below/inner").touch()
        assert runtime.output(b) == "inner\n"
    finally:
        subprocess.run(["umount", "-R", str(b.rootfs)], check=True)
    assert (b.rootfs / "file").exists()


def test_an_overlay_as_engines_make(runtime, bundle):
    b = bundle("sh", "-c", "rm /etc/group; touch /new; ls /new /etc")
    scratch = volume(b, "scratch")
    lower = b.path / "lower"
    b.rootfs.rename(lower)
    b.rootfs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(scratch)], check=True)
    (scratch / "upper").mkdir()
    (scratch / "work").mkdir()
    options = f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work"
    try:
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(b.rootfs)], check=True)
        assert runtime.output(b).split() == ["/new", "/etc:", "passwd"]
        assert (scratch / "upper/new").exists()
    finally:
        subprocess.run(["umount", str(b.rootfs)], check=False)
        subprocess.run(["umount", str(scratch)], check=True)
    assert (lower / "etc/group").exists()


@pytest.mark.parametrize("path", ["nothing", "config.json"])
def test_no_root(runtime, bundle, path):
    b = bundle("true")
    b.config["root"]["path"] = path
    refused(runtime, b)


# Read-only, propagation


@both
def test_readonly(runtime, bundle, flags):
    done = runtime.run(bundle("touch /file; touch /dev/shm/x && echo elsewhere", writable=False), *flags)
    assert done.stdout == "elsewhere\n"
    assert "Read-only file system" in done.stderr


@both
def test_writable(runtime, bundle, flags):
    b = bundle("touch", "/file")
    runtime.run(b, *flags)
    assert (b.rootfs / "file").exists()


def test_readonly_does_not_reach_mounts_below(runtime, bundle):
    b = bundle("touch", "/data/x", writable=False)
    path = volume(b)
    b.mount("/data", "bind", str(path), "bind")
    runtime.run(b)
    assert (path / "x").exists()


def test_readonly_on_the_hosts_side_stays_writable(runtime, bundle):
    b = bundle(writable=False)
    runtime.start(b)
    (b.rootfs / "by-the-host").touch()


WAYS = ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"]


@pytest.mark.parametrize("propagation", WAYS)
def test_propagation(runtime, bundle, propagation):
    if runtime.name == "runc" and propagation.removeprefix("r") in ("shared", "unbindable"):
        pytest.skip("runc 1.1 does not apply these to / (it does from 1.3 on)")
    b = bundle()
    b.linux["rootfsPropagation"] = propagation
    optional = mounts_inside(runtime, b)["/"].optional
    assert ("shared:" in optional) == ("shared" in propagation)
    assert ("unbindable" in optional) == ("unbindable" in propagation)
    if "private" in propagation:
        assert "master:" not in optional


def test_without_propagation_nothing_reaches_the_host(runtime, bundle):
    optional = mounts_inside(runtime, bundle())["/"].optional
    assert "shared:" not in optional


def test_an_unknown_propagation_is_refused(runtime, bundle):
    b = bundle("true")
    b.linux["rootfsPropagation"] = "sideways"
    err = refused(runtime, b, "sideways")
    if runtime.name == "pyrunc":
        assert "/linux/rootfsPropagation" in err


def test_the_hosts_own_mounts_keep_their_propagation(runtime, bundle):
    before = Path("/proc/self/mountinfo").read_text()
    for propagation in ("private", "slave", "shared", "unbindable"):
        b = bundle("true")
        b.linux["rootfsPropagation"] = propagation
        runtime.run(b, check=False)
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.pyrunc_only("executes in the root of whoever calls it")
@pytest.mark.parametrize("how", ["absent", "by path"])
def test_exec_without_a_mount_namespace_is_in_the_root_too(runtime, bundle, how):
    """The root of the container is init's, not the host's."""
    b = bundle("sleep", "1000")
    b.namespace("mount", drop=how == "absent", path="/proc/self/ns/mnt")
    for field in ("maskedPaths", "readonlyPaths"):
        del b.linux[field]
    (b.rootfs / "mark").touch()
    name = runtime.start(b)
    try:
        assert runtime.exec(name, "ls", "/mark", "../mark").stdout.split() == ["../mark", "/mark"]
    finally:
        runtime("delete", "--force", name)
        subprocess.run(["umount", "-R", "-l", str(b.rootfs)], check=True)  # what it has mounted is ours
