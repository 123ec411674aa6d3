"""tmpcopyup: a tmpfs that begins with what the image has in its place (config.md, "Linux mount options")."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from integration.looking import FIRST, give, mapped, mounts_inside, on_disk, refused, volume

elsewhere = pytest.mark.pyrunc_only("1.1 copies only the mode and owner of files, and fails on all that is neither file nor link")
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])


@pytest.fixture
def tmp_path(tmp_path):
    """Be on a file system that has devices, set-id bits and all extended attributes."""
    with on_disk(tmp_path) as path:
        yield path


def with_tmpfs(b, *options, at="/data"):
    b.mount(at, "tmpfs", "tmpfs", "tmpcopyup", *options)
    return b


def test_files_directories_and_links(runtime, bundle):
    b = with_tmpfs(bundle("sh", "-c", "cat /data/file /data/deep/er/file /data/link; readlink /data/link; echo x >/data/file"))
    (b.rootfs / "data/deep/er").mkdir(parents=True)
    (b.rootfs / "data/file").write_text("one\n")
    (b.rootfs / "data/deep/er/file").write_text("two\n")
    (b.rootfs / "data/link").symlink_to("deep/er/file")
    assert runtime.output(b).split() == ["one", "two", "two", "deep/er/file"]
    assert (b.rootfs / "data/file").read_text() == "one\n"


def test_without_it_the_tmpfs_is_empty(runtime, bundle):
    b = bundle("ls", "-A", "/data")
    (b.rootfs / "data/file").touch()
    b.mount("/data", "tmpfs", "tmpfs")
    assert runtime.output(b) == ""


def test_modes_and_owners(runtime, bundle):
    b = with_tmpfs(bundle("stat", "-c", "%n %a %u:%g", "/data/file", "/data/set", "/data/none"))
    for name, mode, uid, gid in (("file", 0o640, 7, 8), ("set", 0o6755, 9, 10), ("none", 0, 0, 0)):
        path = b.rootfs / "data" / name
        path.touch()
        os.chown(path, uid, gid)
        path.chmod(mode)
    found = {line.split()[0][6:]: line.split()[1:] for line in runtime.output(b).splitlines()}
    assert found["file"] == ["640", "7:8"]
    assert found["set"] == ["6755", "9:10"]
    assert found["none"] == ["0", "0:0"]


@elsewhere
def test_mode_and_owner_of_a_directory(runtime, bundle):
    b = with_tmpfs(bundle("stat", "-c", "%a %u:%g", "/data/sticky"))
    (b.rootfs / "data/sticky").mkdir()
    os.chown(b.rootfs / "data/sticky", 5, 6)
    (b.rootfs / "data/sticky").chmod(0o3777)
    assert runtime.output(b) == "3777 5:6\n"


NOBODY = 0xFFFFFFFF
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in ((1, 6, NOBODY), (2, 4, 77), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
)  # user::rw-,user:77:r--,group::r--,mask::r--,other::---


@elsewhere
def test_a_mode_that_is_asked_for_wins_over_an_access_list(runtime, bundle):
    b = with_tmpfs(bundle("stat", "-c", "%a", "/data"), "mode=711")
    os.setxattr(b.rootfs / "data", "system.posix_acl_access", ACL)
    assert runtime.output(b) == "711\n"


@pytest.mark.parametrize(("options", "expected"), [((), "2750 5:6"), (("mode=711", "uid=1"), "711 1:0")])
@elsewhere
def test_the_directory_itself(runtime, bundle, options, expected):
    b = with_tmpfs(bundle("stat", "-c", "%a %u:%g", "/data"), *options)
    os.chown(b.rootfs / "data", 5, 6)
    (b.rootfs / "data").chmod(0o2750)
    assert runtime.output(b).strip() == expected


@elsewhere
def test_times_are_kept(runtime, bundle):
    b = with_tmpfs(bundle("stat", "-c", "%Y", "/data/file", "/data/directory"))
    (b.rootfs / "data/directory").mkdir()
    (b.rootfs / "data/directory/inner").touch()
    for name in ("file", "directory"):
        (b.rootfs / "data" / name).touch()
        os.utime(b.rootfs / "data" / name, (1000, 2000))
    assert runtime.output(b).split() == ["2000", "2000"]


@elsewhere
def test_names_of_one_file_stay_names_of_one_file(runtime, bundle):
    b = with_tmpfs(bundle("sh", "-c", "stat -c %h /data/a; echo new >/data/a; cat /data/sub/b /data/c"))
    (b.rootfs / "data/sub").mkdir()
    (b.rootfs / "data/a").write_text("old\n")
    os.link(b.rootfs / "data/a", b.rootfs / "data/sub/b")
    os.link(b.rootfs / "data/a", b.rootfs / "outside")
    (b.rootfs / "data/c").write_text("other\n")
    assert runtime.output(b).split() == ["2", "new", "other"]
    assert (b.rootfs / "outside").read_text() == "old\n"


def attributes_inside(runtime, b, path):
    """Return extended attributes of PATH in a container of B, through /proc."""
    name = runtime.start(b)
    place = f"/proc/{runtime.pid(name)}/root{path}"
    return {each: os.getxattr(place, each) for each in os.listxattr(place)}


@elsewhere
def test_extended_attributes(runtime, bundle):
    b = with_tmpfs(bundle())
    path = b.rootfs / "data/file"
    path.touch()
    os.setxattr(path, "trusted.pyrunc", b"value")
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    os.setxattr(path, "security.capability", capability)
    os.setxattr(path, "system.posix_acl_access", ACL)
    wanted = {"trusted.pyrunc": b"value", "security.capability": capability, "system.posix_acl_access": ACL}
    os.setxattr(path, "user.pyrunc", b"mine")
    if KERNEL >= (6, 6):  # before that, a tmpfs has none of these
        wanted["user.pyrunc"] = b"mine"
    assert attributes_inside(runtime, b, "/data/file") == wanted


@elsewhere
def test_a_fifo_does_not_block(runtime, bundle):
    b = with_tmpfs(bundle("stat", "-c", "%F %a %u", "/data/fifo"))
    os.mkfifo(b.rootfs / "data/fifo", 0o640)
    (b.rootfs / "data/fifo").chmod(0o640)
    os.chown(b.rootfs / "data/fifo", 3, 3)
    assert runtime.output(b) == "fifo 640 3\n"


@elsewhere
def test_a_socket(runtime, bundle):
    b = with_tmpfs(bundle("stat", "-c", "%F", "/data/s"))
    here = os.getcwd()
    os.chdir(b.rootfs / "data")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
    os.chdir(here)
    assert runtime.output(b) == "socket\n"


@elsewhere
def test_a_device(runtime, bundle):
    b = with_tmpfs(bundle("sh", "-c", "stat -c '%F %t:%T %a' /data/null; echo x >/data/null && echo written"))
    os.mknod(b.rootfs / "data/null", stat.S_IFCHR | 0o622, os.makedev(1, 3))
    (b.rootfs / "data/null").chmod(0o622)
    assert runtime.output(b).splitlines() == ["character special file 1:3 622", "written"]


@pytest.mark.parametrize("forbids", ["nodev", "nosuid"])
@elsewhere
def test_what_the_roots_mount_forbids_a_copy_does_not_undo(runtime, bundle, forbids):
    b = with_tmpfs(bundle("sh", "-c", "ls /data; stat -c %a /data/set"))
    os.mknod(b.rootfs / "data/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (b.rootfs / "data/set").touch()
    (b.rootfs / "data/set").chmod(0o4755)
    subprocess.run(["mount", "--bind", str(b.rootfs), str(b.rootfs)], check=True)
    subprocess.run(["mount", "-o", f"remount,bind,{forbids}", str(b.rootfs)], check=True)
    try:
        out = runtime.output(b).split()
    finally:
        subprocess.run(["umount", str(b.rootfs)], check=True)
    assert out == (["set", "4755"] if forbids == "nodev" else ["null", "set", "755"])


@pytest.mark.parametrize("options", [["nodev"], ["ro"], ["noexec", "nosuid", "size=1m", "rprivate"]])
def test_with_other_options(runtime, bundle, options):
    b = with_tmpfs(bundle("sh", "-c", "cat /data/file; touch /data/new 2>/dev/null && echo writable; true"), *options)
    (b.rootfs / "data/file").write_text("content\n")
    if runtime.name == "runc" and options == ["ro"]:
        pytest.skip("runc 1.1 copies nothing then")
    assert runtime.output(b).split() == ["content"] + ["writable"] * (options != ["ro"])
    found = mounts_inside(runtime, b)["/data"]
    assert {option for option in options if option.startswith(("no", "ro"))} <= found.options


def test_a_directory_that_the_image_does_not_have(runtime, bundle):
    b = with_tmpfs(bundle("ls -A /new; stat -c %a /new"), at="/new")
    assert runtime.output(b) == "1777\n"  # as of a new tmpfs


@elsewhere
def test_in_a_user_namespace(runtime, bundle):
    words = "stat -c '%n %u:%g %a' /data/file /data/user; ls /data"
    b = mapped(bundle("sh", "-c", words))
    for name, owner in (("file", FIRST), ("user", FIRST + 1000)):
        (b.rootfs / "data" / name).touch()
        os.chown(b.rootfs / "data" / name, owner, owner)
        (b.rootfs / "data" / name).chmod(0o600)
    os.mknod(b.rootfs / "data/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with_tmpfs(b)
    assert runtime.output(b).splitlines() == ["/data/file 0:0 600", "/data/user 1000:1000 600", "file", "user"]


@elsewhere
def test_names_that_are_not_text(runtime, bundle):
    b = with_tmpfs(bundle("sh", "-c", "cat /data/*"))
    for name in (b"\xff\xfe", b"new\nline", b"-dash", "\u00e4\u4e2d".encode()):
        Path(os.fsdecode(os.fsencode(b.rootfs / "data") + b"/" + name)).write_text("x")
    assert runtime.output(b) == "xxxx"
    assert runtime.output(b, env={**os.environ, "LC_ALL": "C"}) == "xxxx"


# Images that mean harm


def test_links_that_lead_out_are_copied_as_links(runtime, bundle, tmp_path):
    b = with_tmpfs(bundle("sh", "-c", "for f in out proc self; do readlink /data/$f; done; cat /data/out 2>/dev/null || echo nothing"))
    secret = tmp_path / "secret"
    secret.write_text("of the host\n")
    (b.rootfs / "data/out").symlink_to(secret)
    (b.rootfs / "data/proc").symlink_to("/proc/1/root/etc/shadow")
    (b.rootfs / "data/self").symlink_to("/proc/self/exe")
    assert runtime.output(b).splitlines() == [str(secret), "/proc/1/root/etc/shadow", "/proc/self/exe", "nothing"]


def test_a_link_in_place_of_the_directory(runtime, bundle, tmp_path):
    b = with_tmpfs(bundle("ls -A /data; ls -A /inside"), at="/link")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    (b.rootfs / "link").symlink_to(f"../../../..{outside}")
    assert runtime.run(b, check=False).stdout == ""
    assert [path.name for path in outside.iterdir()] == ["secret"]


@elsewhere
def test_what_is_mounted_below_is_not_copied(runtime, bundle):
    b = bundle("sh", "-c", "ls /data; mount | grep -c ' /data'")
    b.mount("/data/proc", "bind", str(volume(b, "volume", "secret")), "bind")
    (b.rootfs / "data/file").touch()
    with_tmpfs(b)
    assert runtime.output(b).split() == ["file", "2"]


@elsewhere
def test_a_sparse_file_stays_sparse(runtime, bundle):
    b = with_tmpfs(bundle("sh", "-c", "stat -c '%s %b' /data/big; tail -c 4 /data/big; head -c 4 /data/big"), "size=1m")
    with (b.rootfs / "data/big").open("wb") as file:
        file.write(b"head")
        file.truncate(1 << 40)
        file.seek((1 << 40) - 4)
        file.write(b"tail")
    first, rest = runtime.output(b, timeout=20).split("\n", 1)
    size, blocks = first.split()
    assert (size, rest) == (str(1 << 40), "tailhead")
    assert int(blocks) < 100


@elsewhere
def test_more_than_fits_is_an_error(runtime, bundle):
    b = with_tmpfs(bundle("true"), "size=64k")
    (b.rootfs / "data/big").write_bytes(b"x" * (1 << 20))
    refused(runtime, b, '"/big"', "no space left on device", "raise size", "/mounts/7/options/0")


@elsewhere
def test_the_container_pays_for_it(runtime, bundle):
    b = with_tmpfs(bundle("true"))
    (b.rootfs / "data/big").write_bytes(b"x" * (64 << 20))
    b.linux["resources"] = {"memory": {"limit": 32 << 20, "swap": 32 << 20}}
    refused(runtime, b, "memory")


def deep(directory, levels):
    """Make LEVELS of directories below DIRECTORY, deeper than a path can say."""
    fd = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        new = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = new
    os.close(fd)


def test_deep(runtime, bundle):
    b = with_tmpfs(bundle("find /data | wc -l"))
    deep(b.rootfs / "data", 120)
    assert runtime.output(b) == "121\n"


@elsewhere
def test_too_deep_is_an_error(runtime, bundle):
    b = with_tmpfs(bundle("true"))
    deep(b.rootfs / "data", 400)
    refused(runtime, b, "deeper than")


def test_many_files_take_no_descriptors(runtime, bundle):
    b = with_tmpfs(bundle("ls /data | wc -l"))
    for number in range(3000):
        (b.rootfs / f"data/{number}").touch()
    assert runtime.output(b) == "3000\n"


@elsewhere
def test_while_another_swaps_files_for_links_and_fifos(runtime, bundle, tmp_path):
    """Whatever is there when a name is opened is what is copied: never what lies behind a link."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("of the host\n")
    b = with_tmpfs(bundle("sh", "-c", "cd /data; for f in a b; do [ -f $f/file ] && [ ! -L $f ] && cat $f/file; done; true"))
    data = b.rootfs / "data"
    (data / "a").mkdir()
    (data / "a/file").write_text("of the image\n")
    done = threading.Event()

    def swap():
        while not done.is_set():
            os.rename(data / "a", data / "b")
            (data / "a").symlink_to(secret)
            (data / "a").unlink()
            os.mkfifo(data / "a")
            (data / "a").unlink()
            os.rename(data / "b", data / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(15):
            assert "of the host" not in runtime.output(b, timeout=20)
    finally:
        done.set()
        thread.join()


# What it is not for


@pytest.mark.parametrize("kind", ["bind", "overlay"])
@elsewhere
def test_other_types_are_refused(runtime, bundle, kind):
    b = bundle("true")
    b.mount("/data", kind, str(volume(b)), "tmpcopyup")
    refused(runtime, b, "tmpcopyup", "/mounts/7/options/0")


def test_a_container_may_unmount_it(runtime, bundle):
    b = with_tmpfs(give(bundle("umount /data; ls /data"), "CAP_SYS_ADMIN"))
    (b.rootfs / "data/file").touch()
    assert runtime.run(b, check=False).stdout == "file\n"
