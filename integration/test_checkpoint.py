"""checkpoint and restore: what ran goes on where it was, with what it had, and held by what held it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.criu import COUNT, UNTIL, Image, complaint, counter, goes_on, gone, started, works
from integration.harness.runtime import wait_for
from integration.looking import knob, mapped, mountinfo, namespace, status_outside, volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

MASTER_SECONDS = 30


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


# What comes back


@works
def test_a_container_goes_on_where_it_was(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    """Streams, mounts, limits, namespaces and hooks, in the form in which containerd asks for it."""
    b = bundle(COUNT)
    for access in ("rw", "ro"):
        volume(b, access, "file")
        b.mount(f"/{access}", "bind", str(b.path / access), "bind", access)
    b.mount("/etc/one", "bind", str(b.path / "ro/file"), "rbind", "ro", "rprivate")
    b.mount("/tmp", "tmpfs", "tmpfs", "nosuid")
    b.linux["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 44})
    b.config["hostname"] = "before"
    seen = tmp_path / "hooks"
    for kind in ("prestart", "createRuntime", "poststop"):
        b.config.setdefault("hooks", {})[kind] = [
            {"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} $(grep -o '\"pid\": *[0-9]*') >>{seen}"]}
        ]
    reader, writer = os.pipe()
    with os.fdopen(reader) as lines:
        name = runtime.start(b, stdout=writer)
        os.close(writer)
        for _ in range(5):
            last = int(lines.readline())
        image.take(runtime, name)
        last = [last, *map(int, lines.read().split())][-1]  # to its end: nobody writes any more
    gone(runtime, name)
    assert (image.work / "dump.log").exists()
    assert "poststop" in seen.read_text()
    seen.unlink()
    reader, writer = os.pipe()
    pid_file = tmp_path / "pid"
    with os.fdopen(reader) as lines:
        image.bring_back(runtime, b, name, "-no-subreaper", "--pid-file", str(pid_file), stdout=writer)
        os.close(writer)
        assert [int(lines.readline()) for _ in range(5)] == list(range(last + 1, last + 6))
        check_restored(runtime, b, name, int(pid_file.read_text()), seen.read_text())
        runtime.end(name)
    runtime("delete", name)


def check_restored(runtime: Runtime, b: Bundle, name: str, pid: int, hooks: str) -> None:
    """Look at restored container NAME, whose init is PID, from all sides."""
    state = runtime.state(name)
    assert (state["status"], state["pid"], state["bundle"]) == ("running", pid, str(b.path))
    assert [line.split()[0] for line in hooks.splitlines()] == ["prestart", "createRuntime"]
    assert hooks.splitlines()[0].endswith(str(pid)), hooks
    assert knob(runtime, name, "memory", "memory.max") == str(64 << 20)
    assert knob(runtime, name, "pids", "pids.max") == "44"
    mounts = mountinfo(Path(f"/proc/{pid}/mountinfo").read_text())
    assert {point: "ro" in mounts[point].options for point in ("/rw", "/ro", "/etc/one", "/tmp", "/sys")} == {
        "/rw": False,
        "/ro": True,
        "/etc/one": True,
        "/tmp": False,
        "/sys": True,
    }
    assert namespace(pid, "network") != namespace("self", "network")
    assert runtime.exec(name, "sh", "-c", "echo 1 >/rw/made; hostname; ls /ro").stdout == "before\nfile\n"
    assert (b.path / "rw/made").read_text() == "1\n"
    assert "Read-only" in runtime.exec(name, "touch", "/ro/made", check=False).stderr
    assert "Read-only" in runtime.exec(name, "sh", "-c", "echo 1 >/etc/one", check=False).stderr
    assert "Read-only" in runtime.exec(name, "chmod", "600", "/proc/kcore", check=False).stderr or runtime.name != "pyrunc"
    if runtime.name == "pyrunc":
        assert "UP" in runtime.exec(name, "ip", "link", "show", "lo").stdout


@works
def test_leave_running_then_restore_in_the_foreground(runtime: Runtime, bundle, image: Image):
    """Podman gives --leave-running twice.  A second container of the same files would disturb the first: that one ends first."""
    b = bundle(UNTIL)
    name = started(runtime, b)
    image.take(runtime, name, "--leave-running", "--leave-running", "--file-locks", "--manage-cgroups-mode", "soft")
    copied = counter(b)
    wait_for(lambda: len(counter(b)) > len(copied), "the container to go on")
    assert runtime.status(name) == "running"
    runtime("delete", "--force", name)
    last = max(copied) - 1
    (b.rootfs / "data/count").unlink()
    restoring = runtime.popen(*image.argv(b, name), stdin=subprocess.DEVNULL)
    wait_for(lambda: counter(b), lambda: image.errors("restore.log"), what="it to come back")
    assert abs(counter(b)[0] - last) < 10, (counter(b), last)
    assert runtime.status(name) == "running"
    assert status_outside(runtime.pid(name))["PPid"] == str(restoring.pid)
    (b.rootfs / "data/end").touch()
    out, err = restoring.communicate(timeout=60)
    assert (restoring.returncode, out, err) == (7, "", "")
    gone(runtime, name)


@works
@pytest.mark.slow_vm
def test_pre_dump_then_dump_on_top_of_it(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    b = bundle(UNTIL)
    name = started(runtime, b)
    runtime("checkpoint", "--pre-dump", "--image-path", str(tmp_path / "first"), "--work-path", str(image.work), name)
    assert runtime.status(name) == "running"
    before = counter(b)
    wait_for(lambda: len(counter(b)) > len(before), "the container to go on")
    image.take(runtime, name, "--parent-path", "../first")
    gone(runtime, name)
    assert os.readlink(image.path / "parent") == "../first"
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@works
@pytest.mark.slow_vm
def test_memory_goes_to_a_page_server(runtime: Runtime, bundle, image: Image):
    b = bundle(UNTIL)
    name = started(runtime, b)
    image.path.mkdir()
    port = free_port()
    server = ["criu", "page-server", "-D", str(image.path), "--address", "127.0.0.1", "--port", str(port)]
    read, write = os.pipe()
    with subprocess.Popen([*server, "--status-fd", str(write)], pass_fds=[write], stderr=subprocess.DEVNULL) as serving:
        os.close(write)
        assert os.read(read, 1) == b"\0"
        os.close(read)
        image.take(runtime, name, "--page-server", f"127.0.0.1:{port}")
        assert serving.wait(timeout=60) == 0
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)


@works
@pytest.mark.slow_vm
def test_memory_is_fetched_when_it_is_needed(runtime: Runtime, bundle, image: Image):
    """The checkpoint lasts until the last page is fetched by `criu lazy-pages`, which is what --lazy-pages waits for."""
    b = bundle(UNTIL)
    name = started(runtime, b)
    port = str(free_port())
    read, write = os.pipe()
    lazy = ("--lazy-pages", "--page-server", f"127.0.0.1:{port}", "--status-fd", str(write))
    taking = runtime.popen("checkpoint", *image.flags, *lazy, name, pass_fds=[write])
    os.close(write)
    assert os.read(read, 1) == b"\0", taking.communicate()
    os.close(read)
    before = counter(b)
    daemon = ["criu", "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", port]
    with subprocess.Popen([*daemon, "-D", str(image.path), "-W", str(image.work)]) as fetching:
        wait_for((image.work / "lazy-pages.socket").exists, "criu lazy-pages to listen")
        second = runtime.prepare(b)
        image.bring_back(runtime, b, second, "--lazy-pages")
        goes_on(b, before)
        assert fetching.wait(timeout=60) == 0
    out, err = taking.communicate(timeout=60)
    assert taking.returncode == 0, out + err
    gone(runtime, name)


@contextlib.contextmanager
def console(path: Path) -> Iterator[Any]:
    """Listen at PATH; yield a function that returns the master of the terminal sent there."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(MASTER_SECONDS)

        def master() -> int:
            connection, _ = listener.accept()
            with connection:
                return int(socket.recv_fds(connection, 100, 1)[1][0])

        yield master


def answer(master: int, line: str, wanted: str) -> None:
    """Type LINE and wait for WANTED."""
    os.write(master, line.encode() + b"\n")
    seen = b""
    while wanted.encode() not in seen:
        assert select.select([master], [], [], MASTER_SECONDS)[0], seen
        part = os.read(master, 4096)
        assert part, seen
        seen += part


@works
@pytest.mark.slow_vm
def test_a_terminal_is_sent_to_the_new_console_socket(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    b = bundle("sh")
    b.process["terminal"] = True
    with console(tmp_path / "first") as take:
        name = runtime.start(b, "--console-socket", str(tmp_path / "first"))
        master = take()
        answer(master, "X=kept; echo $((6*7))", "42")
        image.take(runtime, name)
        os.close(master)
    with console(tmp_path / "second") as take:
        image.bring_back(runtime, b, name, "--console-socket", str(tmp_path / "second"))
        master = take()
        answer(master, "echo \"<$X>\"; tty", "<kept>")
        os.close(master)


@pytest.fixture
def network() -> Iterator[str]:
    """The path of a network namespace that is nobody's, with loopback up."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 1000"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    yield f"/proc/{holder.pid}/ns/net"
    holder.kill()
    holder.communicate()


@works
@pytest.mark.slow_vm
def test_connections_in_a_joined_network_namespace(runtime: Runtime, bundle, image: Image, network: str):
    """Without the flag CRIU refuses, in its own words, and the container goes on; with it, a connection survives.

    CRIU 3.17 locks the network by iptables and, with that of Debian 12, cannot unlock it: so the test does.
    """
    b = bundle(
        "sleep 1000 | nc -l -p 5000 >/data/count & usleep 300000; "
        "i=0; while true; do i=$((i+1)); echo $i; usleep 20000; done | nc 127.0.0.1 5000"
    )
    b.namespace("network", path=network)
    name = started(runtime, b)
    said = runtime.refuses("checkpoint", *image.flags, name)
    assert "criu failed" in said
    assert str(image.work / "dump.log") in said
    if runtime.name == "pyrunc":
        assert "Error (criu/sk-inet.c" in said
        assert "--tcp-established" in said
    before = counter(b)
    wait_for(lambda: len(counter(b)) > len(before), "the container to go on")
    assert runtime.status(name) == "running"
    image.take(runtime, name, "--tcp-established")
    before = counter(b)
    image.bring_back(runtime, b, name, "--tcp-established")
    subprocess.run(["nsenter", f"--net={network}", "iptables", "-F"], check=True, capture_output=True)
    goes_on(b, before)
    assert namespace(runtime.pid(name), "network") == os.readlink(network)


CONNECTED = """
    sleep 1000 | nc -l -p 5000 >/dev/null & usleep 300000; sleep 1000 | nc 127.0.0.1 5000 &
    while true; do i=$((i+1)); echo $i >>/data/count; usleep 20000; done
"""


def established(network: str) -> int:
    """Return how many ends of connections there are in the network namespace at the path NETWORK."""
    argv = ["nsenter", f"--net={network}", "cat", "/proc/self/net/tcp", "/proc/self/net/tcp6"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return sum(line.split()[3] == "01" for line in lines)


@works
@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("runc has no --network-lock and no --tcp-close")
@pytest.mark.parametrize("close", [False, True])
def test_the_network_locked_by_nftables_and_connections_closed(runtime, bundle, image: Image, network: str, close: bool):
    """With iptables, as in the test above, somebody has to unlock it."""
    b = bundle(CONNECTED)
    b.namespace("network", path=network)
    name = started(runtime, b)
    wait_for(lambda: established(network) == 2, "both ends of the connection")
    lock = ("--network-lock", "nftables")
    image.take(runtime, name, "--tcp-established", *lock)
    before = counter(b)
    image.bring_back(runtime, b, name, "--tcp-close" if close else "--tcp-established", *lock)
    goes_on(b, before)
    assert established(network) == (0 if close else 2)


@works
def test_a_user_namespace(runtime: Runtime, bundle, image: Image):
    b = mapped(bundle(UNTIL))
    name = started(runtime, b)
    image.take(runtime, name)
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)
    assert Path(f"/proc/{runtime.pid(name)}/uid_map").read_text().split() == ["0", "100000", "65536"]
    assert "root" in runtime.exec(name, "whoami").stdout


@works
@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("files as streams stop a checkpoint")
def test_streams_that_are_files_of_the_host(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    b = bundle(COUNT)
    log = tmp_path / "log"
    with log.open("a") as out:
        name = runtime.start(b, stdout=out)
    wait_for(lambda: len(log.read_text().split()) > 2, "the counter to begin")
    image.take(runtime, name)
    before = log.read_text().split()
    with log.open("a") as out:
        image.bring_back(runtime, b, name, stdout=out)
    wait_for(lambda: len(log.read_text().split()) > len(before) + 2, "the counter to go on")
    found = log.read_text().split()[:-1]
    assert found == [str(number) for number in range(1, len(found) + 1)]


# What does not


def entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each message of a CRIU image begins and ends (criu.org/Images)."""
    place = 8
    while place < len(data):
        (size,) = struct.unpack_from("<I", data, place)
        yield place + 4, place + 4 + size
        place += 4 + size


def places(data: bytes, place: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield number, place and size of each field between PLACE and END of DATA (protobuf.dev, "Encoding")."""

    def varint(place: int) -> tuple[int, int]:
        number = shift = 0
        while True:
            number |= (data[place] & 0x7F) << shift
            shift, place = shift + 7, place + 1
            if data[place - 1] < 0x80:
                return number, place

    while place < end:
        key, place = varint(place)
        value, behind = varint(place)
        if key & 7 == 0:
            yield key >> 3, (place, behind - place)
            place = behind
        else:
            assert key & 7 == 2, "no such field in mnt_entry"
            yield key >> 3, (behind, value)
            place = behind + value


def make_writable(image: Path, point: str) -> None:
    """Take the read-only flag of the mount at POINT out of IMAGE."""
    (path,) = image.glob("mountpoints-*.img")
    data = bytearray(path.read_bytes())
    done = 0
    for start, end in entries(bytes(data)):
        fields = dict(places(bytes(data), start, end))
        begin, size = fields[7]  # mountpoint
        if data[begin : begin + size].decode().lstrip(".") == point:
            flags = fields[5][0]
            assert data[flags] & 1, "it was not read-only"
            data[flags] &= 0xFE
            done += 1
    assert done == 1
    path.write_bytes(data)


@works
@pytest.mark.pyrunc_only("does what the image says")
def test_a_forged_image_does_not_make_a_mount_writable(runtime: Runtime, bundle, image: Image):
    b = bundle(UNTIL)
    volume(b, "ro", "file")
    b.mount("/ro", "bind", str(b.path / "ro"), "bind", "ro")
    name = started(runtime, b)
    image.take(runtime, name)
    make_writable(image.path, "/ro")
    before = counter(b)
    image.bring_back(runtime, b, name)
    goes_on(b, before)
    assert "Read-only" in runtime.exec(name, "touch", "/ro/made", check=False).stderr
    mounts = mountinfo(Path(f"/proc/{runtime.pid(name)}/mountinfo").read_text())
    assert {point for point in ("/ro", "/proc/kcore", "/proc/keys", "/proc/timer_list") if "ro" not in mounts[point].options} == set()


@works
@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("does what the image says")
def test_an_image_of_another_configuration_does_not_run(runtime: Runtime, bundle, image: Image):
    """Without the capabilities that its processes had, or with a filter that they had not."""
    b = bundle(UNTIL)
    name = started(runtime, b)
    image.take(runtime, name)
    before = counter(b)
    for change, pointer in (
        (lambda: b.process["capabilities"].update({kind: ["CAP_KILL"] for kind in b.process["capabilities"]}), "/process/capabilities"),
        (lambda: b.linux.update(seccomp={"defaultAction": "SCMP_ACT_ALLOW"}), "/linux/seccomp"),
    ):
        change()
        b.save()
        said = runtime.refuses(*image.argv(b, name, "--detach"))
        assert "the checkpoint image contradicts the configuration" in said
        assert pointer in said
        gone(runtime, name)
        assert counter(b) == before, "it has run"


@works
@pytest.mark.slow_vm
def test_a_damaged_image_leaves_nothing(runtime: Runtime, bundle, image: Image):
    b = bundle(UNTIL)
    name = started(runtime, b)
    image.take(runtime, name)
    for path in image.path.glob("core-*.img"):
        path.write_bytes(path.read_bytes()[:20])
    done = runtime(*image.argv(b, name, "--detach"), check=False)
    assert done.returncode == 1
    assert "criu failed" in done.stderr
    if runtime.name == "pyrunc":
        assert "Error (criu/" in done.stderr
        assert str(image.work / "restore.log") in done.stderr
        gone(runtime, name)


@pytest.mark.parametrize("state", ["created", "stopped"])
def test_only_what_runs_can_be_checkpointed(runtime: Runtime, bundle, image: Image, state: str):
    name = runtime.create(bundle())
    if state == "stopped":
        runtime.end(name)
    assert f"annot be checkpointed in {state} state" in runtime.refuses("checkpoint", *image.flags, name)
    assert not image.path.exists()


def test_paths_and_words_that_cannot_be(runtime: Runtime, bundle, image: Image):
    name = runtime.start(bundle())
    for wrong, text in (
        (("--parent-path", "/first"), "--parent-path must be relative"),
        (("--parent-path", "../first"), "invalid --parent-path"),
        (("--page-server", "here"), "se --page-server ADDRESS:PORT"),
        (("--manage-cgroups-mode", "hard"), "nvalid"),
        (("--empty-ns", "ipc"), "is not supported"),
        (("--lazy-pages", "--status-fd", "77"), "invalid --status-fd argument 77" if not complaint() or runtime.name == "pyrunc" else ""),
    ):
        assert text in runtime.refuses("checkpoint", *image.flags, *wrong, name)
    assert runtime.status(name) == "running"


def test_an_image_that_is_not_there(runtime: Runtime, bundle, image: Image):
    b = bundle()
    name = runtime.prepare(b)
    said = runtime.refuses(*image.argv(b, name, "--detach"))
    assert "image" in said
    assert not (runtime.root / name).exists()


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
def test_help_ends_well(runtime: Runtime, command: str):
    """Podman asks so whether checkpoints are possible."""
    assert "--image-path" in runtime(command, "--help").stdout


@pytest.mark.pyrunc_only("says it otherwise")
def test_without_criu(runtime: Runtime, bundle, image: Image, tmp_path: Path):
    b = bundle()
    name = runtime.start(b)
    said = runtime.refuses("checkpoint", *image.flags, name, env={"PATH": str(tmp_path)})
    assert said.startswith("pyrunc checkpoint failed: criu is not installed")
    assert "install CRIU" in said
    said = runtime.refuses("--criu", "/absent", "checkpoint", *image.flags, name)
    assert said.startswith("pyrunc checkpoint failed: --criu /absent: no such program (install CRIU")
    assert runtime.status(name) == "running"
    image.path.mkdir(exist_ok=True)
    (image.path / "descriptors.json").write_text("[]")
    other = runtime.prepare(b)
    assert "criu is not installed" in runtime.refuses(*image.argv(b, other, "--detach"), env={"PATH": str(tmp_path)})
    gone(runtime, other)


@pytest.mark.pyrunc_only("shows no line of CRIU's")
@pytest.mark.skipif(not complaint() or shutil.which("criu") is None, reason="criu works here")
def test_a_kernel_that_criu_does_not_know(runtime: Runtime, bundle, image: Image):
    """In CRIU's own words, with what can be done; the container goes on, and a restore leaves nothing."""
    b = bundle()
    name = runtime.start(b)
    said = runtime.refuses("checkpoint", *image.flags, name)
    assert said.startswith("pyrunc checkpoint failed: criu failed to checkpoint the container: Error (criu/")
    assert "this CRIU cannot work with this kernel: criu check says more" in said
    assert runtime.status(name) == "running"
    other = runtime.prepare(b)
    said = runtime.refuses(*image.argv(b, other, "--detach"))
    assert "criu failed to restore the container: Error (criu/" in said
    gone(runtime, other)


@pytest.mark.pyrunc_only("ignores it, or fails later")
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (lambda b: b.linux.update(netDevices={"pyrunc0": {}}), "/linux/netDevices"),
        (lambda b: b.linux.update(memoryPolicy={"mode": "MPOL_DEFAULT", "nodes": ""}), "/linux/memoryPolicy"),
        (lambda b: b.namespace("mount", drop=True), "/linux/namespaces"),
    ],
)
def test_what_criu_cannot_bring_back(runtime: Runtime, bundle, image: Image, change, pointer: str):
    b = bundle()
    change(b)
    name = runtime.prepare(b)
    image.path.mkdir()
    (image.path / "descriptors.json").write_text(json.dumps(["", "", ""]))
    assert f"at {pointer}" in runtime.refuses(*image.argv(b, name))
    gone(runtime, name)
