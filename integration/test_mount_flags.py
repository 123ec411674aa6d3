"""Flags of mounts: which of a bind's source stay, how access times are kept, and what a user namespace may not change."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from integration.looking import FIRST, mapped, mountinfo, mounts_inside, refused, volume

TIMES = ("noatime", "relatime", "nodiratime")
INTERESTING = {"ro", "nosuid", "nodev", "noexec", "nosymfollow", *TIMES}


@pytest.fixture
def source(tmp_path):
    """Return a function that makes a mount of the host with FLAGS, which keeps times strictly unless these say."""
    made = []

    def make(flags: str = "rw") -> Path:
        path = tmp_path / f"source{len(made)}"
        path.mkdir(mode=0o777)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "none", str(path)], check=True)
        made.append(path)
        for words in ("diratime,strictatime", flags):  # mount(8) keeps how access times are kept, if nothing says
            subprocess.run(["mount", "--bind", "-o", f"remount,{words}", str(path)], check=True)
        return path

    yield make
    for path in made:
        subprocess.run(["umount", str(path)], check=True)


def seen(runtime, b, source, rows):
    """Mount what ROWS say in B, each with a source of its own; return the rows with the flags that are there in the third place."""
    first = len(b.config["mounts"])
    for number, (have, options, _) in enumerate(rows):
        b.mount(f"/data/{number}", "bind", str(source(have)), *options.split(","))
    found = mounts_inside(runtime, b)
    assert len(b.config["mounts"]) - first == len(rows)
    return [(*row[:2], set(found[f"/data/{number}"].options) & INTERESTING) for number, row in enumerate(rows)]


def expected(rows):
    """Return ROWS with the flags as sets."""
    return [(have, options, set(left.split())) for have, options, left in rows]


# Flags of the source, options of the bind, flags that the bind has.
CLEARED = [
    ("ro,noexec,nosymfollow,nodiratime", "bind", "ro noexec nosymfollow nodiratime relatime"),
    ("ro,noexec,nosymfollow", "rbind,rprivate", "ro noexec nosymfollow"),
    ("ro,nosuid", "bind,nosuid,nodev,rprivate", "nosuid nodev"),
    ("ro,noexec,nosymfollow", "bind,dev", ""),
    ("ro", "bind,rw,nosuid", "nosuid"),
    ("nosuid,nodev,noexec,noatime", "bind,dev,suid,exec,atime", "noatime"),
    ("nosuid,nodev,noexec", "bind,ro", "ro"),
    ("nodev,nosymfollow", "bind,ro,symfollow", "ro"),
    ("nosuid,noexec,noatime", "bind,ro,exec", "ro noatime"),
    ("ro,nosuid", "bind,async", ""),
    ("ro,nosuid", "bind,silent", ""),
    ("ro,nosuid", "rbind,rnodev", "ro nosuid nodev"),
    ("ro,nosuid", "rbind,nosuid,rro", "ro nosuid"),
    # How access times are kept stays, unless a word chooses: then all of it is chosen.
    ("noatime", "bind,atime", "noatime"),
    ("noatime", "bind,norelatime", "noatime"),
    ("noatime", "bind,nostrictatime", "noatime"),
    ("strictatime", "bind,nostrictatime", ""),
    ("nodiratime,relatime", "bind,diratime", "nodiratime relatime"),
    ("noatime", "bind,relatime", "relatime"),
    ("noatime", "bind,strictatime", ""),
    ("noatime", "bind,nodiratime", "nodiratime relatime"),
    ("noatime", "bind,nodiratime,strictatime", "nodiratime"),
    ("nodiratime", "bind,strictatime", ""),
    ("nodiratime", "bind,noatime", "noatime"),
    ("strictatime", "bind,noatime,relatime", "noatime"),
    ("relatime", "bind,noatime,strictatime", ""),
    ("relatime", "bind,strictatime,atime", ""),
    ("noatime", "bind,strictatime,nostrictatime", "noatime"),
    ("strictatime", "rbind,rnorelatime", "relatime"),
    ("noatime", "rbind,ratime", "relatime"),
    ("noatime", "rbind,rnoatime,rrelatime", "noatime"),
    ("strictatime", "rbind,rnodiratime", "nodiratime"),
]


def test_what_a_bind_does_not_name_is_cleared(runtime, bundle, source):
    assert seen(runtime, bundle(), source, CLEARED) == expected(CLEARED)


# The same in a user namespace, where the flags of the host's mounts are locked, but nosymfollow.
KEPT = [
    ("ro,noexec,nosymfollow", "bind", "ro noexec nosymfollow"),
    ("ro,noexec,nosymfollow,nodiratime,relatime", "bind,dev", "ro noexec nodiratime relatime"),
    ("ro", "bind,nosuid,nodev", "ro nosuid nodev"),
    ("nosuid,nodev,noexec,noatime", "bind,ro", "ro nosuid nodev noexec noatime"),
    ("nodev,nosymfollow", "bind,ro,symfollow", "ro nodev"),
    ("nodev,nosymfollow", "bind,rw", "nodev"),
    ("nosuid,noatime", "bind,ro,exec", "ro nosuid noatime"),
    ("noatime,nodiratime", "bind,norelatime", "noatime nodiratime"),
    ("strictatime", "bind,nostrictatime", ""),
    ("nodiratime,relatime", "bind,diratime", "nodiratime relatime"),
    ("noatime", "bind,atime", "noatime"),
    ("noatime,nosuid", "bind,noatime", "noatime nosuid"),
    ("noatime,nodiratime,nodev", "bind,ro,noatime,nodiratime", "noatime nodiratime nodev ro"),
    ("relatime,nosuid", "bind,nodev,relatime", "relatime nosuid nodev"),
    ("strictatime,nosuid", "bind,strictatime", "nosuid"),
    ("noatime", "rbind,rnoatime", "noatime"),
    ("relatime,nodev", "rbind,rro", "ro nodev relatime"),
]


def test_what_a_user_namespace_may_not_clear_stays(runtime, bundle, source):
    assert seen(runtime, mapped(bundle()), source, KEPT) == expected(KEPT)


REFUSED = [
    ("ro", "bind,rw,nosuid,nodev"),
    ("nodev,nosuid,noatime", "bind,dev,suid,exec,atime"),
    ("noexec", "bind,exec"),
    ("nosuid", "bind,nosuid,suid"),
    ("ro,noatime", "bind,atime"),
    ("nodiratime,relatime", "bind,strictatime"),
    ("relatime", "bind,strictatime"),
    ("relatime", "bind,noatime"),
    ("relatime", "bind,nodiratime"),
    ("noatime", "bind,relatime"),
    ("noatime", "bind,strictatime"),
    ("strictatime", "bind,relatime"),
    ("strictatime", "bind,noatime"),
    ("strictatime", "bind,nodiratime"),
    ("strictatime,nosuid", "bind,ro,noatime"),
    ("relatime", "rbind,rnoatime"),
    ("ro", "rbind,rrw"),
]


@pytest.mark.parametrize(("have", "options"), REFUSED)
def test_what_a_user_namespace_may_not_clear_is_refused_if_it_is_named(runtime, bundle, source, have, options):
    b = mapped(bundle())
    b.mount("/data", "bind", str(source(have)), *options.split(","))
    err = refused(runtime, b, "error mounting")
    if runtime.name == "pyrunc":  # runc lacks the words for one of them
        assert "operation not permitted" in err
        assert f"at /mounts/{len(b.config['mounts']) - 1}/options" in err


def test_what_was_mounted_inside_is_not_locked(runtime, bundle):
    """A bind of a bind: the second may lack what the first has got."""
    b = mapped(bundle())
    b.mount("/data", "bind", str(volume(b)), "bind", "nosuid", "noexec")
    b.mount("/tmp", "bind", str(b.rootfs / "data"), "bind", "ro", "exec")
    found = mounts_inside(runtime, b)
    assert found["/tmp"].options & {"ro", "nosuid", "noexec"} == {"ro"}
    assert found["/data"].options & {"ro", "nosuid", "noexec"} == {"nosuid", "noexec"}


# Access times of a new file system: options, flags.
NEW = [
    ("", "relatime"),
    ("norelatime", "relatime"),
    ("nostrictatime", "relatime"),
    ("atime", "relatime"),
    ("noatime,relatime", "noatime"),
    ("relatime,noatime", "noatime"),
    ("strictatime,atime", ""),
    ("strictatime,noatime", ""),
    ("noatime,strictatime", ""),
    ("noatime,norelatime", "noatime"),
    ("strictatime,nostrictatime,noatime", "noatime"),
    ("nodiratime,strictatime", "nodiratime"),
]


@pytest.mark.parametrize("user", [False, True])
def test_access_times_of_a_new_file_system(runtime, bundle, user):
    b = mapped(bundle()) if user else bundle()
    for number, (options, _) in enumerate(NEW):
        b.mount(f"/data/{number}", "tmpfs", "tmpfs", *options.split(","))
    rows = mounts_inside(runtime, b)
    found = [(options, rows[f"/data/{number}"].options & set(TIMES)) for number, (options, _) in enumerate(NEW)]
    assert found == [(options, set(left.split())) for options, left in NEW]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("options", ["ro,noatime", "ro,strictatime", "nodiratime,ro"])
def test_access_times_of_a_cgroup_mount(runtime, bundle, own, options):
    if runtime.name == "runc" and own:
        pytest.skip("runc keeps nothing but ro there")
    b = bundle()
    b.namespace("cgroup", drop=not own)
    for mount in b.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = options.split(",")
    rows = [row for row in mounts_inside(runtime, b).values() if row.type in ("cgroup", "cgroup2")]
    wanted = {"ro,noatime": {"noatime"}, "ro,strictatime": set(), "nodiratime,ro": {"nodiratime", "relatime"}}[options]
    assert rows
    for row in rows:
        assert row.options & set(TIMES) == wanted
        assert "ro" in row.options


# Several options in one string


def test_options_in_one_string(runtime, bundle):
    b = bundle("sh", "-c", "stat -c %a /data; cat /proc/self/mountinfo")
    b.mount("/data", "tmpfs", "tmpfs", "size=64k,mode=1770", "nosuid")
    mode, rows = runtime.output(b).split("\n", 1)
    assert mode == "1770"
    assert "size=64k" in mountinfo(rows)["/data"].superblock


@pytest.mark.pyrunc_only("it gives all of such a string to the file system")
def test_flags_in_one_string(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "nosuid,size=64k,ro")
    b.mount("/tmp", "none", str(volume(b)), "rbind,ro,noexec,rprivate")
    found = mounts_inside(runtime, b)
    assert {"nosuid", "ro"} <= found["/data"].options
    assert "size=64k" in found["/data"].superblock
    assert {"noexec", "ro"} <= found["/tmp"].options


@pytest.mark.pyrunc_only("it says no place")
def test_a_wrong_one_in_one_string_is_named(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "tmpfs", "tmpfs", "nosuid", "size=64k,nonsense=1")
    refused(runtime, b, "nonsense", "/mounts/7/options/1")


# A device that is read-only


def test_a_file_system_on_a_device_that_is_read_only(runtime, bundle, tmp_path):
    if shutil.which("mkfs.ext4") is None and not Path("/sbin/mkfs.ext4").exists():
        pytest.skip("mkfs.ext4 is not installed")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run([shutil.which("mkfs.ext4") or "/sbin/mkfs.ext4", "-q", str(image)], check=True)
    done = subprocess.run(["losetup", "--read-only", "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this machine has no loop devices to spare")
    device = done.stdout.strip()
    try:
        b = bundle()
        b.mount("/data", "ext4", device, "ro")
        row = mounts_inside(runtime, b)["/data"]
        assert (row.type, row.source) == ("ext4", device)
        assert "ro" in row.options & row.superblock
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


# Who owns what the kernel makes in a user namespace


OWNED = ["/dev/mqueue", "/dev/shm", "/dev", "/dev/pts", "/proc/sys/net/ipv4", "/proc/self", "/sys/class/net/lo/mtu"]


def test_it_belongs_to_root_inside(runtime, bundle):
    b = mapped(bundle("stat", "-L", "-c", "%n %u", *OWNED))
    assert runtime.output(b).splitlines() == [f"{path} 0" for path in OWNED]


def test_a_message_queue_can_be_made(runtime, bundle):
    b = mapped(bundle("touch /dev/mqueue/one && stat -c %u /dev/mqueue/one"))
    assert runtime.output(b) == "0\n"


def test_mount_points_that_are_made(runtime, bundle):
    b = bundle("true")
    (b.path / "file").touch()
    b.mount("/new/file", "bind", str(b.path / "file"), "bind")
    b.mount("/other/directory", "tmpfs", "tmpfs")
    runtime.run(b, umask=0o077)
    modes = {name: (b.rootfs / name).stat().st_mode & 0o7777 for name in ("new", "new/file", "other", "other/directory")}
    assert modes["new/file"] == 0o644 or runtime.name == "runc"  # which heeds the caller's umask there
    if runtime.name == "pyrunc":
        assert [modes[name] for name in ("new", "other", "other/directory")] == [0o755] * 3


def test_the_mode_of_a_files_mount_point(runtime, bundle):
    b = mapped(bundle("true"))
    (b.path / "file").touch()
    b.mount("/newfile", "bind", str(b.path / "file"), "bind", "ro")
    runtime.run(b)
    found = (b.rootfs / "newfile").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_size) == (0o644, FIRST, 0)
