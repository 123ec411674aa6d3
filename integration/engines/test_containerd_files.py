"""containerd, used by ctr: volumes and the root."""

from __future__ import annotations

import pytest

from integration.engines.conftest import need
from integration.engines.containerd import NEEDED
from integration.harness.bundle import make_rootfs
from integration.looking import mountinfo

need(*NEEDED)

QUICK = ()


def test_a_volume_read_only(box, tmp_path):
    (tmp_path / "file").write_text("of the host\n")
    mount = f"type=bind,src={tmp_path},dst=/seen,options=rbind:ro"
    done = box.run("--mount", mount, do="cat /seen/file; echo more >>/seen/file", check=False)
    assert done.stdout == "of the host\n"
    assert "Read-only file system" in done.stderr
    assert (tmp_path / "file").read_text() == "of the host\n"


def test_a_volume_read_write(box, tmp_path):
    box.run("--mount", f"type=bind,src={tmp_path},dst=/new/place,options=rbind:rw", do="echo more >/new/place/file")
    assert (tmp_path / "file").read_text() == "more\n"


@pytest.mark.parametrize(("option", "seen"), [("bind", ""), ("rbind", "below\n")])
def test_mounts_below_a_volume(box, tmp_path, option, seen):
    place = box.containerd.place
    (tmp_path / "top/sub").mkdir(parents=True)
    place.run("mount", "-t", "tmpfs", "tmpfs", tmp_path / "top/sub")
    place.run("sh", "-c", f"echo below >{tmp_path}/top/sub/file")
    try:
        assert box.says("--mount", f"type=bind,src={tmp_path}/top,dst=/top,options={option}:rw", do="cat /top/sub/file 2>/dev/null || true") == seen
    finally:
        place.run("umount", tmp_path / "top/sub")


@pytest.mark.parametrize(("option", "arrives"), [("rslave", True), ("rshared", True), ("rprivate", False)])
def test_propagation_of_a_volume(box, tmp_path, option, arrives):
    place = box.containerd.place
    top = tmp_path / "top"
    top.mkdir()
    place.run("mount", "-t", "tmpfs", "tmpfs", top)
    place.run("mount", "--make-shared", top)
    try:
        name = box.start("--mount", f"type=bind,src={top},dst=/top,options=rbind:{option}")
        place.run("sh", "-ec", f"mkdir {top}/late; mount -t tmpfs late {top}/late")
        seen = mountinfo(box.exec(name, do=("cat", "/proc/self/mountinfo")).stdout)
        assert ("/top/late" in seen) is arrives
    finally:
        place.run("umount", "-R", top)


def test_a_tmpfs(box):
    mount = "type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m:mode=700:noexec"
    seen = mountinfo(box.says("--mount", mount, do=("cat", "/proc/self/mountinfo")))["/scratch"]
    assert seen.type == "tmpfs"
    assert {"noexec", "size=1024k", "mode=700"} <= seen.options | seen.superblock


def test_read_only_root(box):
    done = box.run("--read-only", do="echo more >/file; echo fine >/run/file && cat /run/file")
    assert done.stdout == "fine\n"
    assert "/file: Read-only file system" in done.stderr


def test_a_writable_root_is_the_containers_own(box):
    name = box.start()
    box.exec(name, do="echo changed >/data/file")
    assert box.says(do=("cat", "/data/file")) == "from the image\n"


def test_masked_and_read_only_paths(box):
    script = "head -c 1 /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/vm/swappiness"
    done = box.run(do=script, check=False)
    assert done.stdout == "0\n0\n"
    assert "Read-only file system" in done.stderr


def test_a_directory_as_root(box, tmp_path):
    rootfs = make_rootfs(tmp_path / "root")
    assert box.says("--rootfs", "--env", "PATH=/bin", of=rootfs, do="echo made >/made; echo $$") == "1\n"
    assert (rootfs / "made").read_text() == "made\n"


@pytest.mark.pyrunc_only("1.1 does not apply it")
def test_the_mount_of_root_propagates_as_asked(box, tmp_path):
    rootfs = make_rootfs(tmp_path / "root")
    flags = ("--rootfs", "--env", "PATH=/bin", "--rootfs-propagation", "shared", "--privileged")
    seen = mountinfo(box.says(*flags, of=rootfs, do=("cat", "/proc/self/mountinfo")))["/"]
    assert seen.optional.startswith("shared:")


def test_no_pivot(box):
    assert box.says("--no-pivot", do="cat /data/file; ls -d /work /scratch 2>/dev/null; true") == "from the image\n"
