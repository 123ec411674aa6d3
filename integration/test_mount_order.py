"""What has to come before what: read-only after all that goes below, sources after the mounts that bring them."""

from __future__ import annotations

import os
import subprocess

import pytest

from integration.looking import FIRST, mapped, mountinfo, refused, volume


def rows_and_words(runtime, b, words):
    """Run WORDS of shell in B; return the mounts that are there, and what the words said."""
    b.process["args"] = ["sh", "-c", f"cat /proc/self/mountinfo; echo; {words}"]
    rows, _, said = runtime.output(b).partition("\n\n")
    return mountinfo(rows), said.split()


REFUSED_OR = "2>/dev/null || echo refused"


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "overlay"])
def test_a_new_mount_is_read_only_after_what_goes_below(runtime, bundle, kind, user):
    if kind != "tmpfs" and runtime.name == "runc":
        pytest.skip("runc puts it off for tmpfs only")
    if kind != "tmpfs" and user:
        pytest.skip("an overlay's directories would have to be the user's, and ramfs is root's")
    b = mapped(bundle()) if user else bundle()
    options = ["ro", "nosuid"]
    if kind == "overlay":
        space = b.path / "space"
        options += [f"lowerdir={volume(b, 'lower')}", f"upperdir={space}/up", f"workdir={space}/work"]
        space.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(space)], check=True)
        for name in ("up", "work"):
            (space / name).mkdir()
    try:
        b.mount("/data", kind, "none", *options)
        inner = volume(b, "inner", "file")
        inner.chmod(0o777)
        b.mount("/data/new/place", "bind", str(inner), "bind")
        b.mount("/data/new/file", "bind", str(inner / "file"), "bind", "ro")
        found, said = rows_and_words(runtime, b, f"ls /data/new/place; touch /data/x {REFUSED_OR}; touch /data/new/place/x && echo written")
    finally:
        if kind == "overlay":
            subprocess.run(["umount", str(space)], check=True)
    assert said == ["file", "refused", "written"]
    assert {"ro", "nosuid"} <= found["/data"].options
    assert "rw" in found["/data/new/place"].options
    assert "ro" in found["/data/new/file"].options


@pytest.mark.parametrize("user", [False, True])
def test_a_read_only_dev(runtime, bundle, user):
    b = bundle(f"ls -d /dev/pts /dev/shm /dev/null /dev/fd; echo >/dev/null && echo null; touch /dev/x {REFUSED_OR}")
    for mount in b.config["mounts"]:
        if mount["destination"] == "/dev":
            mount["options"].append("ro")
    b.linux["devices"] = [{"path": "/dev/other/one", "type": "c", "major": 1, "minor": 5}]
    b.process["args"][-1] += "; stat -c %t:%T /dev/other/one"
    if user:
        mapped(b)
        b.linux["devices"] = []  # nodes of its own are the host's there
        b.process["args"][-1] = b.process["args"][-1].replace("/dev/other/one", "/dev/full")
    expected = ["/dev/fd", "/dev/null", "/dev/pts", "/dev/shm", "null", "refused", "1:7" if user else "1:5"]
    assert runtime.output(b).split() == expected


def test_a_device_and_the_current_directory_in_it(runtime, bundle):
    b = bundle(f"pwd; stat -c %t:%T /data/dev/null; stat -c '%u %a' .; touch x {REFUSED_OR}")
    b.mount("/data", "tmpfs", "tmpfs", "ro")
    b.linux["devices"] = [{"path": "/data/dev/null", "type": "c", "major": 1, "minor": 3}]
    b.process["cwd"] = "/data/a/b"
    assert runtime.output(b).split() == ["/data/a/b", "1:3", "0", "755", "refused"]


@pytest.mark.parametrize("user", [False, True])
def test_a_missing_current_directory_of_a_read_only_root(runtime, bundle, user):
    b = bundle(f"pwd; stat -c '%u %a' /made .; touch x {REFUSED_OR}", writable=False)
    if user:
        mapped(b)
    b.process["cwd"] = "/made/here"
    b.process["user"] = {"uid": 1000, "gid": 1000}
    assert runtime.output(b).split() == ["/made/here", "0", "755", "0", "755", "refused"]
    assert (b.rootfs / "made/here").stat().st_uid == (FIRST if user else 0)


def test_tmpcopyup_and_read_only(runtime, bundle):
    b = bundle()
    (b.rootfs / "data/file").touch()
    b.mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "ro")
    b.mount("/data/new", "bind", str(volume(b)), "bind")
    found, said = rows_and_words(runtime, b, f"ls /data; touch /data/x {REFUSED_OR}")
    assert said == ["file", "new", "refused"]
    assert found["/data"].type == "tmpfs"


def test_a_remount_that_makes_it_read_only(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "nosuid")
    b.mount("/data", "tmpfs", "tmpfs", "remount", "ro", "nosuid")
    b.mount("/data/new", "bind", str(volume(b)), "bind")
    found, said = rows_and_words(runtime, b, f"ls /data; touch /data/x {REFUSED_OR}")
    assert said == ["new", "refused"]
    assert {"ro", "nosuid"} <= found["/data"].options


@pytest.mark.pyrunc_only("it is read-only there in the end")
def test_a_remount_that_makes_it_writable(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "ro")
    b.mount("/data", "tmpfs", "tmpfs", "remount", "rw")
    assert "rw" in rows_and_words(runtime, b, "true")[0]["/data"].options


@pytest.mark.pyrunc_only("it changes whatever is there in the end")
def test_the_mount_itself_is_made_read_only_and_not_what_lies_over_it(runtime, bundle):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "ro")
    b.mount("/data", "tmpfs", "tmpfs", "rw")
    assert rows_and_words(runtime, b, "touch /data/x && echo written")[1] == ["written"]


def test_in_a_directory_of_the_host_that_is_read_only_nothing_is_made(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "bind", str(volume(b)), "bind", "ro")
    b.mount("/data/new", "tmpfs", "tmpfs")
    refused(runtime, b, "read-only file system")
    assert not list((b.path / "volume").iterdir())


def test_what_is_there_can_be_mounted_on_in_a_read_only_bind(runtime, bundle):
    b = bundle()
    b.mount("/data", "bind", str(volume(b, "volume/new").parent), "bind", "ro")
    b.mount("/data/new", "tmpfs", "tmpfs")
    found, said = rows_and_words(runtime, b, f"touch /data/x {REFUSED_OR}; touch /data/new/x && echo written")
    assert said == ["refused", "written"]
    assert "ro" in found["/data"].options


@pytest.mark.parametrize("where", ["readonlyPaths", "maskedPaths"])
def test_masks_come_after_read_only(runtime, bundle, where):
    """A path that is made read-only is a copy of what is mounted below: so that must be read-only by then."""
    b = bundle()
    (b.rootfs / "data/in").mkdir(parents=True)
    b.mount("/data/in", "tmpfs", "tmpfs", "ro")
    b.mount("/data/in/deep", "tmpfs", "tmpfs", "ro")
    b.linux[where] = ["/data"] if where == "readonlyPaths" else ["/data/in/deep"]
    words = f"touch /data/in/x {REFUSED_OR}; touch /data/in/deep/x {REFUSED_OR}"
    assert rows_and_words(runtime, b, words)[1] == ["refused", "refused"]


def test_a_read_only_root_and_a_read_only_tmpfs(runtime, bundle):
    b = bundle(writable=False)
    b.mount("/run", "tmpfs", "tmpfs", "ro")
    b.mount("/run/new", "tmpfs", "tmpfs")
    words = f"touch /x {REFUSED_OR}; touch /run/x {REFUSED_OR}; touch /run/new/x && echo written"
    assert rows_and_words(runtime, b, words)[1] == ["refused", "refused", "written"]


@pytest.mark.parametrize("propagation", ["rprivate", "rshared", "rslave", "unbindable"])
def test_propagation_and_read_only(runtime, bundle, propagation):
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "ro", propagation)
    b.mount("/data/new", "tmpfs", "tmpfs")
    found, said = rows_and_words(runtime, b, f"touch /data/x {REFUSED_OR}; touch /data/new/x && echo written")
    assert said == ["refused", "written"]
    assert ("shared:" in found["/data"].optional) == (propagation == "rshared")
    assert ("unbindable" in found["/data"].optional) == (propagation == "unbindable")


@pytest.mark.pyrunc_only("bind mounts only")
def test_an_idmapped_tmpfs_that_is_read_only(runtime, bundle):
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 3):
        pytest.skip("this kernel cannot idmap a tmpfs")
    b = bundle()
    b.mount("/data", "tmpfs", "tmpfs", "ro", "mode=777")
    b.config["mounts"][-1] |= {kind: [{"containerID": 0, "hostID": 0, "size": 65536}] for kind in ("uidMappings", "gidMappings")}
    b.mount("/data/new", "tmpfs", "tmpfs")
    assert rows_and_words(runtime, b, f"ls /data; touch /data/x {REFUSED_OR}")[1] == ["new", "refused"]


@pytest.mark.v1
@pytest.mark.parametrize("own", [False, True])
def test_below_the_cgroup_mount(runtime, bundle, own):
    b = bundle()
    b.namespace("cgroup", drop=not own)
    b.mount("/sys/fs/cgroup/extra", "tmpfs", "tmpfs")
    found, said = rows_and_words(runtime, b, f"touch /sys/fs/cgroup/extra/x && echo written; touch /sys/fs/cgroup/x {REFUSED_OR}")
    assert found["/sys/fs/cgroup/extra"].type == "tmpfs"
    assert said[0] == "written"
    assert said[1:] == ["refused"] or runtime.name == "runc"  # which forgets ro there


# Sources below what an earlier mount brought


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("mappings", [False, True])
def test_a_source_below_an_earlier_mount(runtime, bundle, user, mappings):
    """Each bind takes from what the ones before it made; the host's directory is closed to root of the user namespace."""
    b = bundle("cat /final/word; cat /final/over/word; stat -c %u /final/word")
    if user:
        mapped(b)
    closed = volume(b, "closed/first", "word").parent
    (closed / "first/word").write_text("first\n")
    for name in ("over", "first/over"):
        (closed / name).mkdir()
    (closed / "over/word").write_text("over\n")
    closed.chmod(0o700)
    b.mount("/data", "bind", str(closed / "first"), "bind")
    b.mount("/data/over", "bind", str(closed / "over"), "bind")
    b.mount("/tmp", "bind", f"{b.rootfs}/data", "rbind")
    b.mount("/final", "bind", "rootfs/./etc/..//tmp", "rbind")
    owner = 0
    if mappings:
        rows = [{"containerID": 0, "hostID": FIRST if user else 7, "size": 65536}]
        b.config["mounts"][-1] |= {"uidMappings": rows, "gidMappings": rows}
        owner = 0 if user else 7
    elif user:
        owner = 65534
    assert runtime.output(b).split() == ["first", "over", str(owner)]


@pytest.mark.parametrize("option", ["rshared", "rslave", "rprivate"])
def test_a_source_below_an_earlier_mount_and_propagation(runtime, bundle, option):
    b = bundle("ls", "/final")
    b.mount("/data", "bind", str(volume(b, "volume", "file")), "bind")
    b.mount("/final", "bind", f"{b.rootfs}/data", "rbind", option)
    assert runtime.output(b) == "file\n"


@pytest.mark.parametrize("user", [False, True])
def test_a_source_that_nothing_brought_is_named(runtime, bundle, user):
    b = mapped(bundle("true")) if user else bundle("true")
    b.mount("/data", "tmpfs", "tmpfs")
    b.mount("/final", "bind", f"{b.rootfs}/data/none", "bind")
    err = refused(runtime, b, "no such file or directory")
    if runtime.name == "pyrunc":
        assert "/mounts/8/source" in err
