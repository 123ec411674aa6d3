"""`mounts add`, `remove` and `list`: mounts of a container that runs, seen from inside and by its mountinfo (docs/crun.md)."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from integration.looking import FIRST, mapped, mountinfo, on_disk, volume

pytestmark = pytest.mark.cruns("runc has no such command")
ours = pytest.mark.pyrunc_only("crun does otherwise, see docs/crun.md")


def entry(at, source, *options, kind="bind", **more):
    return {"destination": at, "type": kind, "source": str(source), "options": list(options), **more}


def asked(b, *entries):
    """Write ENTRIES into a file beside B, and return its path."""
    path = b.path / "mounts.json"
    path.write_text(json.dumps(entries))
    return str(path)


def points(runtime, name):
    """Return the mounts of container NAME by their points, as the host's procfs shows them."""
    return mountinfo(Path(f"/proc/{runtime.pid(name)}/mountinfo").read_text())


def inside(runtime, name, line):
    return runtime("exec", name, "sh", "-c", line).stdout


@pytest.fixture(params=["root", "user"])
def running(request, runtime, bundle):
    """Return a running container's name, its bundle and a volume of the host's with a file."""
    b = bundle()
    path = volume(b, "volume", "file")
    (path / "file").write_text("content\n")
    if request.param == "user":
        mapped(b)
        os.chown(b.rootfs, FIRST, FIRST)
        os.chown(path, FIRST, FIRST)
    return runtime.start(b), b, path


def test_added_seen_and_removed(runtime, running):
    name, b, path = running
    before = points(runtime, name)
    file = asked(b, entry("/live/dir", path, "bind", "ro", "nosuid"))
    runtime("mounts", "add", name, file)
    assert inside(runtime, name, "cat /live/dir/file; touch /live/dir/new 2>/dev/null || echo read-only") == "content\nread-only\n"
    row = points(runtime, name)["/live/dir"]
    assert {"ro", "nosuid"} <= row.options
    assert not [point for point in mountinfo(Path("/proc/self/mountinfo").read_text()) if str(b.path) in point]  # not on the host
    runtime("mounts", "remove", name, file)
    assert points(runtime, name).keys() == before.keys()
    assert inside(runtime, name, "ls /live/dir") == ""


def test_new_file_systems(runtime, running):
    name, b, _ = running
    file = asked(b, entry("/wet", "tmpfs", "size=64k", "noexec", "mode=700", kind="tmpfs"), entry("/s", "sysfs", "ro", kind="sysfs"))
    runtime("mounts", "add", name, file)
    found = points(runtime, name)
    assert found["/wet"].type == "tmpfs"
    assert "noexec" in found["/wet"].options
    assert runtime.name == "crun" or "size=64k" in found["/wet"].superblock  # crun 1.28 loses what is the file system's
    assert found["/s"].type == "sysfs"
    assert inside(runtime, name, "ls /s/class/net").split() == ["lo"]  # of its own network namespace
    runtime("mounts", "remove", name, file)
    assert not {"/wet", "/s"} & points(runtime, name).keys()


def test_a_file_over_a_file(runtime, running):
    name, b, path = running
    (b.rootfs / "etc/some").write_text("image\n")
    file = asked(b, entry("/etc/some", path / "file", "bind"))
    runtime("mounts", "add", name, file)
    assert inside(runtime, name, "cat /etc/some") == "content\n"
    runtime("mounts", "remove", name, file)
    assert inside(runtime, name, "cat /etc/some") == "image\n"


@ours
def test_one_inside_the_other(runtime, running):
    name, b, path = running
    file = asked(b, entry("/outer", "tmpfs", kind="tmpfs"), entry("/outer/inner", path, "bind"))
    runtime("mounts", "add", name, file)
    assert inside(runtime, name, "cat /outer/inner/file") == "content\n"
    listed = json.loads(runtime("mounts", "list", "--format", "json", name).stdout)
    assert [each["destination"] for each in listed] == ["/outer", "/outer/inner"]
    table = runtime("mounts", "list", name).stdout.splitlines()
    assert [line.split()[0] for line in table] == ["DESTINATION", "/outer", "/outer/inner"]
    runtime("mounts", "remove", name, file)
    assert json.loads(runtime("mounts", "list", "--format", "json", name).stdout) == []
    assert not {"/outer", "/outer/inner"} & points(runtime, name).keys()


@ours
def test_all_of_it_or_nothing(runtime, running):
    """The last fails in the kernel, when the others are mounted."""
    name, b, path = running
    before = points(runtime, name).keys()
    file = asked(b, entry("/one", path, "bind"), entry("/two", "tmpfs", kind="tmpfs"), entry("/bin", path / "file", "bind"))
    said = runtime.refuses("mounts", "add", name, file)
    assert "at /2/destination;" in said
    assert points(runtime, name).keys() == before
    assert json.loads(runtime("mounts", "list", "--format", "json", name).stdout) == []


@ours
@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"destination": "relative", "type": "bind", "source": "/s"}, ""),
        ({"type": "tmpfs"}, "at /0"),
        ({"destination": "/a", "type": "tmpfs", "options": ["size=x"]}, "at /0/options/0"),
        ({"destination": "/a", "type": "tmpfs", "options": ["nosiud"]}, "at /0/options/0"),
        ({"destination": "/a", "type": "bind", "source": "/is/nowhere"}, "at /0/source"),
        ({"destination": "/proc/sys", "type": "tmpfs"}, "at /0/destination"),
        ({"destination": "/a", "type": "proc", "source": "proc"}, "at /0/type"),
        ({"destination": "/a", "type": "overlay", "source": "overlay"}, "at /0/type"),
        ({"destination": "/a", "type": "cgroup", "source": "cgroup"}, "at /0/type"),
        ({"destination": "/tmp", "type": "bind", "source": "/tmp", "options": ["remount", "ro"]}, "at /0/options/0"),
        ({"destination": "/a", "type": "bind", "source": "/tmp", "options": ["copy-symlink"]}, "at /0/options/0"),
        ({"destination": "/a", "type": "bind", "source": "/tmp", "options": ["bind", "idmap=uids=0-1-1"]}, "at /0/options/1"),
    ],
)
def test_refused_with_its_place_in_the_file(runtime, bundle, wrong, place):
    b = bundle()
    name = runtime.start(b)
    before = points(runtime, name).keys()
    if not place:
        runtime("mounts", "add", name, asked(b, {**wrong, "source": str(b.path)}))  # taken as /relative, as by create
        assert "/relative" in points(runtime, name)
        return
    assert place in runtime.refuses("mounts", "add", name, asked(b, wrong))
    assert points(runtime, name).keys() == before


@ours
@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "mounts must be an array"), ("[", "mounts.json"), ("[1]", "at /0"), (None, "cannot read")],
)
def test_what_is_no_file_of_mounts(runtime, bundle, text, said):
    b = bundle()
    name = runtime.start(b)
    path = b.path / "mounts.json"
    if text is not None:
        path.write_text(text)
    assert said in runtime.refuses("mounts", "add", name, str(path))


@pytest.mark.parametrize("user", [False, True])
def test_mappings_of_its_own(runtime, bundle, tmp_path, user):
    b = bundle()
    name = runtime.start(mapped(b) if user else b)
    with on_disk(tmp_path) as disk:
        (disk / "ids").mkdir()
        (disk / "ids/file").touch()
        os.chown(disk / "ids/file", 1, 2)
        file = asked(b, entry("/ids", disk / "ids", "bind", f"idmap=uids=0-{FIRST}-10;gids=0-{FIRST}-10"))
        runtime("mounts", "add", name, file)
        assert inside(runtime, name, "stat -c %u:%g /ids/file") == ("1:2\n" if user else f"{FIRST + 1}:{FIRST + 2}\n")
        runtime("mounts", "remove", name, file)


@ours
def test_flags_that_the_host_has_locked_stay_locked(runtime, bundle, tmp_path):
    """Root of a user namespace, with every capability there, cannot make writable what the host has read-only."""
    b = mapped(bundle())
    for kind in ("bounding", "effective", "permitted"):
        b.process["capabilities"][kind] = ["CAP_SYS_ADMIN"]
    name = runtime.start(b)
    place = tmp_path / "readonly"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    subprocess.run(["mount", "-o", "bind,remount,ro,nosuid", str(place)], check=True)
    try:
        runtime("mounts", "add", name, asked(b, entry("/locked", place, "bind")))
        done = runtime("exec", name, "mount", "-o", "remount,bind,rw,suid", "/locked", check=False)
        assert done.returncode
        assert {"ro", "nosuid"} <= points(runtime, name)["/locked"].options
    finally:
        subprocess.run(["umount", str(place)], check=True)


@ours
def test_a_link_of_the_image_leads_nowhere_outside(runtime, running):
    name, b, path = running
    outside = b.path / "outside"
    outside.mkdir()
    (b.rootfs / "trap").symlink_to(outside)
    runtime("mounts", "add", name, asked(b, entry("/trap/in", path, "bind")))
    assert not list(outside.iterdir())
    assert f"{outside}/in" in points(runtime, name)  # that path, below the container's own root


@ours
@pytest.mark.parametrize("over", ["/proc", "/proc/self", "/"])
def test_nothing_is_mounted_over_proc_or_the_root(runtime, running, over):
    name, b, path = running
    (b.rootfs / "to").symlink_to(over)
    before = points(runtime, name).keys()
    runtime.refuses("mounts", "add", name, asked(b, entry("/to", path, "bind")))
    assert points(runtime, name).keys() == before


@ours
def test_only_what_was_added_is_removed(runtime, running):
    """A mask is no mount of the caller's, and what the container has mounted over it is the container's."""
    name, b, path = running
    before = points(runtime, name).keys()
    for place in ("/proc/keys", "/dev", "/nowhere"):
        assert "at /0/destination;" in runtime.refuses("mounts", "remove", name, asked(b, entry(place, path)))
    assert points(runtime, name).keys() == before
    assert "at /0/destination;" in runtime.refuses("mounts", "remove", name, asked(b, {"type": "tmpfs"}))


@ours
def test_what_covers_it_is_the_containers(runtime, bundle):
    b = bundle()
    for kind in ("bounding", "effective", "permitted"):
        b.process["capabilities"][kind] = ["CAP_SYS_ADMIN"]
    name = runtime.start(b)
    file = asked(b, entry("/live", "tmpfs", kind="tmpfs"))
    runtime("mounts", "add", name, file)
    inside(runtime, name, "mount -t tmpfs mine /live")
    assert "something else is mounted over it" in runtime.refuses("mounts", "remove", name, file)
    inside(runtime, name, "umount /live")
    runtime("mounts", "remove", name, file)
    assert "/live" not in points(runtime, name)


@ours
def test_one_that_the_container_has_unmounted_itself(runtime, bundle):
    b = bundle()
    for kind in ("bounding", "effective", "permitted"):
        b.process["capabilities"][kind] = ["CAP_SYS_ADMIN"]
    name = runtime.start(b)
    file = asked(b, entry("/live", "tmpfs", kind="tmpfs"))
    runtime("mounts", "add", name, file)
    inside(runtime, name, "umount /live")
    assert json.loads(runtime("mounts", "list", "--format", "json", name).stdout) == []
    assert "or it is gone" in runtime.refuses("mounts", "remove", name, file)


@ours
@pytest.mark.parametrize("status", ["created", "paused"])
def test_a_container_that_does_not_run_yet_or_stands_still(runtime, bundle, status):
    b = bundle()
    name = runtime.create(b) if status == "created" else runtime.start(b)
    if status == "paused":
        runtime("pause", name)
    file = asked(b, entry("/live", "tmpfs", kind="tmpfs"))
    runtime("mounts", "add", name, file)
    assert "/live" in points(runtime, name)
    runtime("mounts", "remove", name, file)
    assert "/live" not in points(runtime, name)
    if status == "paused":
        runtime("resume", name)


@ours
def test_one_that_has_stopped(runtime, bundle):
    b = bundle()
    name = runtime.start(b)
    file = asked(b, entry("/live", "tmpfs", kind="tmpfs"))
    runtime("mounts", "add", name, file)
    runtime.end(name)
    for action in ("add", "remove"):
        assert "container not running" in runtime.refuses("mounts", action, name, file)
    assert "container not running" in runtime.refuses("mounts", "list", name)
    runtime("delete", name)
    assert not (runtime.root / name).exists()


@ours
def test_neither_its_process_nor_its_descriptors_are_seen_inside(runtime, bundle):
    """It never enters the pid namespace: so a container that may trace everybody finds nothing of it."""
    b = bundle("sh", "-c", "while :; do ls /proc | grep -c '^[0-9]' >>/tmp/seen; done")
    b.process["capabilities"] = {kind: ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"] for kind in ("bounding", "effective", "permitted")}
    name = runtime.start(b)
    file = asked(b, entry("/live", "tmpfs", kind="tmpfs"))
    for _ in range(5):
        runtime("mounts", "add", name, file)
        runtime("mounts", "remove", name, file)
    assert set((b.rootfs / "tmp/seen").read_text().split()) <= {"1", "2", "3"}  # the shell, ls and grep


@ours
def test_many_at_once_and_the_end_of_the_container(runtime, bundle):
    """Adding beside exec, and until the container is killed: each command works, or says that it does not run."""
    b = bundle()
    name = runtime.start(b)
    said: list[str] = []

    def adds(place: str) -> None:
        """Add and remove at PLACE until the container is gone."""
        path = b.path / f"{place}.json"
        path.write_text(json.dumps([entry(f"/{place}", "tmpfs", kind="tmpfs")]))
        while True:
            for action in ("add", "remove"):
                done = runtime("mounts", action, name, str(path), check=False)
                if done.returncode:
                    said.append(done.stderr)
                    return

    workers = [threading.Thread(target=adds, args=(place,)) for place in ("one", "two")]
    for each in workers:
        each.start()
    for _ in range(10):
        assert inside(runtime, name, "echo here") == "here\n"
    runtime("delete", "--force", name)
    for each in workers:
        each.join()
    assert len(said) == 2
    assert all("not running" in text or "does not exist" in text or "deleted" in text for text in said), said
    assert not (runtime.root / name).exists()


@ours
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ad", "ID", "FILE"), "did you mean add?"),
        (("add", "ID"), "takes a FILE"),
        (("list", "ID", "FILE"), "takes no FILE"),
    ],
)
def test_what_is_no_command_line(runtime, bundle, words, said):
    assert said in runtime.refuses("mounts", *words)


@ours
def test_without_a_mount_namespace(runtime, bundle):
    b = bundle()
    b.namespace("mount", drop=True)
    b.config["mounts"] = []
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    name = runtime.start(b)
    try:
        assert "in its caller's mount namespace" in runtime.refuses("mounts", "add", name, asked(b, entry("/x", "/tmp", "bind")))
    finally:
        runtime("delete", "--force", name)
        subprocess.run(["umount", "-R", str(b.rootfs)], check=True)


@ours
def test_what_a_command_that_was_killed_has_left(runtime, bundle):
    """It has written down what it was at, and its process which mounts are its own: the next command knows them."""
    b = bundle()
    name = runtime.start(b)
    file = asked(b, entry("/one", "tmpfs", kind="tmpfs"), entry("/two", "tmpfs", kind="tmpfs"))
    runtime("mounts", "add", name, file)
    record = runtime.root / name / "mounts"
    entries = json.loads(record.read_text())
    record.write_text(json.dumps([{**each, "id": 0} for each in entries]))
    notes = (runtime.root / name / "mounts.notes").read_bytes()
    assert notes == b"".join(each["id"].to_bytes(8, "little") for each in entries)
    (runtime.root / name / "mounts.notes").write_bytes(notes[:11])  # and killed in the second
    listed = json.loads(runtime("mounts", "list", "--format", "json", name).stdout)
    assert [each["destination"] for each in listed] == ["/one"]
    runtime("mounts", "remove", name, asked(b, entry("/one", "tmpfs")))
    assert "/one" not in points(runtime, name)


@ours
def test_no_checkpoint_of_what_it_would_lose(runtime, bundle):
    b = bundle()
    name = runtime.start(b)
    runtime("mounts", "add", name, asked(b, entry("/live", "tmpfs", kind="tmpfs")))
    said = runtime.refuses("checkpoint", "--image-path", str(b.path / "image"), name)
    assert "mounts remove" in said
    assert runtime.status(name) == "running"


@ours
def test_debug_says_what_is_done(runtime, bundle):
    b = bundle()
    name = runtime.start(b)
    file = asked(b, entry("/live", "tmpfs", kind="tmpfs"))
    log = b.path / "log"
    runtime("--debug", "--log", str(log), "mounts", "add", name, file)
    assert "note_mount" in log.read_text()
    runtime("mounts", "remove", name, file)
