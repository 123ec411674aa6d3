"""Idmapped mounts: whose a file is depends on the mount that it is seen through (config.md, "Linux mount options")."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from integration.looking import FIRST, give, mapped, mountinfo, mounts_inside, namespace, on_disk, refused, volume

pytestmark = pytest.mark.pyrunc_only("1.1 has no idmapped mounts")

KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])
SECRET = "cat /data/secret 2>/dev/null || echo refused"


@pytest.fixture
def tmp_path(tmp_path):
    """Be on a file system that older kernels can idmap too."""
    with on_disk(tmp_path) as path:
        yield path


def maps(*rows):
    return [dict(zip(("containerID", "hostID", "size"), row, strict=True)) for row in rows]


def idmapped(b, source, *options, uids=((0, FIRST, 65536),), gids=None, at="/data"):
    """Mount SOURCE in B with mappings of its own; without any if UIDS is empty."""
    b.mount(at, "bind", str(source), *options)
    if uids:
        b.config["mounts"][-1]["uidMappings"] = maps(*uids)
        b.config["mounts"][-1]["gidMappings"] = maps(*(gids or uids))
    return b


@pytest.fixture
def files(bundle):
    """Make a bundle and, on a tmpfs or on the disk, files of several owners."""
    b = bundle("stat", "-c", "%u:%g", "/data/root", "/data/user")
    path = volume(b)
    for name, owner in (("root", 0), ("user", 1000)):
        (path / name).write_text(name)
        os.chown(path / name, owner, owner + 7)
    return b, path


def test_the_mounts_own_mappings(runtime, files):
    b, path = files
    idmapped(b, path, "bind", uids=[(0, 5000, 2000)], gids=[(0, 8000, 2000)])
    assert runtime.output(b).split() == ["5000:8007", "6000:9007"]


def test_an_id_without_a_mapping_is_nobodys(runtime, files):
    b, path = files
    idmapped(b, path, "bind", uids=[(1000, 0, 1)], gids=[(1007, 0, 1)])
    assert runtime.output(b).split() == ["65534:65534", "0:0"]


def test_what_is_made_there_belongs_to_the_source_side(runtime, bundle):
    b = bundle("touch /data/made; stat -c %u /data/made")
    path = volume(b)
    os.chown(path, 1000, 1000)
    idmapped(b, path, "bind", "idmap", uids=[(1000, 0, 1)])
    assert runtime.output(b) == "0\n"
    assert ((path / "made").stat().st_uid, (path / "made").stat().st_gid) == (1000, 1000)


def test_in_a_user_namespace_root_inside_owns_the_hosts_files(runtime, files):
    b, path = files
    idmapped(mapped(b), path, "bind", "idmap")
    b.process["args"] = ["sh", "-c", "stat -c %u:%g /data/root /data/user; echo new >/data/root"]
    assert runtime.output(b).split() == ["0:7", "1000:1007"]
    assert (path / "root").read_text() == "new\n"
    assert (path / "root").stat().st_uid == 0


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_without_mappings_those_of_the_container_are_taken(runtime, files, option):
    b, path = files
    idmapped(mapped(b), path, "bind", option, uids=())
    assert runtime.output(b).split() == ["0:7", "1000:1007"]


def test_without_any_the_files_are_nobodys(runtime, files):
    """So what the tests above see is the mapping's doing."""
    b, path = files
    mapped(b).mount("/data", "bind", str(path), "bind")
    assert runtime.output(b).split() == ["65534:65534"] * 2


def test_mappings_of_a_user_namespace_that_is_joined(runtime, bundle):
    pid = runtime.pid(runtime.start(mapped(bundle())))
    b = mapped(bundle("stat", "-c", "%u", "/data/file"))
    b.namespace("user", path=f"/proc/{pid}/ns/user")
    del b.linux["uidMappings"], b.linux["gidMappings"]
    idmapped(b, volume(b, "volume", "file"), "bind", "idmap", uids=())
    assert runtime.output(b) == "0\n"


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.skipif(KERNEL < (6, 3), reason="this kernel cannot idmap the tmpfs below")
def test_ridmap_reaches_what_is_mounted_below(runtime, bundle, option, own):
    b = bundle("stat", "-c", "%u", "/data/file", "/data/below/file")
    path = volume(b, "volume", "file")
    (path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(path / "below")], check=True)
    try:
        (path / "below/file").touch()
        idmapped(mapped(b) if own else b, path, "rbind", option)
        base = 0 if own else FIRST
        unmapped = 65534 if own else 0
        assert runtime.output(b).split() == [str(base), str(base if option == "ridmap" else unmapped)]
    finally:
        subprocess.run(["umount", str(path / "below")], check=True)


def test_flags_and_propagation_go_with_it(runtime, files):
    b, path = files
    idmapped(b, path, "rbind", "idmap", "ro", "nosuid", "nodev", "rshared")
    row = mounts_inside(runtime, b)["/data"]
    assert {"ro", "nosuid", "nodev", "idmapped"} <= row.options
    assert "shared:" in row.optional


def test_several_mounts_with_the_same_and_other_mappings(runtime, files):
    b, path = files
    idmapped(b, path, "bind", at="/a")
    idmapped(b, path, "bind", at="/b")
    idmapped(b, path, "bind", at="/c", uids=[(0, 7000, 2000)])
    b.process["args"] = ["stat", "-c", "%u", "/a/root", "/b/root", "/c/root"]
    assert runtime.output(b).split() == [str(FIRST), str(FIRST), "7000"]


def test_a_file(runtime, files):
    b, path = files
    idmapped(mapped(b), path / "root", "bind", "idmap", at="/etc/given")
    b.process["args"] = ["stat", "-c", "%u:%g", "/etc/given"]
    assert runtime.output(b) == "0:7\n"


@pytest.mark.skipif(KERNEL < (6, 3), reason="this kernel cannot idmap a tmpfs")
def test_a_new_tmpfs(runtime, bundle):
    b = bundle("stat", "-c", "%u", "/data")
    b.mount("/data", "tmpfs", "tmpfs", "idmap", "uid=1000")
    b.config["mounts"][-1] |= {"uidMappings": maps((1000, 42, 1)), "gidMappings": maps((0, 0, 1))}
    assert runtime.output(b) == "42\n"


def test_the_hosts_view_stays(runtime, files):
    b, path = files
    idmapped(b, path, "bind", "idmap")
    runtime.run(b)
    assert ((path / "root").stat().st_uid, (path / "user").stat().st_uid) == (0, 1000)


@pytest.mark.parametrize("own", [False, True])
def test_no_descriptor_and_no_process_of_the_helper_stays(runtime, bundle, own):
    """A namespace with the host's mappings in the container's hands would be a way to its ids."""
    b = mapped(bundle()) if own else bundle()
    path = volume(b)
    idmapped(b, path, "bind", "idmap", uids=[(0, 300000, 65536)])
    for status in ("created", "running"):
        name = runtime.create(b)
        if status == "running":
            runtime("start", name)
        pid = runtime.pid(name)
        held = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [link for link in held if link.startswith("user:") or str(path) in link]
        assert (namespace(pid, "user") == namespace("self", "user")) != own
        runtime("delete", "--force", name)


# What cannot be


def test_no_mappings_anywhere(runtime, files):
    b, path = files
    err = refused(runtime, idmapped(b, path, "bind", "ro", "idmap", uids=()), "user namespace", "uidMappings")
    assert "/mounts/7/options/2" in err


@pytest.mark.parametrize("kind", ["uidMappings", "gidMappings"])
def test_half_a_mapping(runtime, files, kind):
    b, path = files
    idmapped(b, path, "bind", "idmap")
    del b.config["mounts"][-1][kind]
    refused(runtime, b, f"/mounts/7/{kind}")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("source", "kind"), [("/sys/kernel", "sysfs"), ("/proc/tty", "proc"), ("/dev/pts", "devpts")])
def test_a_file_system_that_has_none(runtime, bundle, own, source, kind):
    """Only the kernel knows which do: the error names the type."""
    b = mapped(bundle("true")) if own else bundle("true")
    idmapped(b, source, "bind", "idmap")
    refused(runtime, b, "invalid argument", "/mounts/7/uidMappings", f"the source is on {kind}, which has no idmapped mounts")


def test_a_file_system_that_has_none_below(runtime, files):
    b, path = files
    (path / "below").mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", str(path / "below")], check=True)
    try:
        idmapped(b, path, "rbind", "ridmap")
        refused(runtime, b, "invalid argument", "or one that is mounted below it, has no idmapped mounts")
    finally:
        subprocess.run(["umount", str(path / "below")], check=True)


def test_mappings_that_overlap(runtime, files):
    b, path = files
    idmapped(b, path, "bind", uids=[(0, FIRST, 100), (50, 300000, 100)])
    refused(runtime, b, "/mounts/7/uidMappings", "overlaps")


def test_an_idmapped_source_cannot_be_mapped_again(runtime, files):
    b, path = files
    place = volume(b, "mapped")
    _idmap_on_the_host(path, place)
    try:
        idmapped(b, place, "bind", "idmap")
        refused(runtime, b, "operation not permitted", "idmapped already")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _idmap_on_the_host(source, target):
    """Mount SOURCE on TARGET, shifted, by the kernel's calls: mount(8) of Debian 12 is too old for that."""
    libc = ctypes.CDLL(None, use_errno=True)
    holder = subprocess.Popen(["unshare", "--user", "sleep", "100"])
    try:
        while namespace(holder.pid, "user") == namespace("self", "user"):
            os.sched_yield()
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{name}").write_text("0 200000 65536\n")
        userns = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
        tree = libc.syscall(428, -100, os.fsencode(source), 1)
        attributes = b"".join(number.to_bytes(8, "little") for number in (0x100000, 0, 0, userns))
        assert libc.syscall(442, tree, b"", 0x1000, attributes, len(attributes)) == 0
        assert libc.syscall(429, tree, b"", -100, os.fsencode(target), 4) == 0
        os.close(tree)
        os.close(userns)
    finally:
        holder.kill()
        holder.wait()


def test_a_new_file_system_in_a_user_namespace(runtime, bundle):
    b = mapped(bundle("true"))
    b.mount("/data", "tmpfs", "tmpfs", "idmap")
    refused(runtime, b, "/mounts/7/options/0", "bind mounts")


def test_root_inside_cannot_map_what_it_was_not_given(runtime, files):
    """With an idmapped mount in it, a container still writes only as the mapping says."""
    b, path = files
    (path / "secret").write_text("of the host's root")
    (path / "secret").chmod(0o600)
    give(mapped(b), "CAP_DAC_OVERRIDE")
    b.mount("/data", "bind", str(path), "bind")
    idmapped(b, path, "bind", uids=[(1000, FIRST, 1)], at="/mapped")
    b.process["args"] = ["sh", "-c", f"{SECRET}; {SECRET.replace('data', 'mapped')}; stat -c %u /mapped/user"]
    assert runtime.output(b).split() == ["refused", "refused", "0"]


def test_mountinfo_says_so(runtime, files):
    b, path = files
    idmapped(b, path, "bind")
    b.process["args"] = ["cat", "/proc/self/mountinfo"]
    assert "idmapped" in mountinfo(runtime.output(b))["/data"].options
