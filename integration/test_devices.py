"""Devices that every container has, those of the config, and the links (config-linux.md, "Devices")."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for
from integration.looking import become, refused

DEFAULT = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def device(path, kind="c", major=1, minor=5, **more):
    row = {"path": path, "type": kind, **more}
    return row if kind == "p" else {**row, "major": major, "minor": minor}


def seen(runtime, b, *paths):
    """Return what each of PATHS is in B: kind, numbers, mode, owner."""
    b.process["args"] = ["stat", "-c", "%F|%t:%T|%a|%u:%g", *paths]
    return [tuple(line.split("|")) for line in runtime.output(b).splitlines()]


def test_default_devices(runtime, bundle):
    rows = seen(runtime, bundle(), *(f"/dev/{name}" for name in DEFAULT))
    assert rows == [("character special file", numbers, "666", "0:0") for numbers in DEFAULT.values()]


def test_default_devices_work(runtime, bundle):
    words = """
        echo lost >/dev/null; wc -c </dev/null; head -c 3 /dev/zero | wc -c
        head -c 5 /dev/urandom | wc -c; echo x >/dev/full || echo full
    """
    b = become(bundle("sh", "-c", words), 1000)
    assert runtime.run(b).stdout.split() == ["0", "3", "5", "full"]


def test_links(runtime, bundle):
    b = bundle("sh", "-c", f"for f in {' '.join(LINKS)}; do readlink /dev/$f; done")
    assert runtime.output(b).split() == list(LINKS.values())


def test_links_work(runtime, bundle):
    words = "echo in | cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr; ls /dev/fd | head -n 3"
    done = runtime.run(bundle("sh", "-c", words))
    assert done.stdout.split() == ["in", "out", "0", "1", "2"]
    assert done.stderr == "err\n"


def test_nothing_else_is_there(runtime, bundle):
    found = set(runtime.output(bundle("ls", "/dev")).split())
    assert found - {"core"} == {*DEFAULT, *LINKS, "mqueue", "pts", "shm"}


def test_without_a_dev_mount_they_are_made_in_the_rootfs(runtime, bundle):
    b = bundle()
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    assert seen(runtime, b, "/dev/null")[0][:2] == ("character special file", "1:3")
    assert stat.S_ISCHR((b.rootfs / "dev/null").lstat().st_mode)
    assert (b.rootfs / "dev/fd").is_symlink()


def test_what_the_image_has_already_stays(runtime, bundle):
    b = bundle()
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    os.mknod(b.rootfs / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (b.rootfs / "dev/stdin").symlink_to("somewhere")
    inode = (b.rootfs / "dev/null").stat().st_ino
    assert seen(runtime, b, "/dev/null")[0][:2] == ("character special file", "1:3")
    assert (b.rootfs / "dev/null").stat().st_ino == inode
    assert os.readlink(b.rootfs / "dev/stdin") == "somewhere"


LOOK = "stat -L -c '%d:%i %t:%T' /dev/null /proc/self/fd/0"


def test_the_hosts_null_as_a_stream_becomes_the_containers(runtime, bundle):
    b = bundle(f"{LOOK} >/data/seen.new; mv /data/seen.new /data/seen; sleep 1000")
    name = runtime.start(b, stdin=subprocess.DEVNULL)
    wait_for((b.rootfs / "data/seen").exists, "the container to have looked")
    looks = [(b.rootfs / "data/seen").read_text()]
    if runtime.name == "pyrunc":  # runc does so for the first process only
        looks.append(runtime.exec(name, "sh", "-c", LOOK, stdin=subprocess.DEVNULL).stdout)
    for own, stream in map(str.splitlines, looks):
        assert stream == own
        assert own.endswith(" 1:3")


@pytest.mark.parametrize("instead", ["symlink", "fifo", "file", "nothing"])
def test_what_is_not_null_is_no_stream(runtime, bundle, tmp_path, instead):
    """The container's /dev/null is something else, from a volume: the host's stays (CVE-2026-88265)."""
    if runtime.name == "runc" and instead in ("symlink", "nothing"):
        pytest.skip("runc starts nothing where it finds no /dev/null")
    dev = tmp_path / "dev"
    dev.mkdir()
    if instead == "symlink":
        (tmp_path / "victim").write_text("kept")
        (dev / "null").symlink_to(tmp_path / "victim")
    elif instead == "fifo":
        os.mkfifo(dev / "null")
    elif instead == "file":
        (dev / "null").touch()
    b = bundle("stat -L -c '%t:%T' /proc/self/fd/0 >/data/seen; echo lost; mv /data/seen /data/end; sleep 1000")
    b.config["mounts"] = [mount for mount in b.config["mounts"] if not mount["destination"].startswith("/dev")]
    b.mount("/dev", "bind", str(dev), "rbind", "ro")
    b.linux["maskedPaths"] = []
    runtime.start(b, stdin=subprocess.DEVNULL)
    wait_for((b.rootfs / "data/end").exists, "the container to have looked")
    assert (b.rootfs / "data/end").read_text() == "1:3\n"
    if instead in ("symlink", "file"):
        assert "lost" not in (tmp_path / "victim" if instead == "symlink" else dev / "null").read_text()



def test_a_dev_of_the_host_is_left_as_it_is(runtime, bundle, tmp_path):
    """As with privileged engines: what is bound to /dev is not ours to fill."""
    b = bundle("ls /dev; cat /dev/null")
    (tmp_path / "dev").mkdir()
    os.mknod(tmp_path / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    b.mount("/dev", "bind", str(tmp_path / "dev"), "rbind")
    assert runtime.output(b) == "null\n"
    assert os.listdir(tmp_path / "dev") == ["null"]


# Of the config


def test_kinds_modes_and_owners(runtime, bundle):
    b = bundle()
    b.linux["devices"] = [
        device("/dev/char", fileMode=0o640, uid=7, gid=8),
        device("/dev/block", "b", 7, 200, fileMode=0o600),
        device("/dev/pipe", "p", fileMode=0o622, uid=1000, gid=50),
        device("/dev/default"),
    ]
    assert seen(runtime, b, "/dev/char", "/dev/block", "/dev/pipe", "/dev/default") == [
        ("character special file", "1:5", "640", "7:8"),
        ("block special file", "7:c8", "600", "0:0"),
        ("fifo", "0:0", "622", "1000:50"),
        ("character special file", "1:5", "666", "0:0"),
    ]


def test_mode_with_the_bits_of_the_file_type(runtime, bundle):
    """docker's fileMode is the whole st_mode."""
    b = bundle()
    b.linux["devices"] = [device("/dev/special", fileMode=stat.S_IFCHR | 0o660)]
    assert seen(runtime, b, "/dev/special") == [("character special file", "1:5", "660", "0:0")]


def test_the_callers_umask_does_not_matter(runtime, bundle):
    b = bundle("stat", "-c", "%a", "/dev/special")
    b.linux["devices"] = [device("/dev/special", fileMode=0o666)]
    assert runtime.output(b, umask=0o077) == "666\n"


def test_large_numbers(runtime, bundle):
    b = bundle()
    b.linux["devices"] = [device("/dev/special", "c", 4095, 1048575)]
    assert seen(runtime, b, "/dev/special")[0][1] == "fff:fffff"


def test_missing_directories_are_made(runtime, bundle):
    b = bundle()
    b.linux["devices"] = [device("/dev/new/deep/special")]
    assert seen(runtime, b, "/dev/new/deep/special", "/dev/new")[0][1] == "1:5"


def test_a_default_device_with_another_owner(runtime, bundle):
    b = bundle()
    b.linux["devices"] = [device("/dev/zero", fileMode=0o600, uid=1000, gid=50)]
    row = seen(runtime, b, "/dev/zero")[0]
    assert row[1:] == ("1:5", "600", "1000:50")


def test_links_on_the_way_stay_inside(runtime, bundle, tmp_path):
    b = bundle()
    (tmp_path / "outside").mkdir()
    (b.rootfs / "outside").symlink_to(tmp_path / "outside")
    (b.rootfs / "inside").symlink_to("/data")
    b.linux["devices"] = [device("/outside/special"), device("/inside/special")]
    assert seen(runtime, b, "/data/special")[0][1] == "1:5"
    assert os.listdir(tmp_path / "outside") == []
    assert stat.S_ISCHR((b.rootfs / str(tmp_path).lstrip("/") / "outside/special").lstat().st_mode)


def test_something_else_in_the_way_is_an_error(runtime, bundle):
    if runtime.name == "runc":
        pytest.skip("runc 1.1 takes what is there for the device")
    b = bundle("true")
    (b.rootfs / "data/special").write_text("kept")
    b.linux["devices"] = [device("/data/special")]
    refused(runtime, b, "/linux/devices/0", "file exists")
    assert (b.rootfs / "data/special").read_text() == "kept"


def test_an_unknown_type_is_refused(runtime, bundle):
    b = bundle("true")
    b.linux["devices"] = [device("/dev/special", "x")]
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert "/linux/devices/0/type" in err


def test_no_device_of_the_host_changed(runtime, bundle):
    before = [(path.lstat().st_mode, path.lstat().st_uid) for path in sorted(Path("/dev").iterdir())]
    runtime.run(become(bundle("true"), 1000))
    assert [(path.lstat().st_mode, path.lstat().st_uid) for path in sorted(Path("/dev").iterdir())] == before


def test_a_node_whose_rules_deny_to_make_it(runtime, bundle):
    """As Docker asks for `--device /dev/fuse:/dev/mine:r`: it denies /dev/fuse, then allows to read it."""
    b = bundle("dd if=/dev/mine count=0 && echo read; dd if=/dev/null of=/dev/mine conv=notrunc")
    b.linux["devices"] = [device("/dev/mine", major=10, minor=229)]
    numbers = {"type": "c", "major": 10, "minor": 229}
    b.linux["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": False, **numbers, "access": "rwm"},
            {"allow": True, **numbers, "access": "r"},
        ]
    }
    done = runtime.run(b, check=False)
    assert done.stdout == "read\n", done.stderr
    assert "/dev/mine': Operation not permitted" in done.stderr
