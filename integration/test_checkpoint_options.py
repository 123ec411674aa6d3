"""checkpoint and restore: options, each seen without it and with it, and kinds of containers."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration import labels
from integration.harness.criu import UNTIL, Image, counter, goes_on, gone, started, works
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

pytestmark = [works, pytest.mark.slow_vm]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def refused(runtime: Runtime, image: Image, name: str, *words: str) -> None:
    """Check that a checkpoint of NAME fails for a reason in which WORDS are, and that it runs on."""
    said = runtime.refuses("checkpoint", *image.flags, name)
    assert "criu failed" in said
    if runtime.name == "pyrunc":
        for word in words:
            assert word in said
    assert runtime.status(name) == "running"


def at_home(b: Bundle) -> Bundle:
    """Return B, which will be saved again, with a cgroup of its own."""
    b.linux["cgroupsPath"] = f"/pyrunc-test-{os.getpid()}-home"
    return b


# Options


@pytest.mark.pyrunc_only("1.1 has no such option")
def test_link_remap(runtime: Runtime, bundle, image: Image):
    """An open file without its first name, but with another one, needs a name for as long as it is away."""
    b = bundle("exec 3>/data/a; ln /data/a /data/b; rm /data/a; " + UNTIL)
    (b.rootfs / "data").mkdir(exist_ok=True)
    name = started(runtime, b)
    refused(runtime, image, name, "--link-remap")
    image.take(runtime, name, "--link-remap")
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)
    assert runtime.exec(name, "readlink", "/proc/1/fd/3").stdout.startswith("/data/")
    assert not list((b.rootfs / "data").glob("link_remap.*"))


def test_ext_unix_sk(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    """A datagram socket whose other end is the host's, as that of a logger: it comes back by the name that the host knows."""
    where = tmp_path / "log"
    where.mkdir()
    b = bundle(f"ln -s {where}/socket /dev/log; while true; do echo a line; usleep 20000; done | logger & {UNTIL}")
    b.mount(str(where), "bind", str(where), "bind")
    b.namespace("network", drop=True)  # CRIU has to see both ends
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{where}/socket")
        listener.settimeout(60)
        name = started(runtime, b)
        assert b"a line" in listener.recv(1000)
        refused(runtime, image, name, "--ext-unix-sk")
        image.take(runtime, name, "--ext-unix-sk")
        before = counter(b)
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while listener.recv(1000):
                pass  # what was sent before
        listener.settimeout(60)
        image.bring_back(runtime, b, name, "--ext-unix-sk")
        goes_on(b, before)
        assert b"a line" in listener.recv(1000)


@contextlib.contextmanager
def terminal() -> Iterator[int]:
    """Yield the slave of a terminal of the host."""
    master, slave = pty.openpty()
    try:
        yield slave
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.pyrunc_only("the host's terminals stop a checkpoint")
def test_shell_job(runtime: Runtime, bundle, image: Image):
    """A container whose standard input is somebody else's terminal."""
    b = bundle(UNTIL)
    with terminal() as first, terminal() as second:
        name = started(runtime, b, stdin=first)
        image.take(runtime, name, "--shell-job")
        before = counter(b)
        image.bring_back(runtime, b, name, "--shell-job", stdin=second)
        goes_on(b, before)
        assert os.path.samestat(os.stat(f"/proc/{runtime.pid(name)}/fd/0"), os.fstat(second))


def test_an_empty_network_namespace(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    """With --empty-ns network nothing of it is saved or brought back: an engine's hook fills it."""
    b = at_home(bundle(UNTIL))
    name = started(runtime, b)
    image.take(runtime, name, "--empty-ns", "network")
    assert not list(image.path.glob("netdev-*.img"))
    before = counter(b)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >{tmp_path}/hook"]}
    b.config["hooks"] = {"createRuntime": [hook]}
    b.save()
    image.bring_back(runtime, b, name, "--empty-ns", "network")
    goes_on(b, before)
    assert '"pid"' in (tmp_path / "hook").read_text()
    assert namespace(runtime.pid(name), "network") != namespace("self", "network")


@pytest.mark.skipif(not labels.apparmor(), reason="AppArmor is not enabled (tox -e vm has it)")
def test_a_profile_of_apparmor(runtime: Runtime, bundle, image: Image):
    """It comes back under its own profile, or under the one of --lsm-profile."""
    labels.load_profiles()
    b = at_home(bundle(UNTIL))
    b.process["apparmorProfile"] = labels.PROFILE
    name = started(runtime, b)
    image.take(runtime, name)
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)
    assert profile(runtime.pid(name)) == labels.PROFILE
    image.take(runtime, name)
    before = counter(b)
    b.process["apparmorProfile"] = labels.OTHER_PROFILE
    b.save()
    image.bring_back(runtime, b, name, "--lsm-profile", f"apparmor:{labels.OTHER_PROFILE}")
    goes_on(b, before)
    assert profile(runtime.pid(name)) == labels.OTHER_PROFILE


def profile(pid: int) -> str:
    """Return the name of AppArmor's profile for process PID."""
    return Path(f"/proc/{pid}/attr/current").read_text().split()[0]


# Containers


def test_a_paused_container(runtime: Runtime, bundle, image: Image):
    b = bundle(UNTIL)
    name = started(runtime, b)
    runtime("pause", name)
    before = counter(b)
    image.take(runtime, name)
    gone(runtime, name)
    image.bring_back(runtime, b, name)
    assert runtime.status(name) == "running"
    goes_on(b, before)


@pytest.mark.parametrize("kinds", [("ipc",), ("uts",), ("ipc", "uts", "network")], ids="+".join)
def test_joined_namespaces(runtime: Runtime, bundle, image: Image, kinds: tuple[str, ...]):
    """Of a sandbox, which stays while its member is away."""
    sandbox = runtime.start(bundle())
    holder = runtime.pid(sandbox)
    b = bundle(UNTIL)
    for kind in kinds:
        b.namespace(kind, path=f"/proc/{holder}/ns/{'net' if kind == 'network' else kind}")
    name = started(runtime, b)
    image.take(runtime, name)
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)
    for kind in kinds:
        assert namespace(runtime.pid(name), kind) == namespace(holder, kind)


@pytest.mark.systemd
def test_a_scope_of_systemd(runtime: Runtime, bundle, image: Image):
    b = bundle(UNTIL)
    b.linux["cgroupsPath"] = f"system.slice:pyrunctest:{os.getpid()}"
    b.linux["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 44})
    unit = f"pyrunctest-{os.getpid()}.scope"
    systemd = ("--systemd-cgroup",)
    name = runtime.prepare(b)
    runtime(*systemd, "run", "--detach", "--bundle", str(b.path), name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(counter(b)) > 2, lambda: counter(b), what="the counter to begin")
    image.take(runtime, name)
    gone(runtime, name)
    before = counter(b)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    done = runtime(*systemd, *image.argv(b, name, "--detach"), check=False, **streams)
    assert done.returncode == 0, image.errors("restore.log")
    goes_on(b, before)
    where = cgroup_of(runtime.pid(name), "memory")
    assert where.name == unit
    limit = where / ("memory.max" if (where / "memory.max").exists() else "memory.limit_in_bytes")
    assert limit.read_text() == f"{64 << 20}\n"
    words = ["systemctl", "show", unit, "--property=ActiveState,TasksMax"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert sorted(shown.splitlines()) == ["ActiveState=active", "TasksMax=44"]
    runtime.end(name)
    runtime("delete", name)
    assert not where.exists()
