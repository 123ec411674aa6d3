"""Paths of mounts, devices and masks that are not written as they are meant: cleaned by their text, inside the root."""

from __future__ import annotations

import subprocess

import pytest

from integration.looking import mapped, refused

CLEANED = [("/a/../m", "/m"), ("/data/./x//y/", "/data/x/y"), ("/../../up", "/up"), ("relative/../place", "/place")]


def points(runtime, b):
    """Run B, which shows its mounts; return where the mounts of source "here" are."""
    b.process["args"] = ["cat", "/proc/self/mountinfo"]
    return [line.split()[4] for line in runtime.output(b).splitlines() if line.split(" - ")[1].split()[1] == "here"]


@pytest.mark.parametrize(("written", "meant"), CLEANED)
def test_destinations(runtime, bundle, written, meant):
    b = bundle()
    b.mount(written, "tmpfs", "here")
    assert points(runtime, b) == [meant]
    assert not (b.rootfs / "a").exists()
    assert not (b.rootfs / "relative").exists()


def test_no_link_of_the_image_decides_what_dot_dot_is(runtime, bundle):
    b = bundle()
    (b.rootfs / "data/deep").mkdir()
    (b.rootfs / "link").symlink_to("/data/deep")
    b.mount("/link/../m", "tmpfs", "here")
    b.mount("/link/n", "tmpfs", "here")  # without dots it is followed
    assert points(runtime, b) == ["/m", "/data/deep/n"]


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_destination_that_begins_with_the_rootfs(runtime, bundle, tmp_path, kind):
    b = bundle()
    b.mount(f"{b.rootfs}/data/../mnt", kind, "here" if kind == "tmpfs" else str(tmp_path), *(["bind"] if kind == "bind" else []))
    b.process["args"] = ["grep", "-c", " /mnt ", "/proc/self/mountinfo"]
    assert runtime.output(b) == "1\n"


def test_a_name_that_only_begins_like_the_rootfs(runtime, bundle):
    b = bundle()
    b.mount(f"{b.rootfs}ed/mnt", "tmpfs", "here")
    assert points(runtime, b) == [f"{b.rootfs}ed/mnt"]


def test_the_rootfs_itself_is_no_destination(runtime, bundle):
    b = bundle("true")
    b.mount(f"{b.rootfs}/.", "tmpfs", "here")
    refused(runtime, b)


def test_what_is_below_proc_by_its_text(runtime, bundle):
    b = bundle("true")
    b.mount("/data/../proc/sys", "tmpfs", "here")
    refused(runtime, b, "inside /proc")


def test_dev_that_is_bound_under_another_spelling(runtime, bundle, tmp_path):
    """It is somebody else's directory, where nothing is made."""
    b = bundle("ls", "/dev")
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    del b.linux["maskedPaths"]  # runc hides by the container's /dev/null
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/mark").touch()
    b.mount("/data/..//dev/", "bind", str(tmp_path / "dev"), "bind")
    assert runtime.output(b) == "mark\n"


@pytest.mark.parametrize("written", ["/dev/x/../null2", "{rootfs}/dev/null2", "/dev/./null2"])
def test_devices(runtime, bundle, written):
    b = bundle("stat", "-c", "%F %t:%T", "/dev/null2")
    b.linux["devices"] = [{"path": written.format(rootfs=b.rootfs), "type": "c", "major": 1, "minor": 3}]
    assert runtime.output(b) == "character special file 1:3\n"


def test_a_device_that_is_bound(runtime, bundle):
    b = mapped(bundle("stat", "-c", "%F %t:%T", "/dev/kmsg"))
    b.linux["devices"] = [{"path": "/dev/./kmsg", "type": "c", "major": 1, "minor": 11}]
    assert runtime.output(b) == "character special file 1:b\n"


def test_ptmx_is_the_containers_own_whatever_is_asked(runtime, bundle):
    b = bundle("readlink", "/dev/ptmx")
    b.linux["devices"] = [{"path": "/dev/./ptmx", "type": "c", "major": 5, "minor": 2}]
    assert runtime.output(b) == "pts/ptmx\n"


@pytest.mark.parametrize("field", ["maskedPaths", "readonlyPaths"])
def test_masks(runtime, bundle, field):
    b = bundle("cat /data/word; touch /data/word 2>&1 || true")
    (b.rootfs / "data/word").write_text("seen\n")
    b.linux[field] = ["/tmp/..//data/./word"]
    out = runtime.output(b)
    assert "seen" not in out if field == "maskedPaths" else out == "seen\ntouch: /data/word: Read-only file system\n"


@pytest.mark.pyrunc_only("goes by the link, and hides nothing where there is none")
@pytest.mark.parametrize("way", ["link", "absent"])
def test_no_link_of_the_image_decides_what_is_hidden(runtime, bundle, way):
    b = bundle("cat", "/secret")
    (b.rootfs / "data/deep").mkdir()
    (b.rootfs / "link").symlink_to("/data/deep")
    (b.rootfs / "secret").write_text("seen\n")
    b.linux["maskedPaths"] = [f"/{way}/../secret"]
    assert runtime.output(b) == ""


def test_a_node_that_the_image_has_is_left_as_it_is(runtime, bundle):
    b = bundle("stat", "-c", "%a %u:%g", "/node")
    subprocess.run(["mknod", "-m", "600", str(b.rootfs / "node"), "c", "1", "3"], check=True)
    b.linux["devices"] = [{"path": "/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 7, "gid": 8}]
    assert runtime.output(b) == "600 0:0\n"
