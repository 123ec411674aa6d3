"""A runtime that is in a chroot: setns(2) leads to the root of the whole mount namespace, which is the machine's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.runtime import wait_for
from integration.looking import give, mapped
from integration.security.naive import caught

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle, Bundles
    from integration.harness.runtime import Runtime

# The jail has the machine's files, by mounts of its own, and one directory that looks otherwise.
JAIL = """
mount --rbind / "$0"
mount -t tmpfs none "$0$1" && echo "the jail's" >"$0$1/whose"
shift
"""
APART = ("unshare", "-m", "--propagation", "private", "sh", "-ec")
flags = pytest.mark.parametrize("flags", [(), ("--no-pivot",)], ids=["pivot_root", "no-pivot"])
otherwise = pytest.mark.pyrunc_only("1.5.1 lands in the machine's root")
BY_HAND = 'mount --bind "$1" "$1"; cd "$1"; pivot_root . .; umount -l .; exec chroot . /bin/sleep 1000'


@pytest.fixture
def places(runtime: Runtime, tmp_path: Path) -> tuple[Path, Path]:
    """Let RUNTIME run in a chroot, which is a mount; return where that is, and the directory that is another in there."""
    found = tmp_path / "jail", tmp_path / "above/differs"
    for path in found:
        path.mkdir(parents=True)
    (found[1] / "whose").write_text("the machine's\n")
    runtime.prefix = jail(*found)
    return found


def jail(where: Path, differs: Path, *more: str) -> tuple[str, ...]:
    """Return the beginning of a command line that is run in the jail, with MORE before it."""
    return (*APART, f'{JAIL}exec chroot "$0" "$@"', str(where), str(differs), *more)


def marked(b: Bundle) -> Bundle:
    """Give B's root a mark, and let its processes change their own root."""
    (b.rootfs / "mark").touch()
    return give(b, "CAP_SYS_CHROOT")


def borrowed(runtime: Runtime, bundle: Bundles, b: Bundle) -> Bundle:
    """Let B join a user namespace that another container has, as the kernel lets nobody in a chroot make one."""
    inside, runtime.prefix = runtime.prefix, ()
    pid = runtime.pid(runtime.start(mapped(bundle())))
    runtime.prefix = inside
    mapped(b).namespace("user", path=f"/proc/{pid}/ns/user")
    del b.linux["uidMappings"], b.linux["gidMappings"]
    return b


def only_the_containers(text: str) -> None:
    """Check that TEXT, a list of `/` and its parent, is of the container's root."""
    names = text.split()
    assert names.count("mark") == 2, names
    assert "boot" not in names, names


def entered(pid: int | str) -> str:
    """Return what is in the root that who enters the mount namespace of process PID comes to, and above it."""
    command = ["nsenter", "-t", str(pid), "-m", "/bin/ls", "/", "/.."]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@otherwise
@flags
@pytest.mark.parametrize("ids", ["own ids", "mapped ids"])
@pytest.mark.parametrize("tracing", [(), ("CAP_SYS_PTRACE",)], ids=["", "tracing"])
def test_exec_is_in_the_containers_root(runtime, bundle, places, flags, ids, tracing):
    b = give(marked(bundle()), "CAP_SYS_CHROOT", *tracing)
    name = runtime.start(borrowed(runtime, bundle, b) if ids == "mapped ids" else b, *flags)
    only_the_containers(runtime.exec(name, "ls", "/", "/..").stdout)
    only_the_containers(entered(runtime.pid(name)))
    assert runtime.exec(name, "cat", "/proc/self/comm").stdout == "cat\n"


@pytest.mark.pyrunc_only("1.5.1 is in the machine's root")
@pytest.mark.parametrize("tracing", [(), ("CAP_SYS_PTRACE",)], ids=["", "tracing"])
def test_exec_where_the_namespace_begins_elsewhere(runtime, bundle, places, tracing):
    """Made by who could not enter the whole of it, but its root is known: that is where an exec goes."""
    b = give(marked(bundle()), "CAP_KILL", *tracing)
    runtime.prefix = jail(*places, "setpriv", "--bounding-set", "-sys_chroot")
    name = runtime.start(b)
    with caught():
        only_the_containers(entered(runtime.pid(name)))
    runtime.prefix = jail(*places)
    only_the_containers(runtime.exec(name, "ls", "/", "/..").stdout)
    assert runtime.exec(name, "pwd").stdout == "/\n"


def test_exec_is_in_the_containers_root_bites(tmp_path, bundle):
    """As it is without a look at where setns(2) has led."""
    b = marked(bundle())
    where, differs = tmp_path / "jail", tmp_path / "differs"
    for path in (where, differs):
        path.mkdir()
    begun = subprocess.Popen([*jail(where, differs), "sh", "-ec", BY_HAND, "sh", str(b.rootfs)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: Path(f"/proc/{begun.pid}/comm").read_text() == "sleep\n", "the program to run")
        with caught():
            only_the_containers(entered(begun.pid))
    finally:
        begun.kill()
        begun.communicate()


@flags
def test_an_init_that_goes_elsewhere_inside_is_not_followed(runtime, bundle, flags):
    b = marked(bundle("chroot", "/data", "/busybox", "sleep", "1000"))
    subprocess.run(["cp", b.rootfs / "bin/busybox", b.rootfs / "data"], check=True)
    name = runtime.start(b, *flags)
    wait_for(lambda: "sleep" in Path(f"/proc/{runtime.pid(name)}/cmdline").read_text().split("\0"), "the program to run")
    only_the_containers(runtime.exec(name, "ls", "/", "/..").stdout)


@pytest.mark.parametrize("ids", ["own ids", "mapped ids"])
@pytest.mark.parametrize("closed", [False, True], ids=["for everybody", "for root"])
def test_a_source_is_the_one_that_the_runtime_sees(runtime, bundle, places, ids, closed):
    """Whoever opens it."""
    if runtime.name == "runc" and closed and ids == "mapped ids":
        pytest.skip("runc 1.5.1 takes the machine's")
    b = bundle("cat", "/data/whose")
    b.mount("/data", "bind", str(places[1]), "bind")
    if ids == "mapped ids":
        borrowed(runtime, bundle, b)
    places[1].parent.chmod(0o700 if closed else 0o755)
    assert runtime.output(b) == "the jail's\n"


@pytest.mark.pyrunc_only("the error is another")
def test_no_user_namespace_is_made_in_a_chroot(runtime, bundle, places):
    b = mapped(bundle("true"))
    said = runtime.refuses("run", "--bundle", str(b.path), runtime.prepare(b))
    assert "a user namespace cannot be made in a chroot" in said


@pytest.mark.pyrunc_only("it has no such command")
@pytest.mark.parametrize("bounded", [(), ("setpriv", "--bounding-set", "-sys_chroot")], ids=["", "made without CAP_SYS_CHROOT"])
def test_a_mount_that_is_added_is_in_the_containers_root(runtime, bundle, places, tmp_path, bounded):
    """The place for it is in every root: so only who looks from inside knows in which it is."""
    b = give(marked(bundle()), "CAP_KILL")
    runtime.prefix = jail(*places, *bounded)
    name = runtime.start(b)
    runtime.prefix = jail(*places)
    document = [{"destination": "/tmp", "type": "none", "source": str(places[1]), "options": ["bind"]}]
    (tmp_path / "mounts.json").write_text(json.dumps(document))
    runtime("mounts", "add", name, str(tmp_path / "mounts.json"))
    assert runtime.exec(name, "cat", "/tmp/whose").stdout == "the jail's\n"
    runtime("mounts", "remove", name, str(tmp_path / "mounts.json"))
    assert runtime.exec(name, "ls", "/tmp").stdout == ""


@otherwise
def test_without_a_mount_namespace(runtime, bundle, places):
    b = marked(bundle())
    b.namespace("mount", drop=True)
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    name = runtime.start(b)
    only_the_containers(runtime.exec(name, "ls", "/", "/..").stdout)
