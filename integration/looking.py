"""How the tests of isolation look at a container: from inside, and through the host's /proc and cgroups."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from integration.harness.machine import SCRATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

HERE = Path(__file__).parent
# The type of a namespace -> its name below /proc/PID/ns.
NAMESPACES = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "user": "user",
    "time": "time",
}
# What a process with a foot in the host would need root for, and engines give to containers anyway.
ALL_SETS = ("bounding", "effective", "permitted")


def unified() -> bool:
    """Return whether this machine has cgroup version 2 alone."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def has_controller(name: str) -> bool:
    """Return whether this machine offers cgroup controller NAME; on version 1 a hierarchy has to be mounted for it.

    A directory of that name is no proof: what writes limits by paths, as engines' tests do, leaves one in the tmpfs above.
    """
    if unified():
        return name in Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    return (Path("/sys/fs/cgroup") / name).is_mount()


@functools.cache
def before_1_4(program: str) -> bool:
    """Return whether PROGRAM is a runc that is older than 1.4: shares, processes and tun were others then."""
    first = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return first[0] == "runc" and [int(part) for part in first[2].split(".")[:2]] < [1, 4]


# Processes


def namespace(pid: int | str, kind: str) -> str:
    """Return the namespace of KIND that process PID is in, such as "net:[4026531840]"."""
    return os.readlink(f"/proc/{pid}/ns/{NAMESPACES[kind]}")


def fields(text: str) -> dict[str, str]:
    """Return the lines "name:<tab>value" of TEXT, which is one of /proc/PID/status."""
    pairs = (line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return {name: value.strip() for name, value in pairs}


def status_inside(runtime: Runtime, b: Bundle) -> dict[str, str]:
    """Run B's process as `cat /proc/self/status` and return its fields."""
    b.process["args"] = ["cat", "/proc/self/status"]
    return fields(runtime.output(b))


def status_outside(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return fields(Path(f"/proc/{pid}/status").read_text())


def give(b: Bundle, *names: str, sets: Iterable[str] = ALL_SETS) -> Bundle:
    """Give B's process exactly the capabilities NAMES, in SETS."""
    b.process["capabilities"] = {kind: list(names) for kind in sets}
    return b


def become(b: Bundle, uid: int, gid: int | None = None, **more: Any) -> Bundle:
    """Let B's process be user UID of group GID (the same number if left out)."""
    b.process["user"] = {"uid": uid, "gid": uid if gid is None else gid, **more}
    return b


def refused(runtime: Runtime, b: Bundle, *words: str) -> str:
    """Check that B is not run and that standard error says each of WORDS; return it."""
    done = runtime.run(b, check=False)
    assert done.returncode != 0, done.stdout
    for word in words:
        assert word in done.stderr
    if runtime.name == "pyrunc":
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
    return str(done.stderr)


# Mounts


class Mounted(NamedTuple):
    """One line of mountinfo (proc(5))."""

    root: str
    point: str
    options: frozenset[str]
    optional: str
    type: str
    source: str
    superblock: frozenset[str]


def mountinfo(text: str) -> dict[str, Mounted]:
    """Return the mounts that TEXT lists by their mount point, the topmost where there are several."""
    found: dict[str, Mounted] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        ahead, behind = left.split(), right.split()
        if len(behind) < 3:
            behind.insert(1, "")
        options, superblock = frozenset(ahead[5].split(",")), frozenset(behind[2].split(","))
        row = Mounted(ahead[3], ahead[4], options, " ".join(ahead[6:]), behind[0], behind[1], superblock)
        found[row.point] = row
    return found


def mounts_inside(runtime: Runtime, b: Bundle) -> dict[str, Mounted]:
    """Run B's process as `cat /proc/self/mountinfo` and return what it shows."""
    b.process["args"] = ["cat", "/proc/self/mountinfo"]
    return mountinfo(runtime.output(b))


def volume(b: Bundle, name: str = "volume", *files: str) -> Path:
    """Make directory NAME beside the rootfs of B, with empty FILES in it."""
    path = b.path / name
    path.mkdir(parents=True)
    for file in files:
        (path / file).touch()
    return path


@contextlib.contextmanager
def on_disk(path: Path) -> Iterator[Path]:
    """Yield PATH, or a directory of an ext4 file system where PATH is on none."""
    if not SCRATCH.is_mount():
        yield path
        return
    made = Path(tempfile.mkdtemp(dir=SCRATCH))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


# Cgroups


def cgroup_of(pid: int | str, controller: str) -> Path:
    """Return the directory of process PID's cgroup with CONTROLLER."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if unified() and controllers == "":
            return Path(f"/sys/fs/cgroup{path}")
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}")
    raise AssertionError(f"process {pid} is in no cgroup of {controller}")


def knob(runtime: Runtime, name: str, controller: str, file: str) -> str:
    """Return what FILE of container NAME's cgroup says; skip where the kernel offers no such file."""
    path = cgroup_of(runtime.pid(name), controller) / file
    if not path.exists():
        pytest.skip(f"this kernel has no {file}")
    return path.read_text().strip()


# User namespaces

FIRST = 100000  # the host's id of the container's root


def mapped(b: Bundle, size: int = 65536) -> Bundle:
    """Give B a user namespace of its own, and its rootfs to the root of that."""
    b.namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        b.linux[kind] = [{"containerID": 0, "hostID": FIRST, "size": size}]
    reachable(b.path)
    for path in (b.rootfs, *b.rootfs.rglob("*")):
        os.chown(path, FIRST, FIRST, follow_symlinks=False)
    return b


def reachable(where: Path) -> None:
    """Let every user reach WHERE, whose parents pytest makes for root alone."""
    for path in (where, *where.parents):
        if path.stat().st_uid == os.geteuid() and path.is_relative_to(tempfile.gettempdir()):
            path.chmod(path.stat().st_mode | 0o111)


# Programs made for a test


@functools.cache
def _workshop() -> Path:
    """Return a directory for what is compiled, which ends with the tests."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def compiled(source: str, *flags: str) -> Path:
    """Compile C SOURCE with FLAGS, once, and return the result."""
    name = hashlib.sha256("\0".join((source, *flags)).encode()).hexdigest()[:16]
    result = _workshop() / name
    command = ["gcc", "-O1", "-w", "-x", "c", *flags, "-o", str(result), "-"]
    subprocess.run(command, input=source, text=True, check=True, capture_output=True)
    return result


def with_probe(b: Bundle, *arguments: str) -> Bundle:
    """Put the probe (probe.c) into B, to be run with ARGUMENTS if there are any."""
    shutil.copy(compiled((HERE / "probe.c").read_text(), "-static"), b.rootfs / "bin/probe")
    if arguments:
        b.process["args"] = ["probe", *arguments]
    return b


def script(b: Bundle, path: str, text: str, mode: int = 0o755) -> Path:
    """Write TEXT as an executable file at PATH of B's rootfs."""
    file = b.rootfs / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


# The host's files that an attack would change


def interpreter(runtime: Runtime) -> Path:
    """Return the program that the runtime really is: its interpreter if it is a script."""
    return program_of(runtime.binary)


def program_of(binary: str) -> Path:
    """Return the program that BINARY really is: its interpreter if it is a script."""
    with Path(binary).open("rb") as file:
        first, second = file.readline(), file.readline()
    if not first.startswith(b"#!"):
        return Path(binary).resolve()
    words = first[2:].split()
    name = words[0]
    if name == b"/bin/sh":  # then: '''exec' 'INTERPRETER' -ISXutf8 "$0" "$@", or 'ENV' OPTION 'INTERPRETER'
        quoted = second.split(b"'")[5::2]
        name = quoted[0] if not quoted[0].endswith(b"/env") else quoted[1]
    elif name.endswith(b"/env"):  # -S OPTION INTERPRETER
        name = words[3]
    return Path(os.fsdecode(name)).resolve()


def fingerprint(path: Path) -> tuple[str, int, int, int]:
    """Return what tells whether the file at PATH was written to."""
    found = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest(), found.st_ino, found.st_mtime_ns, found.st_mode
