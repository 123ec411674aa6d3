"""`pyrunc install` as root, in directories where others could lead it elsewhere: what it writes decides which program runs as root."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.ordinary import UID
from integration.harness.swapping import swapped
from integration.security import naive
from integration.security.naive import apart, caught
from integration.security.racing import SECONDS, tried

if TYPE_CHECKING:
    from integration.harness.runtime import Runtime

pytestmark = pytest.mark.pyrunc_only("has no such command")
COMMANDS = 20  # at least, while directories are swapped
ENGINES = {"docker": "etc/docker/daemon.json", "podman": "etc/containers/containers.conf.d/pyrunc.conf", "containerd": "etc/containerd/config.toml"}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Return a directory of the host's with a file."""
    path = tmp_path / "victim"
    path.mkdir(mode=0o700)
    (path / "file").write_text("{}")
    return path


def untouched(victim: Path) -> None:
    """Check that nothing was made or changed in VICTIM, and that it is still for its owner alone."""
    assert os.listdir(victim) == ["file"]
    assert (victim / "file").read_text() == "{}"
    assert victim.stat().st_mode & 0o777 == 0o700


# On this machine's own /etc, of which each test has one for itself


def on_etc(runtime: Runtime, etc: Path, engine: str):
    """Run `install ENGINE` where /etc is ETC, in a mount namespace of its own."""
    return apart('mount --bind "$1" /etc; shift; exec "$@"', etc, *runtime.argv("install", engine))


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Return an /etc with nothing but the names of users."""
    path = tmp_path / "etc"
    path.mkdir()
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", path)
    return path


WAYS = ("a directory of another's", "writable by all", "sticky", "writable by a group", "another's link", "another's file")


def others_have(way: str, etc: Path, victim: Path) -> None:
    """Let others have a hand in ETC's directory for Docker, in some WAY."""
    place = etc / "docker"
    place.mkdir()
    place.chmod({"writable by all": 0o777, "sticky": 0o1777, "writable by a group": 0o775}.get(way, 0o755))
    if way == "a directory of another's":
        os.chown(place, UID, UID)
    elif way == "writable by a group":
        os.chown(place, 0, UID)
    elif way == "another's link":
        (place / "daemon.json").symlink_to(victim / "file")
        os.chown(place / "daemon.json", UID, UID, follow_symlinks=False)
    elif way == "another's file":
        (place / "daemon.json").write_text("{}")
        os.chown(place / "daemon.json", UID, UID)


@pytest.mark.parametrize("way", WAYS)
def test_where_others_have_a_hand_in_it(runtime, etc, victim, way):
    others_have(way, etc, victim)
    before = sorted(str(path) for path in etc.rglob("*"))
    done = on_etc(runtime, etc, "docker")
    assert done.returncode == 1
    assert "belongs to user 1000" in done.stderr or "may be written by others" in done.stderr
    assert sorted(str(path) for path in etc.rglob("*")) == before
    untouched(victim)


@pytest.mark.parametrize("engine", ENGINES)
def test_where_all_is_roots_it_works(runtime, etc, engine):
    """With a link of root's too."""
    done = on_etc(runtime, etc, engine)
    assert done.returncode == 0, done.stderr
    assert (etc.parent / ENGINES[engine]).exists()


def test_where_others_have_a_hand_in_it_bites(etc, victim):
    others_have("another's link", etc, victim)
    naive.write(etc / "docker/daemon.json", '{"default-runtime": "mine"}')
    with caught():
        untouched(victim)


# Below a --destdir, which may be an ordinary user's


def with_a_link(tmp_path: Path, victim: Path) -> tuple[Path, Path, Path]:
    """Make a directory with an `etc` and a link to VICTIM, which are to change places; return all three."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "there").symlink_to(victim)
    return root, root / "etc", root / "there"


@pytest.mark.slow_vm
def test_a_directory_that_is_swapped_meanwhile(runtime, tmp_path, victim):
    """Either it is written in the directory, or it fails: nothing is made, changed or opened up behind the link."""
    root, one, other = with_a_link(tmp_path, victim)
    end, done = time.monotonic() + 2 * SECONDS, 0
    with swapped(one, other):
        while time.monotonic() < end or done < COMMANDS:
            runtime("install", "podman", "--path", "/usr/bin/x", "--destdir", str(root), check=False)
            runtime("install", "podman", "--path", "/usr/bin/x", "--destdir", str(root), "--remove", check=False)
            done += 2
    untouched(victim)


@pytest.mark.slow_vm
def test_a_directory_that_is_swapped_meanwhile_bites(tmp_path, victim):
    root, one, other = with_a_link(tmp_path, victim)
    with swapped(one, other):
        tried(lambda root, _: naive.make_directory(root, "/etc/containers"), root)
    with caught():
        untouched(victim)
