"""The container's terminal (CVE-2025-52565, CVE-2026-88264)."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.looking import mountinfo, volume
from integration.security import naive
from integration.security.naive import apart, caught

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime


def on_a_terminal(runtime: Runtime, b: Bundle) -> str:
    """Run B on a terminal of our own and return what appears there."""
    b.process["terminal"] = True
    name = runtime._prepare(b)
    master, slave = pty.openpty()
    words = runtime.argv("run", "--bundle", str(b.path), name)
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    seen = b""
    while select.select([master], [], [], 20)[0]:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.close(master)
    process.wait(20)
    return seen.decode(errors="replace")


def untouched(out: Path) -> None:
    """Check that OUT has its one file still, and no other."""
    assert os.listdir(out) == ["file"]
    assert (out / "file").read_text() == "the host's"


@pytest.mark.parametrize("target", ["{file}", "{out}/console", "../../../../../../../../../../../..{file}"])
def test_a_console_that_is_a_link(runtime, bundle, target, tmp_path):
    b = bundle("echo", "ran")
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    b.mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620")
    out = tmp_path / "outside"
    out.mkdir()
    (out / "file").write_text("the host's")
    (b.rootfs / "dev/console").symlink_to(target.format(file=out / "file", out=out))
    before = mountinfo(Path("/proc/self/mountinfo").read_text()).keys()
    on_a_terminal(runtime, b)
    untouched(out)
    assert mountinfo(Path("/proc/self/mountinfo").read_text()).keys() == before


def test_a_console_that_is_a_link_bites(bundle, tmp_path):
    """Who makes a place to mount on at /dev/console of the image makes a file on the host."""
    b = bundle()
    (tmp_path / "file").write_text("the host's")
    (b.rootfs / "dev/console").symlink_to(tmp_path / "made")
    naive.write(b.rootfs / "dev/console", "")
    with caught():
        untouched(tmp_path)


# A terminal by its number, where somebody has put something else (CVE-2025-52565)

LOOK = "stat -L -c '%F %t' /dev/console; stat -L -c '%F %t' /proc/self/fd/1; test -f /dev/console && cat /dev/console; true"
PTS_MAJOR = range(0x88, 0x90)


def is_a_terminal(text: str) -> None:
    """Check what the container sees, TEXT, of its console and its output: terminals both, and nothing of the image's."""
    assert "planted" not in text
    rows = [line.strip().rpartition(" ") for line in text.splitlines() if " " in line]
    assert [kind for kind, _, _ in rows] == ["character special file"] * 2
    assert all(int(major, 16) in PTS_MAJOR for _, _, major in rows)


def planted(b: Bundle, multiplexer: str) -> None:
    """Mount a volume on B's /dev/pts, with files in the place of terminals, and a MULTIPLEXER: "file", "device" or "link"."""
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] != "/dev/pts"]
    pts = volume(b, "pts")
    for number in range(64):
        (pts / str(number)).write_text("planted\n")
    if multiplexer == "device":
        os.mknod(pts / "ptmx", 0o20666, os.makedev(5, 2))
    elif multiplexer == "link":
        (pts / "ptmx").symlink_to("/dev/other/ptmx")
    else:
        (pts / "ptmx").write_text("planted\n")
    b.mount("/dev/pts", "bind", str(pts), "bind", "dev")


@pytest.mark.parametrize("multiplexer", ["file", "device", "link"])
def test_a_terminal_that_something_else_stands_for(runtime, bundle, multiplexer):
    """Its other end comes from the terminal itself, TIOCGPTPEER, and from no path; without a devpts there is no container."""
    b = bundle("sh", "-c", LOOK)
    planted(b, multiplexer)
    seen = on_a_terminal(runtime, b)
    assert "planted" not in seen
    if "special" in seen:
        is_a_terminal(seen)


def test_on_its_own_devpts_it_is_one(runtime, bundle):
    is_a_terminal(on_a_terminal(runtime, bundle("sh", "-c", LOOK)))


def test_a_terminal_that_something_else_stands_for_bites(bundle):
    """Who binds /dev/pts/0 of the container to /dev/console binds what lies there."""
    b = bundle()
    planted(b, "file")
    (b.rootfs / "dev/console").touch()
    script = 'mount --bind "$2/0" "$1/dev/console"; mount -t proc proc "$1/proc"; exec chroot "$1" sh -c "$3"'
    done = apart(script, b.rootfs, b.path / "pts", LOOK, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.stdout, done
    with caught():
        is_a_terminal(done.stdout)
