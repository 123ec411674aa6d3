"""Mounts, as the container and the kernel's mountinfo show them."""

from __future__ import annotations

import os
import stat

import pytest


def table(text):
    """Mount point -> (options of the mount, type, options of the file system), the last one winning."""
    rows = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(), right.split()
        rows[fields[4]] = (set(fields[5].split(",")), rest[0], set(rest[2].split(",")), fields[6:])
    return rows


def seen(runtime, b):
    b.process["args"] = ["cat", "/proc/self/mountinfo"]
    return table(runtime.output(b))


def test_the_usual_ones(runtime, bundle):
    rows = seen(runtime, bundle())
    kinds = {point: row[1] for point, row in rows.items()}
    expected = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs"}
    assert expected.items() <= kinds.items()
    assert kinds["/dev/mqueue"] == "mqueue"
    assert kinds["/sys"] == "sysfs"
    assert {"ro", "nosuid", "nodev", "noexec"} <= rows["/sys"][0]
    assert "nosuid" in rows["/dev"][0]
    assert "mode=755" in rows["/dev"][2]


def test_nothing_of_the_host_is_mounted(runtime, bundle):
    b = bundle()
    rows = seen(runtime, b)
    assert not [point for point in rows if str(b.path) in point]


@pytest.mark.parametrize(
    ("options", "there", "absent"),
    [
        (["ro"], {"ro"}, {"rw"}),
        (["nosuid", "nodev", "noexec"], {"nosuid", "nodev", "noexec", "rw"}, set()),
        (["noatime"], {"noatime"}, {"relatime"}),
        (["relatime"], {"relatime"}, {"noatime"}),
        (["strictatime"], set(), {"noatime", "relatime"}),
        (["nodiratime"], {"nodiratime"}, set()),
        (["ro", "rw"], {"rw"}, {"ro"}),
    ],
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_flags(runtime, bundle, kind, options, there, absent):
    b = bundle()
    if kind == "bind":
        (b.path / "source").mkdir()
        b.mount("/data", "bind", str(b.path / "source"), "bind", *options)
    else:
        b.mount("/data", "tmpfs", "tmpfs", *options)
    found = seen(runtime, b)["/data"][0]
    assert there <= found
    assert not absent & found


def test_tmpfs_options(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "size=64k", "mode=700", "uid=5", "gid=6")
    assert {"size=64k", "mode=700", "uid=5", "gid=6"} <= seen(runtime, b)["/data"][2]


def test_tmpfs_takes_the_mode_below(runtime, bundle):
    b = bundle("stat", "-c", "%a", "/data")
    b.rootfs.joinpath("data").chmod(0o751)
    b.mount("/data", "tmpfs", "tmpfs")
    assert runtime.output(b) == "751\n"


def test_bind_of_a_file(runtime, bundle):
    b = bundle("cat", "/etc/given")
    (b.path / "file").write_text("content\n")
    b.mount("/etc/given", "bind", str(b.path / "file"), "bind", "ro")
    assert runtime.output(b) == "content\n"
    assert stat.S_ISREG((b.rootfs / "etc/given").stat().st_mode)


def test_bind_is_not_recursive_and_rbind_is(runtime, bundle):
    b = bundle("ls /one /two | tr '\\n' ' '")
    b.mount("/source", "tmpfs", "tmpfs")
    b.mount("/one", "bind", "/proc", "bind")
    b.mount("/two", "bind", "/proc/sys", "rbind")
    assert "uptime" in runtime.output(b)


def test_relative_source_is_below_the_bundle(runtime, bundle):
    b = bundle("cat", "/data/file")
    (b.path / "volume").mkdir()
    (b.path / "volume/file").write_text("relative\n")
    b.mount("/data", "bind", "volume", "bind")
    assert runtime.output(b) == "relative\n"


def test_missing_destinations_are_made(runtime, bundle):
    b = bundle("stat", "-c", "%a", "/new")
    b.mount("/new/deep/place", "tmpfs", "tmpfs")
    assert runtime.output(b) == "755\n"
    assert (b.rootfs / "new/deep/place").is_dir()


@pytest.mark.parametrize("target", ["/inside", "../../../../inside", "/../../inside"])
def test_links_stay_inside(runtime, bundle, target):
    b = bundle("ls", "/inside")
    (b.rootfs / "link").symlink_to(target)
    (b.rootfs / "inside").mkdir()
    (b.path / "volume").mkdir()
    (b.path / "volume/marker").touch()
    b.mount("/link", "bind", str(b.path / "volume"), "bind")
    assert runtime.output(b) == "marker\n"


def test_a_dangling_link_is_made_inside(runtime, bundle):
    b = bundle("ls", "/run/new")
    (b.rootfs / "link").symlink_to("/run/new")
    (b.path / "volume").mkdir()
    (b.path / "volume/marker").touch()
    b.mount("/link", "bind", str(b.path / "volume"), "bind")
    assert runtime.output(b) == "marker\n"
    assert not os.path.exists("/run/new")


def test_a_loop_of_links_is_an_error(runtime, bundle):
    b = bundle("true")
    (b.rootfs / "a").symlink_to("b")
    (b.rootfs / "b").symlink_to("a")
    b.mount("/a", "tmpfs", "tmpfs")
    assert runtime.run(b, check=False).returncode == 1


def test_order_is_kept(runtime, bundle):
    b = bundle("ls", "/data")
    (b.path / "volume").mkdir()
    b.mount("/data", "tmpfs", "tmpfs")
    b.mount("/data/below", "bind", str(b.path / "volume"), "bind")
    assert runtime.output(b) == "below\n"


@pytest.mark.parametrize("propagation", ["rprivate", "rslave", "rshared", "private", "slave", "shared"])
def test_propagation_of_a_bind(runtime, bundle, propagation):
    b = bundle()
    (b.path / "volume").mkdir()
    b.mount("/data", "bind", str(b.path / "volume"), "rbind", propagation)
    optional = " ".join(seen(runtime, b)["/data"][3])
    assert ("shared:" in optional) == ("shared" in propagation)
    if "private" in propagation:
        assert "master:" not in optional


@pytest.mark.parametrize("propagation", ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate"])
def test_rootfs_propagation(runtime, bundle, propagation):
    if runtime.name == "runc" and propagation.removeprefix("r") in ("shared", "unbindable"):
        pytest.skip("runc 1.1 of Debian 12 does not apply these to / (it does from 1.3 on)")
    b = bundle()
    b.linux["rootfsPropagation"] = propagation
    optional = " ".join(seen(runtime, b)["/"][3])
    assert ("shared:" in optional) == ("shared" in propagation)
    assert ("unbindable" in optional) == (propagation == "unbindable")


def test_mounts_do_not_reach_the_host(runtime, bundle):
    b = bundle("mount -t tmpfs none /data && mount | grep -c ' /data '")
    b.process["capabilities"] = {k: ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}
    b.process["noNewPrivileges"] = False
    assert runtime.output(b) == "1\n"


def test_an_unknown_option_is_named(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "tmpfs", "tmpfs", "nonsense=1")
    done = runtime.run(b, check=False)
    assert done.returncode == 1
    if runtime.name == "pyrunc":
        assert "nonsense" in done.stderr
        assert "/mounts/7/options/0" in done.stderr


def test_no_pivot(runtime, bundle):
    assert runtime.output(bundle("ls", "/"), "--no-pivot").split()[:2] == ["bin", "data"]


def test_readonly_root(runtime, bundle):
    b = bundle("touch", "/file", writable=False)
    done = runtime.run(b, check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_writable_root(runtime, bundle):
    b = bundle("touch", "/file")
    runtime.run(b)
    assert (b.rootfs / "file").exists()


@pytest.mark.parametrize("namespace", [False, True])
def test_cgroup_mount_shows_the_containers_own(runtime, bundle, namespace):
    b = bundle("cat", "/proc/self/cgroup")
    if namespace:
        b.namespace("cgroup")
    name = runtime.start(b.__class__(b.path, {**b.config, "process": {**b.process, "args": ["sleep", "100"]}}))
    procs = "/sys/fs/cgroup/cgroup.procs" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "/sys/fs/cgroup/pids/cgroup.procs"
    assert runtime.exec(name, "cat", procs).stdout.split()[0] == "1"
    assert runtime.exec(name, "mkdir", os.path.dirname(procs) + "/x", check=False).returncode


def test_masked_paths(runtime, bundle):
    b = bundle("ls -A /data | wc -w; head -c 1 /etc/hidden | wc -c; head -c 1 /proc/kcore | wc -c")
    (b.rootfs / "data/file").touch()
    (b.rootfs / "etc/hidden").write_text("secret")
    b.linux["maskedPaths"] = ["/proc/kcore", "/data", "/etc/hidden", "/no/such/path"]
    assert runtime.output(b).split() == ["0", "0", "0"]


def test_readonly_paths(runtime, bundle):
    b = bundle("touch /data/x || echo refused; touch /tmp/x && echo made")
    b.linux["readonlyPaths"] = ["/data", "/no/such/path"]
    assert runtime.output(b) == "refused\nmade\n"
