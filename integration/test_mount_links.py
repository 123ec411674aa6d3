"""Options of crun's for binds of, and on, symbolic links: copy-symlink, src-nofollow, dest-nofollow (crun(1)); idmap= beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration.harness.failures import fails
from integration.looking import FIRST, mapped, on_disk, volume

pytestmark = pytest.mark.cruns("runc has none of these options")
ours = pytest.mark.pyrunc_only("crun 1.28 follows the link, or wants the destination to be there")


@pytest.fixture
def source(bundle):
    """Make a volume with a file, a link to it, and a link that leads nowhere; return a bundle beside it."""
    b = bundle()
    path = volume(b, "volume", "file")
    (path / "file").write_text("content\n")
    (path / "link").symlink_to("file")
    (path / "nowhere").symlink_to("/is/nowhere")
    return b, path


def runs(b, line):
    b.process["args"] = ["sh", "-c", line]
    return b


@pytest.mark.parametrize("name", ["link", "nowhere"])
@pytest.mark.parametrize("user", [False, True])
def test_a_link_is_copied(runtime, source, name, user):
    b, path = source
    b.mount("/new/dir/copy", "bind", str(path / name), "bind", "copy-symlink")
    runs(mapped(b) if user else b, "readlink /new/dir/copy; grep -c /new/dir/copy /proc/self/mountinfo; true")
    if user:
        give(b)
    assert runtime.output(b).split() == [os.readlink(path / name), "0"]
    assert os.readlink(b.rootfs / "new/dir/copy") == os.readlink(path / name)
    assert runtime.output(b).split() == [os.readlink(path / name), "0"]  # the same link is there by now


def give(b):
    """Let the container's root make files in its rootfs."""
    os.chown(b.rootfs, FIRST, FIRST)


def test_what_is_no_link_is_mounted(runtime, source):
    b, path = source
    b.mount("/copy", "bind", str(path / "file"), "bind", "copy-symlink")
    assert runtime.output(runs(b, "cat /copy")) == "content\n"
    assert not (b.rootfs / "copy").is_symlink()


@pytest.mark.parametrize("there", ["a file", "another link", "a directory"])
def test_no_other_thing_is_replaced(runtime, source, there):
    b, path = source
    target = b.rootfs / "copy"
    {"a file": target.touch, "another link": lambda: target.symlink_to("other"), "a directory": target.mkdir}[there]()
    b.mount("/copy", "bind", str(path / "link"), "bind", "copy-symlink")
    said = fails(runtime, runs(b, "true"))
    if runtime.name == "pyrunc":
        assert "file exists: the image has something at /copy that is" in said
        assert f"at /mounts/{len(b.config['mounts']) - 1}" in said
    assert target.is_symlink() == (there == "another link")


def test_a_copied_link_does_not_leave_the_root(runtime, source):
    """The directories on the way are the container's, whatever links the image has there."""
    b, path = source
    (b.rootfs / "out").symlink_to(b.path)
    b.mount("/out/copy", "bind", str(path / "link"), "bind", "copy-symlink")
    runtime("run", "--bundle", str(b.path), runtime.prepare(runs(b, "true")), check=False)
    assert not (b.path / "copy").is_symlink()


@ours
@pytest.mark.parametrize("name", ["link", "nowhere"])
@pytest.mark.parametrize("user", [False, True])
def test_the_link_itself_is_the_source(runtime, source, name, user):
    b, path = source
    (b.rootfs / "here").touch()
    b.mount("/here", "bind", str(path / name), "bind", "src-nofollow")
    runs(mapped(b) if user else b, "readlink /here; grep -c ' /here ' /proc/self/mountinfo")
    assert runtime.output(b).split() == [os.readlink(path / name), "1"]
    assert (b.rootfs / "here").is_file()


@ours
def test_a_source_that_is_no_link_is_mounted(runtime, source):
    b, path = source
    b.mount("/here", "bind", str(path / "file"), "bind", "src-nofollow")
    assert runtime.output(runs(b, "cat /here")) == "content\n"


def test_a_link_is_mounted_on(runtime, source):
    b, path = source
    (b.rootfs / "over").symlink_to("/etc/passwd")
    b.mount("/over", "bind", str(path / "file"), "bind", "dest-nofollow")
    assert runtime.output(runs(b, "cat /over; grep -c content /etc/passwd; stat -c %F /over")) == "content\n0\nregular file\n"
    assert os.readlink(b.rootfs / "over") == "/etc/passwd"


def test_without_the_option_what_it_leads_to_is(runtime, source):
    b, path = source
    (b.rootfs / "over").symlink_to("/etc/passwd")
    b.mount("/over", "bind", str(path / "file"), "bind")
    assert runtime.output(runs(b, "cat /etc/passwd; readlink /over")) == "content\n/etc/passwd\n"


@ours
def test_a_destination_that_is_missing_is_made(runtime, source):
    b, path = source
    b.mount("/fresh", "bind", str(path / "link"), "bind", "src-nofollow", "dest-nofollow")
    assert runtime.output(runs(b, "readlink /fresh")) == "file\n"
    assert (b.rootfs / "fresh").is_file()


@ours
@pytest.mark.parametrize("kind", ["tmpfs", "proc"])
@pytest.mark.parametrize("word", ["copy-symlink", "src-nofollow", "dest-nofollow"])
def test_only_binds_have_links(runtime, bundle, kind, word):
    b = bundle()
    b.mount("/here", kind, kind, word)
    assert f"{word} is for bind mounts (at /mounts/{len(b.config['mounts']) - 1}/options/0;" in fails(runtime, b)


@ours
@pytest.mark.parametrize("word", ["rsync", "rmand", "rdirsync"])
def test_no_tree_of_the_hosts_can_be_made_synchronous(runtime, source, word):
    b, path = source
    b.mount("/here", "bind", str(path), "bind", word)
    said = fails(runtime, b)
    assert f'any filesystem-specific options applied: "{word}"' in said
    assert f"/mounts/{len(b.config['mounts']) - 1}/options/1" in said


@ours
def test_a_new_file_system_is(runtime, bundle):
    b = bundle("grep", " /wet ", "/proc/self/mountinfo")
    b.mount("/wet", "tmpfs", "tmpfs", "rsync", "rdirsync")
    assert {"sync", "dirsync"} <= set(runtime.output(b).split()[-1].split(","))


@pytest.fixture
def disk(tmp_path):
    """Be on a file system that older kernels can idmap too."""
    with on_disk(tmp_path) as path:
        yield path


def owned(directory: Path) -> Path:
    """Make a directory with a file of user 1 and group 2."""
    (directory / "ids").mkdir()
    (directory / "ids/file").touch()
    os.chown(directory / "ids/file", 1, 2)
    return directory / "ids"


def test_mappings_in_the_option(runtime, bundle, disk):
    b = bundle("stat", "-c", "%u:%g", "/here/file")
    b.mount("/here", "bind", str(owned(disk)), "bind", "idmap=uids=0-5000-1#1-7000-10;gids=0-100-10")
    assert runtime.output(b) == "7000:102\n"


def test_relative_mappings_in_the_option(runtime, bundle, disk):
    b = mapped(bundle("stat", "-c", "%u:%g", "/here/file"))
    b.mount("/here", "bind", str(owned(disk)), "bind", "idmap=uids=@1-30-10;gids=@0-0-10")
    assert runtime.output(b) == "30:2\n"
