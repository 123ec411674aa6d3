"""Mounts, as the container and the kernel's mountinfo show them (config.md, "Mounts")."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from integration.looking import (
    FIRST,
    cgroup_of,
    compiled,
    give,
    mapped,
    mountinfo,
    mounts_inside,
    refused,
    unified,
    volume,
)

newer = pytest.mark.pyrunc_only("1.1 does not know it")


def test_the_usual_ones(runtime, bundle):
    found = mounts_inside(runtime, bundle())
    kinds = {point: row.type for point, row in found.items()}
    expected = {"/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue"}
    assert {"/proc": "proc", "/sys": "sysfs", **expected}.items() <= kinds.items()
    assert {"ro", "nosuid", "nodev", "noexec"} <= found["/sys"].options
    assert {"nosuid", "strictatime"} & found["/dev"].options == {"nosuid"}
    assert {"mode=755", "size=65536k"} <= found["/dev"].superblock
    assert {"nosuid", "nodev", "noexec"} <= found["/dev/shm"].options
    assert {"nosuid", "nodev", "noexec"} <= found["/dev/mqueue"].options
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= found["/dev/pts"].superblock


def test_nothing_of_the_host_is_mounted(runtime, bundle):
    b = bundle()
    assert not [point for point in mounts_inside(runtime, b) if str(b.path) in point]


# Options


FLAGS = [
    (["ro"], {"ro"}, {"rw"}),
    (["ro", "rw"], {"rw"}, {"ro"}),
    (["rw", "ro"], {"ro"}, {"rw"}),
    (["nosuid", "nodev", "noexec"], {"nosuid", "nodev", "noexec", "rw"}, set()),
    (["nosuid", "suid", "nodev", "dev", "noexec", "exec"], set(), {"nosuid", "nodev", "noexec"}),
    (["noatime"], {"noatime"}, {"relatime"}),
    (["noatime", "atime"], {"relatime"}, {"noatime"}),
    (["relatime"], {"relatime"}, {"noatime"}),
    (["strictatime"], set(), {"noatime", "relatime"}),
    (["nodiratime"], {"nodiratime"}, set()),
    (["nodiratime", "diratime"], set(), {"nodiratime"}),
    (["nodiratime", "noatime"], {"nodiratime", "noatime"}, {"relatime"}),
    (["noatime", "norelatime"], {"noatime"}, {"relatime"}),
    (["norelatime"], {"relatime"}, {"noatime"}),
    (["strictatime", "nostrictatime"], {"relatime"}, {"noatime"}),
    (["defaults", "nosuid"], {"rw", "nosuid"}, {"ro"}),
    (["silent", "loud", "async", "nomand", "nolazytime", "noiversion", "rw"], {"rw"}, {"ro"}),
]


@pytest.mark.parametrize(("options", "there", "absent"), FLAGS, ids=",".join)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_flags(runtime, bundle, kind, options, there, absent):
    if runtime.name == "runc" and kind == "bind" and options == ["noatime", "atime"]:
        pytest.skip("runc 1.1 then leaves the time of access as it finds it")
    if runtime.name == "runc" and kind == "tmpfs" and "defaults" in options:
        pytest.skip("runc 1.1 gives it to tmpfs, which does not know it")
    if runtime.name == "runc" and {"nostrictatime", "norelatime", "loud"} & set(options):
        pytest.skip("runc 1.1 leaves the time of access as it finds it, and gives loud to tmpfs")
    b = bundle()
    if kind == "bind":
        b.mount("/data", "bind", str(volume(b)), "bind", *options)
    else:
        b.mount("/data", "tmpfs", "tmpfs", *options)
    found = mounts_inside(runtime, b)["/data"].options
    assert there <= found
    assert not absent & found


@newer
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_nosymfollow(runtime, bundle, kind):
    b = bundle("sh", "-c", "ln -s /etc/passwd /data/link; cat /data/link")
    options = ("bind", "nosymfollow") if kind == "bind" else ("nosymfollow",)
    b.mount("/data", kind, str(volume(b)), *options)
    assert "Too many levels of symbolic links" in runtime.run(b, check=False).stderr


@pytest.mark.parametrize("word", ["sync", "dirsync"])
def test_flags_of_the_file_system(runtime, bundle, word):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", word)
    assert word in mounts_inside(runtime, b)["/data"].superblock


def test_noexec_nodev_and_nosuid_have_their_effect(runtime, bundle):
    words = """
        cp /bin/busybox /data/id && chmod 4755 /data/id
        /data/id -u || echo noexec
        mknod /data/null c 1 3 && (echo x >/data/null) || echo nodev
    """
    b = give(bundle("sh", "-c", words), "CAP_MKNOD")
    b.mount("/data", "tmpfs", "tmpfs", "noexec", "nodev", "nosuid")
    assert runtime.output(b).split() == ["noexec", "nodev"]


def test_recursive_read_only_reaches_what_is_mounted_below(runtime, bundle):
    if runtime.name == "runc":
        pytest.skip("runc 1.1 of Debian 12 knows it, and its kernel's headers do not")
    words = "touch /data/x || echo top; touch /data/below/x || echo below"
    b = bundle("sh", "-c", f"{words}; touch /plain/below/x && echo written")
    path = volume(b, "volume/below").parent
    subprocess.run(["mount", "-t", "tmpfs", "none", str(path / "below")], check=True)
    try:
        b.mount("/data", "bind", str(path), "rbind", "rro")
        b.mount("/plain", "bind", str(path), "rbind", "ro")
        assert runtime.output(b).split() == ["top", "below", "written"]
    finally:
        subprocess.run(["umount", str(path / "below")], check=True)


# Option -> what it undoes ("" of the mount's own making), what is there afterwards, what is not: on the mount and below it.
RECURSIVE = [
    ("rro", "rw", {"ro"}, {"rw"}),
    ("rrw", "ro", {"rw"}, {"ro"}),
    ("rnosuid", "", {"nosuid"}, set()),
    ("rsuid", "nosuid", set(), {"nosuid"}),
    ("rnodev", "", {"nodev"}, set()),
    ("rdev", "nodev", set(), {"nodev"}),
    ("rnoexec", "", {"noexec"}, set()),
    ("rexec", "noexec", set(), {"noexec"}),
    ("rnodiratime", "", {"nodiratime"}, set()),
    ("rdiratime", "nodiratime", set(), {"nodiratime"}),
    ("rrelatime", "noatime", {"relatime"}, {"noatime"}),
    ("rnorelatime", "strictatime", {"relatime"}, {"noatime"}),
    ("rnoatime", "", {"noatime"}, {"relatime"}),
    ("ratime", "noatime", {"relatime"}, {"noatime"}),
    ("rstrictatime", "noatime", set(), {"relatime", "noatime"}),
    ("rnostrictatime", "strictatime", {"relatime"}, {"noatime"}),
    ("rnosymfollow", "", {"nosymfollow"}, set()),
    ("rsymfollow", "nosymfollow", set(), {"nosymfollow"}),
]


@pytest.fixture
def tree(bundle):
    """Return a function that makes a bundle, and a volume with a mount below that has OPTION."""
    made = []

    def make(option=""):
        b = bundle()
        path = volume(b, "volume/below").parent
        for place in (path, path / "below"):
            place.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
            made.append(place)
        for place in made if option else ():
            subprocess.run(["mount", "-o", f"remount,bind,{option}", str(place)], check=True)
        return b, path

    yield make
    for place in reversed(made):
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(("option", "undoes", "there", "absent"), RECURSIVE, ids=[row[0] for row in RECURSIVE])
@newer
def test_recursive_flags(runtime, tree, option, undoes, there, absent):
    b, path = tree(undoes)
    b.mount("/data", "bind", str(path), "rbind", option)
    b.mount("/new", "tmpfs", "tmpfs", *([undoes] if undoes else []), option)
    b.mount("/one", "bind", str(path), "bind", option)
    found = mounts_inside(runtime, b)
    for point in ("/data", "/data/below", "/new", "/one"):
        assert there <= found[point].options, point
        assert not absent & found[point].options, point


@pytest.mark.parametrize(
    ("options", "top", "below"),
    [
        (["rro", "rw"], "rw", "ro"),
        (["rw", "rro"], "ro", "ro"),
        (["ro", "rrw"], "rw", "rw"),
        (["rrw", "ro"], "ro", "rw"),
        (["ro", "rro", "rrw", "rw"], "rw", "rw"),
    ],
    ids=",".join,
)
@newer
def test_the_last_of_recursive_and_plain_options_wins(runtime, tree, options, top, below):
    b, path = tree()
    b.mount("/data", "bind", str(path), "rbind", *options)
    b.mount("/new", "tmpfs", "tmpfs", *options)
    found = mounts_inside(runtime, b)
    assert [top in found["/data"].options, below in found["/data/below"].options] == [True, True]
    assert top in found["/new"].options


@newer
def test_what_is_undone_is_not_asked_of_the_file_system(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "sync", "dirsync", "lazytime", "async", "nolazytime")
    found = mounts_inside(runtime, b)["/data"].superblock
    assert "dirsync" in found
    assert not {"sync", "lazytime"} & found


@pytest.mark.parametrize("word", ["iversion", "mand", "lazytime"])
def test_other_words_of_mount(runtime, bundle, word):
    if runtime.name == "runc" and word == "lazytime":
        pytest.skip("1.1 gives it to tmpfs, which does not know it")
    b = bundle("sh", "-c", "stat -c %a /data; cat /proc/self/mountinfo")
    b.rootfs.joinpath("data").chmod(0o751)
    b.mount("/data", "tmpfs", "tmpfs", word, "nosuid", "size=64k")
    mode, rows = runtime.output(b).split("\n", 1)
    row = mountinfo(rows)["/data"]
    assert mode == "751"
    assert "nosuid" in row.options
    assert "size=64k" in row.superblock


def test_an_unknown_option_is_refused(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "tmpfs", "tmpfs", "mode=755", "nonsense=1")
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert "nonsense" in err
        assert "/mounts/7/options/1" in err


@pytest.mark.parametrize("option", ["nonsense", "size=64k", "sync"])
@pytest.mark.pyrunc_only("1.1 loses it")
def test_an_option_that_a_bind_cannot_have_is_refused(runtime, bundle, option):
    b = bundle("true")
    b.mount("/data", "bind", str(volume(b)), "bind", option)
    refused(runtime, b, option, "/mounts/7/options/1")


@pytest.mark.pyrunc_only("1.1 loses it")
def test_an_option_that_a_cgroup_mount_cannot_have_is_refused(runtime, bundle):
    b = cgroup_options(bundle("true"), "ro", "nonsense=1")
    refused(runtime, b, "nonsense", "/mounts/6/options/1")


def test_remount_changes_an_earlier_mount(runtime, bundle):
    b = bundle()
    b.mount("/dev/shm", "tmpfs", "shm", "remount", "ro", "size=1m")
    found = mounts_inside(runtime, b)["/dev/shm"]
    assert "ro" in found.options
    assert "size=1024k" in found.superblock
    # What is not named stays, as with mount(8); runc 1.1 drops it.
    assert {"nosuid", "nodev", "noexec"} <= found.options or runtime.name == "runc"


@pytest.mark.parametrize("user", [False, True])
def test_remount_of_a_bind_is_for_the_mount_alone(runtime, bundle, user):
    b = mapped(bundle()) if user else bundle()
    path = volume(b)
    b.mount("/data", "bind", str(path), "bind", "noexec")
    b.mount("/data", "bind", str(path), "bind", "remount", "ro", "noexec")
    found = mounts_inside(runtime, b)["/data"]
    assert {"ro", "noexec"} <= found.options
    (path / "still-writable").touch()


@pytest.mark.parametrize("options", [["ro"], ["size=1m"]])
def test_remount_of_what_is_no_mount_is_refused(runtime, bundle, options):
    b = bundle("true")
    b.mount("/data", "tmpfs", "tmpfs", "remount", *options)
    refused(runtime, b, "invalid argument")


@pytest.mark.pyrunc_only("1.1 takes it for a destination")
def test_a_link_does_not_choose_what_is_remounted(runtime, bundle):
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    b.mount("/link", "bind", "none", "remount", "bind", "suid")
    refused(runtime, b, "symbolic link")


def test_an_unknown_file_system_is_refused(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "nonsensefs", "none")
    err = refused(runtime, b, "error mounting", "no such device")
    if runtime.name == "pyrunc":
        assert 'error mounting "none" to rootfs at "/data"' in err  # runc's quotes are escaped
        assert "/mounts/7/type" in err


# tmpfs, devpts, overlay


def test_options_of_tmpfs(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "size=64k", "mode=700", "uid=5", "gid=6", "nr_inodes=10")
    found = mounts_inside(runtime, b)["/data"].superblock
    assert {"size=64k", "mode=700", "uid=5", "gid=6", "nr_inodes=10"} <= found


def test_the_size_of_a_tmpfs_is_a_limit(runtime, bundle):
    b = bundle("head -c 100000 /dev/zero >/data/file; stat -c %s /data/file")
    b.mount("/data", "tmpfs", "tmpfs", "size=64k")
    assert runtime.output(b) == "65536\n"


@pytest.mark.parametrize(
    ("mode", "options", "seen"), [(0o751, (), "751"), (0o1777, (), "1777"), (0o751, ("mode=700",), "700")]
)
def test_a_tmpfs_takes_the_mode_below(runtime, bundle, mode, options, seen):
    if runtime.name == "runc" and options:
        pytest.skip("runc 1.1 takes the mode below even then")
    b = bundle("stat", "-c", "%a", "/data")
    b.rootfs.joinpath("data").chmod(mode)
    b.mount("/data", "tmpfs", "tmpfs", *options)
    assert runtime.output(b) == f"{seen}\n"


def test_a_devpts_is_the_containers_own(runtime, bundle):
    b = bundle("sh", "-c", "ls /dev/pts; stat -c '%a %t:%T' -L /dev/ptmx")
    assert runtime.output(b).split() == ["ptmx", "666", "5:2"]


def test_an_overlay(runtime, bundle):
    b = bundle("cat /data/lower; echo changed >/data/lower; cat /data/lower")
    lower, upper, work = (volume(b, name) for name in ("lower", "upper", "work"))
    (lower / "lower").write_text("kept\n")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(upper.parent / "upper")], check=True)
    try:
        for name in ("up", "work"):
            (upper / name).mkdir()
        options = [f"lowerdir={lower}", f"upperdir={upper}/up", f"workdir={upper}/work"]
        b.mount("/data", "overlay", "overlay", *options)
        assert runtime.output(b).split() == ["kept", "changed"]
    finally:
        subprocess.run(["umount", str(upper)], check=True)
    assert (lower / "lower").read_text() == "kept\n"
    assert not list(work.iterdir())


@pytest.mark.parametrize("user", [False, True])
def test_an_overlay_as_podman_makes_for_a_volume(runtime, bundle, user):
    """`-v DIR:/data:O`: the container writes beside the directory, not into it."""
    b = bundle("sh", "-c", "cat /data/lower; echo changed >/data/lower; cat /data/lower; rm /data/gone; ls /data")
    lower = volume(b, "lower", "gone")
    (lower / "lower").write_text("kept\n")
    space = volume(b, "space")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(space)], check=True)
    try:
        for name in ("upper", "work"):
            (space / name).mkdir()
        if user:
            mapped(b)
            for path in (lower, *lower.iterdir(), space, *space.iterdir()):
                os.chown(path, FIRST, FIRST)
        places = [f"lowerdir={lower}", f"upperdir={space}/upper", f"workdir={space}/work"]
        b.mount("/data", "overlay", "overlay", *places, "private", *(["userxattr"] if user else []))
        assert runtime.output(b).split() == ["kept", "changed", "lower"]
    finally:
        subprocess.run(["umount", str(space)], check=True)
    assert sorted(path.name for path in lower.iterdir()) == ["gone", "lower"]
    assert (lower / "lower").read_text() == "kept\n"


def test_an_option_longer_than_fsconfig_takes(runtime, bundle):
    b = bundle("ls", "/data")
    layers = [volume(b, f"a-rather-long-name-of-a-layer-{number}", f"file{number}") for number in range(8)]
    b.mount("/data", "overlay", "overlay", "lowerdir=" + ":".join(map(str, layers)), "ro")
    assert runtime.output(b).split() == [f"file{number}" for number in range(8)]


@pytest.mark.pyrunc_only("1.1 gives the kernel what it cuts off after a page")
def test_more_options_than_mount_takes(runtime, bundle):
    b = bundle("true")
    layers = [volume(b, f"{'a-long-name-' * 15}{number}") for number in range(24)]
    b.mount("/data", "overlay", "overlay", "lowerdir=" + ":".join(map(str, layers)), "ro")
    refused(runtime, b, "4095", "/mounts/7/options")


# Binds


@pytest.mark.parametrize(
    ("kind", "options"),
    [("none", ["bind"]), ("none", ["rbind", "rw", "rprivate"]), ("", ["rbind"]), ("nonsense", ["bind"]), ("bind", ["rbind"])],
)
def test_the_type_of_a_bind_does_not_matter(runtime, bundle, kind, options):
    b = bundle("ls", "/data")
    b.mount("/data", kind, str(volume(b, "volume", "marker")), *options)
    if not kind:
        del b.config["mounts"][-1]["type"]
    assert runtime.output(b) == "marker\n"


@pytest.mark.parametrize("options", [[], ["ro"], ["rprivate", "nosuid"]])
def test_the_type_bind_is_enough(runtime, bundle, options):
    if runtime.name == "runc":
        pytest.skip("runc 1.1 wants the option bind too")
    b = bundle("ls", "/data")
    b.mount("/data", "bind", str(volume(b, "volume", "marker")), *options)
    assert runtime.output(b) == "marker\n"


def test_a_dev_of_the_hosts_is_left_alone(runtime, bundle):
    """Nothing is made in a /dev that is bound, however the mount says that."""
    b = bundle("ls", "-A", "/dev")
    path = volume(b, "devices", "marker")
    os.mknod(path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))  # runc opens it
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    b.mount("/dev", "bind", str(path), "rbind")
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    assert runtime.output(b).split() == ["marker", "null"]


GREETED = """
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_un place = {AF_UNIX};
    char text[100];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(place.sun_path, argv[1]);
    if (connect(fd, (void *)&place, sizeof place))
        return perror("connect"), 1;
    write(1, text, read(fd, text, sizeof text));
    return 0;
}
"""


def test_a_unix_socket(runtime, bundle):
    """As engines give their own socket to a container: a client inside reaches the server outside."""
    b = bundle("sh", "-c", "stat -c %F /run/engine.sock; greeted /run/engine.sock")
    shutil.copy(compiled(GREETED, "-static"), b.rootfs / "bin/greeted")
    here = os.getcwd()
    os.chdir(b.path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        os.chdir(here)
        server.listen()
        b.mount("/run/engine.sock", "bind", str(b.path / "s"), "bind")
        server.settimeout(30)
        answer = threading.Thread(target=_greet, args=(server,))
        answer.start()
        assert runtime.output(b).splitlines() == ["socket", "hello"]
        answer.join()


def _greet(server):
    """Greet whoever comes first."""
    connection, _ = server.accept()
    connection.sendall(b"hello\n")
    connection.close()


def test_a_file(runtime, bundle):
    b = bundle("cat", "/etc/given")
    (b.path / "file").write_text("content\n")
    b.mount("/etc/given", "bind", str(b.path / "file"), "bind", "ro")
    assert runtime.output(b) == "content\n"
    assert stat.S_ISREG((b.rootfs / "etc/given").stat().st_mode)
    assert (b.rootfs / "etc/given").read_text() == ""


def test_over_a_file_of_the_image(runtime, bundle):
    b = bundle("cat", "/etc/passwd")
    (b.path / "file").write_text("root:x:0:0::/:/bin/sh\n")
    b.mount("/etc/passwd", "bind", str(b.path / "file"), "bind", "ro")
    assert runtime.output(b) == "root:x:0:0::/:/bin/sh\n"
    assert "user" in (b.rootfs / "etc/passwd").read_text()


def test_a_device_and_a_fifo(runtime, bundle):
    b = bundle("stat", "-c", "%F", "/run/zero", "/run/fifo")
    os.mkfifo(b.path / "fifo")
    b.mount("/run/zero", "bind", "/dev/zero", "bind")
    b.mount("/run/fifo", "bind", str(b.path / "fifo"), "bind")
    assert runtime.output(b).splitlines() == ["character special file", "fifo"]


def test_bind_takes_one_mount_and_rbind_all_below(runtime, bundle):
    b = bundle("ls /one/below; echo; ls /all/below")
    path = volume(b, "volume/below").parent
    subprocess.run(["mount", "-t", "tmpfs", "none", str(path / "below")], check=True)
    try:
        (path / "below/inner").touch()
        b.mount("/one", "bind", str(path), "bind")
        b.mount("/all", "bind", str(path), "rbind")
        assert runtime.output(b) == "\ninner\n"
    finally:
        subprocess.run(["umount", str(path / "below")], check=True)


def test_a_relative_source_is_below_the_bundle(runtime, bundle, tmp_path):
    b = bundle("cat", "/data/file")
    (volume(b) / "file").write_text("relative\n")
    b.mount("/data", "bind", "volume", "bind")
    assert runtime.output(b) == "relative\n"
    assert runtime.output(b, cwd=str(tmp_path)) == "relative\n"


def test_a_source_that_is_a_link_is_followed_on_the_host(runtime, bundle):
    b = bundle("cat", "/data/file")
    (volume(b) / "file").write_text("content\n")
    (b.path / "link").symlink_to("volume")
    b.mount("/data", "bind", str(b.path / "link"), "bind")
    assert runtime.output(b) == "content\n"


def test_a_missing_source_is_named(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "bind", "/no/such/source", "bind")
    err = refused(runtime, b, "/no/such/source", "no such file or directory")
    if runtime.name == "pyrunc":
        assert "/mounts/7/source" in err
    assert not Path("/no").exists()


@pytest.mark.parametrize("source", ["directory", "file"])
def test_a_file_and_a_directory_do_not_go_together(runtime, bundle, source):
    b = bundle("true")
    (b.path / "file").touch()
    volume(b, "directory")
    b.mount("/data" if source == "file" else "/etc/passwd", "bind", source, "bind")
    refused(runtime, b, "not a directory")


def test_writes_reach_the_source(runtime, bundle):
    b = bundle("echo written >/data/file")
    path = volume(b)
    b.mount("/data", "bind", str(path), "bind", "rw")
    runtime.run(b)
    assert (path / "file").read_text() == "written\n"


def test_a_shadowed_mount_ends_below(runtime, bundle):
    b = bundle("ls", "/data")
    b.mount("/data", "bind", str(volume(b, "first", "one")), "bind")
    b.mount("/data", "bind", str(volume(b, "second", "two")), "bind")
    assert runtime.output(b) == "two\n"


# Destinations


def test_missing_directories_are_made(runtime, bundle):
    b = bundle("stat", "-c", "%a %u:%g", "/new", "/new/deep")
    b.mount("/new/deep/place", "tmpfs", "tmpfs")
    assert runtime.output(b).splitlines() == ["755 0:0"] * 2
    assert (b.rootfs / "new/deep/place").is_dir()


@pytest.mark.pyrunc_only("1.1 makes directories as the umask says")
def test_the_callers_umask_does_not_matter(runtime, bundle):
    b = bundle("stat", "-c", "%a", "/new", "/dev/null", "/dev/shm")
    b.mount("/new/place", "tmpfs", "tmpfs")
    assert runtime.output(b, umask=0o077).split() == ["755", "666", "1777"]


def test_missing_directories_inherit_the_group_of_a_setgid_one(runtime, bundle):
    b = bundle("stat", "-c", "%a %g", "/data/new")
    os.chown(b.rootfs / "data", 0, 50)
    (b.rootfs / "data").chmod(0o2775)
    b.mount("/data/new", "bind", str(volume(b)), "bind")
    runtime.run(b)
    found = (b.rootfs / "data/new").stat()
    assert (found.st_gid, found.st_mode & 0o2000) == (50, 0o2000)


def test_the_missing_parents_of_a_file(runtime, bundle):
    b = bundle("cat", "/new/deep/file")
    (b.path / "file").write_text("content\n")
    b.mount("/new/deep/file", "bind", "file", "bind")
    assert runtime.output(b) == "content\n"


@pytest.mark.parametrize("target", ["/inside", "../../../../inside", "/../../inside", "data/../inside"])
def test_links_stay_inside(runtime, bundle, target):
    b = bundle("ls", "/inside")
    (b.rootfs / "link").symlink_to(target)
    (b.rootfs / "inside").mkdir()
    b.mount("/link", "bind", str(volume(b, "volume", "marker")), "bind")
    assert runtime.output(b) == "marker\n"


def test_a_link_on_the_way_stays_inside(runtime, bundle, tmp_path):
    b = bundle("ls", "/data/below")
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (b.rootfs / "link").symlink_to("data")
    (b.rootfs / "far").symlink_to(outside)
    b.mount("/link/below", "bind", str(volume(b, "volume", "marker")), "bind")
    b.mount("/far/below", "bind", str(volume(b, "other", "marker")), "bind")
    assert runtime.output(b) == "marker\n"
    assert (b.rootfs / str(outside).lstrip("/") / "below").is_dir()


def test_a_dangling_link_is_made_inside(runtime, bundle):
    b = bundle("ls", "/run/pyrunc-test-new")
    (b.rootfs / "link").symlink_to("/run/pyrunc-test-new")
    b.mount("/link", "bind", str(volume(b, "volume", "marker")), "bind")
    assert runtime.output(b) == "marker\n"
    assert not Path("/run/pyrunc-test-new").exists()


def test_a_dangling_link_to_a_file_is_made_inside(runtime, bundle):
    b = bundle("cat", "/run/pyrunc-test-new")
    (b.path / "file").write_text("content\n")
    (b.rootfs / "link").symlink_to("/run/pyrunc-test-new")
    b.mount("/link", "bind", "file", "bind")
    assert runtime.output(b) == "content\n"
    assert not Path("/run/pyrunc-test-new").exists()


def test_a_loop_of_links_is_refused(runtime, bundle):
    b = bundle("true")
    (b.rootfs / "a").symlink_to("b")
    (b.rootfs / "b").symlink_to("a")
    b.mount("/a", "tmpfs", "tmpfs")
    refused(runtime, b)


@pytest.mark.parametrize("destination", ["/data/../inside", "//inside//", "/inside/.", "/../../inside"])
def test_untidy_destinations(runtime, bundle, destination):
    b = bundle("ls", "/inside")
    b.mount(destination, "bind", str(volume(b, "volume", "marker")), "bind")
    assert runtime.output(b) == "marker\n"


def test_a_relative_destination_is_below_the_root(runtime, bundle):
    b = bundle("ls", "/inside")
    b.mount("inside", "bind", str(volume(b, "volume", "marker")), "bind")
    assert runtime.output(b) == "marker\n"


def test_order_is_kept(runtime, bundle):
    b = bundle("ls", "/data")
    b.mount("/data/lost", "bind", str(volume(b, "hidden")), "bind")
    b.mount("/data", "tmpfs", "tmpfs")
    b.mount("/data/below", "bind", str(volume(b)), "bind")
    assert runtime.output(b) == "below\n"


def test_many(runtime, bundle):
    b = bundle("sh", "-c", "ls /data | wc -l; grep -c ' /data/' /proc/mounts")
    path = volume(b)
    for number in range(60):
        b.mount(f"/data/{number}", "bind", str(path), "bind")
    assert runtime.output(b).split() == ["60", "60"]


# Propagation


WAYS = ["rprivate", "rslave", "rshared", "runbindable", "private", "slave", "shared", "unbindable"]


@pytest.mark.parametrize("propagation", WAYS)
def test_propagation_of_a_bind(runtime, bundle, propagation):
    b = bundle()
    b.mount("/data", "bind", str(volume(b)), "rbind", propagation)
    optional = mounts_inside(runtime, b)["/data"].optional
    assert ("shared:" in optional) == ("shared" in propagation)
    assert ("unbindable" in optional) == ("unbindable" in propagation)
    if "private" in propagation:
        assert "master:" not in optional


@pytest.fixture
def travelling(tmp_path):
    """Make a shared mount on the host, as volumes with propagation need."""
    path = tmp_path / "shared"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(path)], check=True)
    subprocess.run(["mount", "--make-shared", str(path)], check=True)
    (path / "below").mkdir()
    yield path
    subprocess.run(["umount", "-R", str(path)], check=True)


@pytest.mark.parametrize(
    ("propagation", "arrives"), [("rslave", True), ("rshared", True), ("rprivate", False)]
)
def test_a_mount_of_the_host_arrives_in_the_container(runtime, bundle, travelling, propagation, arrives):
    b = bundle()
    b.mount("/data", "bind", str(travelling), "rbind", propagation)
    b.linux["rootfsPropagation"] = propagation
    name = runtime.start(b)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(travelling / "below")], check=True)
    (travelling / "below/marker").touch()
    assert (runtime.exec(name, "ls", "/data/below").stdout == "marker\n") == arrives


@pytest.mark.parametrize(
    ("propagation", "arrives"), [("rslave", False), ("rshared", True), ("rprivate", False)]
)
def test_a_mount_of_the_container_arrives_on_the_host(runtime, bundle, travelling, propagation, arrives):
    b = give(bundle(), "CAP_SYS_ADMIN")
    b.mount("/data", "bind", str(travelling), "rbind", propagation)
    b.linux["rootfsPropagation"] = propagation
    name = runtime.start(b)
    runtime.exec(name, "mount", "-t", "tmpfs", "none", "/data/below")
    there = str(travelling / "below") in mountinfo(Path("/proc/self/mountinfo").read_text())
    assert there == arrives


def test_a_shared_bind_needs_nothing_of_the_root(runtime, bundle, travelling):
    """Both ways, while `/` itself stays private."""
    b = give(bundle(), "CAP_SYS_ADMIN")
    b.mount("/data", "bind", str(travelling), "bind", "shared")
    b.linux["rootfsPropagation"] = "private"
    if runtime.name == "runc":
        pytest.skip("runc 1.1 makes all of its namespace private, and the bind has no peer then")
    name = runtime.start(b)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(travelling / "below")], check=True)
    (travelling / "below/inner").mkdir()
    assert runtime.exec(name, "ls", "/data/below").stdout == "inner\n"
    runtime.exec(name, "mount", "-t", "tmpfs", "none", "/data/below/inner")
    assert str(travelling / "below/inner") in mountinfo(Path("/proc/self/mountinfo").read_text())


def test_a_mount_in_the_container_does_not_reach_the_host(runtime, bundle):
    b = give(bundle("mount -t tmpfs none /data && mount | grep -c ' /data '"), "CAP_SYS_ADMIN")
    b.process["noNewPrivileges"] = False
    assert runtime.output(b) == "1\n"


# cgroup


def cgroup_options(b, *options):
    """Let the cgroup mount of B have OPTIONS."""
    for mount in b.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = list(options)
    return b


@pytest.mark.v1
@pytest.mark.parametrize("own", [False, True])
def test_each_controller_shows_the_containers_own_subtree(runtime, bundle, own):
    b = bundle()
    b.namespace("cgroup", drop=not own)
    name = runtime.start(b)
    pid = runtime.pid(name)
    for controller in ("memory", "cpu", "pids", "devices", "freezer", "blkio", "cpuset"):
        here = f"/sys/fs/cgroup/{controller}"
        assert runtime.exec(name, "cat", f"{here}/cgroup.procs").stdout.split()[0] == "1"
        directory = cgroup_of(pid, controller)
        assert str(pid) in (directory / "cgroup.procs").read_text().split()
        assert runtime.exec(name, "mkdir", f"{here}/new", check=False).returncode
        assert not (directory / "new").exists()
    rows = mountinfo(runtime.exec(name, "cat", "/proc/self/mountinfo").stdout)
    assert rows["/sys/fs/cgroup"].type == "tmpfs"
    assert {"nosuid", "nodev", "noexec"} <= rows["/sys/fs/cgroup"].options
    assert "ro" in rows["/sys/fs/cgroup"].options or runtime.name == "runc"  # runc 1.1 forgets it there
    assert {"ro", "nosuid", "nodev", "noexec"} <= rows["/sys/fs/cgroup/memory"].options


@pytest.mark.v2
@pytest.mark.parametrize("own", [False, True])
def test_the_unified_hierarchy_shows_the_containers_own_subtree(runtime, bundle, own):
    b = bundle()
    b.namespace("cgroup", drop=not own)
    name = runtime.start(b)
    assert runtime.exec(name, "cat", "/sys/fs/cgroup/cgroup.procs").stdout.split()[0] == "1"
    assert runtime.exec(name, "mkdir", "/sys/fs/cgroup/new", check=False).returncode
    row = mountinfo(runtime.exec(name, "cat", "/proc/self/mountinfo").stdout)["/sys/fs/cgroup"]
    assert row.type == "cgroup2"
    assert {"ro", "nosuid", "nodev", "noexec"} <= row.options


def test_a_writable_cgroup_mount(runtime, bundle):
    b = cgroup_options(bundle(), "rw", "nosuid", "noexec", "nodev")
    b.namespace("cgroup")
    name = runtime.start(b)
    here = "/sys/fs/cgroup" if unified() else "/sys/fs/cgroup/pids"
    runtime.exec(name, "mkdir", f"{here}/new")
    assert (cgroup_of(runtime.pid(name), "pids") / "new").is_dir()


@pytest.mark.v2
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.pyrunc_only("it shows the whole tree by this name")
def test_cgroup2_by_its_own_name(runtime, bundle, own):
    b = bundle("cat", "/sys/fs/cgroup/cgroup.procs")
    b.namespace("cgroup", drop=not own)
    for mount in b.config["mounts"]:
        mount["type"] = mount["type"].replace("cgroup", "cgroup2")
    assert runtime.output(b).split() == ["1"]


@pytest.mark.parametrize("own", [False, True])
def test_the_cgroup_mount_can_be_private(runtime, bundle, own):
    """As podman asks."""
    b = cgroup_options(bundle(), "rprivate", "nosuid", "noexec", "nodev", "relatime", "ro")
    b.namespace("cgroup", drop=not own)
    found = mounts_inside(runtime, b)
    rows = [row for point, row in found.items() if point.startswith("/sys/fs/cgroup")]
    assert rows
    assert not [row for row in rows if row.optional]


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_a_second_one_elsewhere(runtime, bundle, kind):
    b = bundle("ls", "/data/self" if kind == "proc" else "/data/fs")
    b.mount("/data", kind, kind, "nosuid", "noexec", "nodev", "ro")
    runtime.run(b)
