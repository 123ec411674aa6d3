"""/linux/maskedPaths and /linux/readonlyPaths: what of the kernel's files a container sees."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from integration.looking import give, mounts_inside, refused, volume


def masked(b, *paths):
    b.linux["maskedPaths"] = list(paths)
    return b


def readonly(b, *paths):
    b.linux["readonlyPaths"] = list(paths)
    return b


def test_files_and_directories_are_empty(runtime, bundle):
    b = bundle("ls -A /data; cat /etc/hidden /proc/keys; echo end")
    masked(b, "/proc/keys", "/data", "/etc/hidden")
    (b.rootfs / "data/file").touch()
    (b.rootfs / "etc/hidden").write_text("secret")
    assert runtime.output(b) == "end\n"


def test_nothing_can_be_written_there(runtime, bundle):
    b = masked(bundle("touch /data/x; echo more >/etc/hidden; echo end"), "/data", "/etc/hidden")
    (b.rootfs / "etc/hidden").write_text("secret")
    assert runtime.output(b) == "end\n"
    assert os.listdir(b.rootfs / "data") == []
    assert (b.rootfs / "etc/hidden").read_text() == "secret"


def test_a_file_is_the_null_device_and_a_directory_an_empty_one(runtime, bundle):
    b = masked(bundle(), "/etc/passwd", "/data")
    found = mounts_inside(runtime, b)
    assert found["/data"].type == "tmpfs"
    assert "ro" in found["/data"].options
    assert found["/etc/passwd"].root.endswith("/null")


def test_one_tmpfs_serves_all_directories(runtime, bundle):
    if runtime.name == "runc":
        pytest.skip("runc 1.1 makes one each")
    b = masked(bundle(), "/data", "/home", "/tmp")
    rows = mounts_inside(runtime, b)
    b.process["args"] = ["stat", "-c", "%d", "/data", "/home", "/tmp"]
    assert len(set(runtime.output(b).split())) == 1
    assert {"/data", "/home", "/tmp"} <= rows.keys()


def test_missing_ones_are_passed_over(runtime, bundle):
    paths = ["/no/such/path", "/proc/no-such-file"]
    if runtime.name != "runc":  # which stumbles over it
        paths.append("/etc/passwd/below")
    b = readonly(masked(bundle("echo", "ran"), *paths), *paths)
    assert runtime.output(b) == "ran\n"
    assert not (b.rootfs / "no").exists()


def test_in_a_readonly_root(runtime, bundle):
    b = masked(bundle("cat /etc/hidden; ls -A /data; echo end", writable=False), "/etc/hidden", "/data")
    (b.rootfs / "etc/hidden").write_text("secret")
    (b.rootfs / "data/file").touch()
    assert runtime.output(b) == "end\n"


def test_what_is_mounted_is_masked_too(runtime, bundle):
    b = masked(bundle("ls", "/data"), "/data/hidden")
    path = volume(b, "volume/hidden", "secret").parent
    b.mount("/data", "bind", str(path), "rbind")
    b.process["args"] = ["ls", "/data/hidden"]
    assert runtime.output(b) == ""


def test_links_stay_inside(runtime, bundle, tmp_path):
    b = masked(bundle("cat /etc/target; ls /elsewhere"), "/link", "/out")
    (b.rootfs / "etc/target").write_text("secret")
    (b.rootfs / "link").symlink_to("/etc/target")
    outside = tmp_path / "outside"
    outside.mkdir()
    (b.rootfs / "out").symlink_to(outside)
    (b.rootfs / "elsewhere").mkdir()
    assert runtime.output(b) == ""
    assert outside.is_dir()


def test_the_usual_list(runtime, bundle):
    """What `runc spec` writes: as far as this kernel has it, it is empty or cannot be changed."""
    b = bundle()
    found = mounts_inside(runtime, b)
    for path in b.linux["maskedPaths"]:
        if Path(path).exists() and not path.startswith("/sys/devices"):
            assert found[path].type == "tmpfs" or found[path].root.endswith("/null"), path
    for path in b.linux["readonlyPaths"]:
        if Path(path).exists():
            assert "ro" in found[path].options, path


def test_files_and_directories_are_readonly(runtime, bundle):
    words = "touch /data/x || echo refused; echo more >>/etc/kept || echo refused; touch /tmp/x && echo made"
    b = readonly(bundle("sh", "-c", words), "/data", "/etc/kept")
    (b.rootfs / "etc/kept").write_text("kept")
    assert runtime.output(b).split() == ["refused", "refused", "made"]
    assert (b.rootfs / "etc/kept").read_text() == "kept"


def test_kernel_settings_are_readonly(runtime, bundle):
    b = readonly(bundle("echo 1 >/proc/sys/kernel/msgmax || cat /proc/sys/kernel/msgmax"), "/proc/sys")
    assert runtime.output(b) == "8192\n"


def test_the_flags_of_the_mount_below_stay(runtime, bundle):
    b = readonly(bundle(), "/proc/sys", "/data/below")
    path = volume(b, "volume/below").parent
    b.mount("/data", "bind", str(path), "bind", "nosuid", "nodev", "noexec", "noatime")
    for mount in b.config["mounts"]:
        if mount["destination"] == "/proc":
            mount["options"] = ["nosuid", "noexec", "nodev"]
    found = mounts_inside(runtime, b)
    assert {"ro", "nosuid", "nodev", "noexec"} <= found["/proc/sys"].options
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= found["/data/below"].options


def test_a_path_that_is_both(runtime, bundle):
    b = readonly(masked(bundle("ls -A /data; touch /data/x || echo refused"), "/data"), "/data")
    (b.rootfs / "data/file").touch()
    assert runtime.output(b) == "refused\n"


LISTS = [
    (["/etc", "/etc"], ["/etc"]),
    (["/etc/", "/etc/.", "//etc"], ["/etc"]),
    (["/etc", "/link"], ["/etc"]),
    (["/link", "/etc"], ["/etc"]),
    (["/etc/passwd", "/file-link", "/etc/passwd"], ["/etc/passwd"]),
    (["/etc", "/etc/sub"], ["/etc"]),
    (["/etc/sub", "/etc"], ["/etc/sub", "/etc"]),
]


@pytest.mark.parametrize(("paths", "covered"), LISTS)
def test_what_is_masked_twice_is_one_mount(runtime, bundle, paths, covered):
    b = masked(with_links(bundle()), *paths)
    b.process["args"] = ["grep", " /etc", "/proc/self/mountinfo"]
    points = [line.split()[4] for line in runtime.output(b).splitlines()]
    if runtime.name == "runc":
        assert set(points) == set(covered)  # it compares the words, not what they lead to
    else:
        assert points == covered
    b.process["args"] = ["sh", "-c", "cat /etc/passwd; ls -A /etc/sub"]
    if "/etc" in covered:
        assert runtime.run(b, check=False).stdout == ""


def with_links(b):
    (b.rootfs / "link").symlink_to("etc")
    (b.rootfs / "file-link").symlink_to("/etc/passwd")
    (b.rootfs / "rootlink").symlink_to("/")
    (b.rootfs / "etc/sub").mkdir()
    return b


PROTECTED = [
    (["/etc", "/etc"], ["/etc"]),
    (["/link", "/etc/"], ["/etc"]),
    (["/etc", "/etc/sub"], ["/etc", "/etc/sub"]),
    (["/etc/sub", "/etc"], ["/etc/sub", "/etc", "/etc/sub"]),
]


@pytest.mark.parametrize(("paths", "covered"), PROTECTED)
def test_what_is_protected_twice_is_one_mount(runtime, bundle, paths, covered):
    b = readonly(with_links(bundle()), *paths)
    b.process["args"] = ["grep", " /etc", "/proc/self/mountinfo"]
    rows = [line.split() for line in runtime.output(b).splitlines()]
    if runtime.name != "runc":
        assert [row[4] for row in rows] == covered
    assert all("ro" in row[5].split(",") for row in rows)
    b.process["args"] = ["sh", "-c", "touch /etc/x || touch /etc/sub/x || touch /etc/passwd || echo refused; touch /data/x && echo made"]
    assert runtime.output(b).split() == ["refused", "made"]


@pytest.mark.parametrize("path", ["/", "//", "/.", "/..", "/etc/..", "/rootlink"])
def test_a_root_that_is_to_be_readonly(runtime, bundle, path):
    """It cannot be covered, so it is made read-only itself; what is mounted below stays as it is."""
    if runtime.name == "runc" and path in ("/..", "/etc/.."):
        pytest.skip("runc covers it, with no effect")
    words = "touch /x || touch /etc/x || echo refused; touch /dev/shm/x && echo made"
    b = readonly(with_links(bundle("sh", "-c", words)), "/etc", path)
    assert runtime.output(b).split() == ["refused", "made"]
    if runtime.name != "runc":  # which leaves a writable copy behind it
        assert "ro" in mounts_inside(runtime, b)["/"].options


@pytest.mark.pyrunc_only("runc mounts over the root, where nobody sees it")
@pytest.mark.parametrize("path", ["/", "//", "/..", "/etc/..", "/rootlink"])
def test_a_root_that_is_to_be_masked_is_refused(runtime, bundle, path):
    refused(runtime, masked(with_links(bundle("true")), "/data", path), "/linux/maskedPaths", "root, which holds the program")


def test_without_capabilities_they_stay(runtime, bundle):
    b = masked(bundle("umount /etc/hidden; cat /etc/hidden; echo end"), "/etc/hidden")
    (b.rootfs / "etc/hidden").write_text("secret")
    assert runtime.output(give(b)) == "end\n"


def test_the_mask_is_the_hosts_null_whatever_the_image_has(runtime, bundle):
    """CVE-2025-31133: a /dev/null that the image brings is no mask."""
    b = masked(bundle("cat", "/etc/hidden"), "/etc/hidden")
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    (b.rootfs / "etc/hidden").write_text("secret")
    (b.rootfs / "dev/null").symlink_to("/etc/passwd")
    done = runtime.run(b, check=False)
    assert "secret" not in done.stdout
    assert "root" not in done.stdout


@pytest.mark.parametrize("field", ["maskedPaths", "readonlyPaths"])
def test_a_relative_path_is_refused(runtime, bundle, field):
    if runtime.name == "runc":
        pytest.skip("runc 1.1 takes it from the current directory")
    b = bundle("true")
    b.linux[field] = ["relative"]
    refused(runtime, b, f"/linux/{field}/0")


def test_what_is_done_to_a_mask_does_not_reach_the_host(runtime, bundle):
    """Even to a root with the capabilities that engines give: its mask is not to be chmod'ed on the host."""
    b = masked(bundle("chmod 600 /etc/hidden; chown 7 /etc/hidden; echo end"), "/etc/hidden")
    (b.rootfs / "etc/hidden").touch()
    give(b, "CAP_CHOWN", "CAP_FOWNER")
    before = os.stat("/dev/null")
    try:
        runtime.run(b)
    finally:
        after = os.stat("/dev/null")
        os.chmod("/dev/null", stat.S_IMODE(before.st_mode))
        os.chown("/dev/null", before.st_uid, before.st_gid)
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
