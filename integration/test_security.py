"""Attacks that other runtimes fell for, carried out (the CVE is named where there is one).

Each performs the attack, and then looks whether the host is as it was.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.swapping import swapping
from integration.looking import (
    become,
    fingerprint,
    give,
    interpreter,
    mapped,
    mountinfo,
    refused,
    script,
    status_outside,
    volume,
    with_probe,
)

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

own_program = pytest.mark.pyrunc_only("it runs a sealed copy of itself, and that it may be")


# The runtime's own program (CVE-2019-5736)


def elf(wanted: str, *, table: int = 64, text: int = 1024, kind: int = 2) -> bytes:
    """Return an ELF file of class KIND with interpreter WANTED, the headers at TABLE, the name at TEXT."""
    name = wanted.encode() + b"\0"
    machine = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    ident = b"\x7fELF" + bytes([kind, 1, 1]) + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x70000000, table, 0, 0, 64, 56, 2, 0, 0, 0)
    interp = struct.pack("<IIQQQQQQ", 3, 4, text, 0, 0, len(name), len(name), 1)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x70000000, 0x70000000, 4096, 4096, 4096)
    file = bytearray(max(table + 112, text + len(name), 4096))
    file[: len(head)] = head
    file[table : table + 112] = interp + load
    file[text : text + len(name)] = name
    return bytes(file)


def with_program(b: Bundle, how: str) -> str:
    """Put a program into B that leads, by way of HOW, to what /proc/self/exe is; return its path."""
    (b.rootfs / "bin/me").symlink_to("/proc/self/exe")
    (b.rootfs / "bin/hop").symlink_to("me")
    script(b, "/bin/script", "#!/proc/self/exe\n")
    script(b, "/bin/linked", "#!/bin/me -E\n")
    script(b, "/bin/nested", "#!/bin/linked\n")
    for name, options in ELVES.items():
        script(b, f"/bin/{name}", "").write_bytes(elf("/proc/self/exe", **options))
    script(b, "/bin/elf-by-link", "").write_bytes(elf("/bin/hop"))
    script(b, "/bin/script-of-elf", "#!/bin/elf\n")
    return how if how.startswith("/proc") else f"/bin/{how}"


ELVES = {
    "elf": {},
    "elf-far-name": {"text": 8192},
    "elf-far-headers": {"table": 8192, "text": 12288},
    "elf-wrong-class": {"kind": 1},
    "elf-no-class": {"kind": 0},
}
WAYS = [
    "/proc/self/exe",
    "/proc/thread-self/exe",
    "/proc/self/root/proc/self/exe",
    "/proc/self/task/1/exe",
    "me",
    "hop",
    "script",
    "linked",
    "nested",
    *ELVES,
    "elf-by-link",
    "script-of-elf",
]


@own_program
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("command", ["run", "exec"])
def test_our_own_program_is_not_executed(runtime, bundle, how, command):
    b = bundle()
    program = with_program(b, how)
    code = "print('got the interpreter'); open('/proc/self/exe', 'r+b')"
    mine = interpreter(runtime)
    before = fingerprint(mine)
    if command == "run":
        b.process["args"] = [program, "-c", code]
        done = runtime.run(b, check=False)
    else:
        done = runtime.exec(runtime.start(b), program, "-c", code, check=False)
    assert fingerprint(mine) == before
    assert "got the interpreter" not in done.stdout
    assert done.returncode in ((1, 255) if command == "run" else (255,))  # 255: the kernel was asked for it, as with runc
    assert "permission denied" in done.stderr or "no such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@own_program
def test_our_own_program_as_a_mount(runtime, bundle):
    """Whoever binds the host's interpreter into a container may have it: but not through our process."""
    b = bundle("/bin/python", "-c", "pass")
    b.mount("/bin/python", "bind", str(interpreter(runtime)), "bind", "ro")
    before = fingerprint(interpreter(runtime))
    done = runtime.run(b, check=False)
    assert done.returncode != 0
    assert fingerprint(interpreter(runtime)) == before


def lie_in_wait(b: Bundle, program: Path, seconds: int) -> Bundle:
    """Let B's process attack whatever runs PROGRAM within its reach."""
    found = program.stat()
    numbers = (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)
    return with_probe(b, "lie-in-wait", str(seconds), *map(str, numbers))


def trapped(runtime: Runtime, b: Bundle, out: Path) -> str:
    """Start B, whose process lies in wait, and return the container's id once it does."""
    with out.open("w") as file:
        name = runtime.start(b, stdout=file)
    while not out.read_text():
        time.sleep(0.02)
    return name


@pytest.mark.slow_vm
def test_a_process_that_joins_cannot_be_caught(runtime, bundle, tmp_path):
    """CVE-2016-9962: neither its memory nor its descriptors nor its program, while it is ours."""
    mine = interpreter(runtime)
    before = fingerprint(mine)
    name = trapped(runtime, lie_in_wait(bundle(), mine, 4), tmp_path / "out")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        runtime.exec(name, "true")
        runtime.exec(name, "/no/such/program", check=False)
        runtime("exec", "--user", "1000", name, "true")
    runtime.wait(name, "stopped")
    assert (tmp_path / "out").read_text().split() == ["ready", "done"]
    assert fingerprint(mine) == before


@pytest.mark.slow_vm
def test_a_process_that_is_created_in_a_shared_pid_namespace_cannot_be_caught(runtime, bundle, tmp_path):
    mine = interpreter(runtime)
    name = trapped(runtime, lie_in_wait(bundle(), mine, 12), tmp_path / "out")
    pid = runtime.pid(name)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        b = bundle("true")
        b.namespace("pid", path=f"/proc/{pid}/ns/pid")
        other = runtime.create(b)
        runtime("start", other)
        runtime("delete", "--force", other)
    runtime.wait(name, "stopped")
    assert (tmp_path / "out").read_text().split() == ["ready", "done"]


@pytest.mark.slow_vm
def test_the_trap_works(runtime, bundle, tmp_path):
    """What the two tests above would find: a dumpable python3 with no more privileges than it has."""
    python = Path("/usr/bin/python3").resolve()
    name = trapped(runtime, lie_in_wait(bundle(), python, 2), tmp_path / "out")
    bait = ["/usr/bin/python3", "-c", "import time; time.sleep(0.5)"]
    bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *bait]
    subprocess.run(["nsenter", "-t", str(runtime.pid(name)), "-p", *bare], check=True)
    runtime.wait(name, "stopped")
    text = (tmp_path / "out").read_text()
    for prey in ("exe", "mem", "fd", "root"):
        assert f"got {prey} of" in text


def caught(text: str, b: Bundle) -> set[str]:
    """Return what the process of B has told in TEXT that it could write to, other than by its own cgroups to join them."""
    own = b.linux.get("cgroupsPath", "no such path")
    lines = {line.partition(" (process ")[0] for line in text.splitlines()} - {"ready", "done"}
    return {line for line in lines if not (own in line and line.endswith("/tasks"))}


@pytest.mark.slow_vm
@pytest.mark.parametrize("given", ["by the configuration", "by an exec before", "in a namespace of another"])
def test_who_may_trace_gets_nothing_of_the_hosts_from_one_that_joins(runtime, bundle, tmp_path, given):
    """CAP_SYS_PTRACE opens /proc/PID of what is not dumpable, too: program, descriptors and root are then the container's."""
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    mine = interpreter(runtime)
    before = fingerprint(mine)
    b = with_probe(bundle())
    b.linux["cgroupsPath"] = f"/{tmp_path.name}"
    if given != "by an exec before":
        give(b, "CAP_SYS_PTRACE")
    tracer = name = runtime.start(b)
    if given == "in a namespace of another":
        other = bundle()
        other.namespace("pid", path=f"/proc/{runtime.pid(tracer)}/ns/pid")
        name = runtime.start(other)
    out = tmp_path / "out"
    with out.open("w") as file:
        words = ("exec", "--detach", "--cap", "CAP_SYS_PTRACE", tracer, "probe", "trace", "5", str(victim))
        runtime(*words, stdout=file, stderr=subprocess.DEVNULL)
    while not out.read_text():
        time.sleep(0.02)
    tries, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        runtime.exec(name, "true")
        runtime("exec", "--user", "1000", "--cwd", "/tmp", name, "true")
        tries += 2
    while "done" not in out.read_text():
        time.sleep(0.02)
    assert tries > 20
    allowed = {f"program {mine}"} if mine.name.startswith("python") else set()  # a script's is the host's
    assert caught(out.read_text(), b) <= allowed, out.read_text()
    assert victim.read_text() == "the host's"
    assert fingerprint(mine) == before


@pytest.mark.slow_vm
def test_the_trap_of_who_may_trace_works(runtime, bundle, tmp_path):
    """What the test above would find."""
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    copy = tmp_path / "sleep"
    shutil.copy("/bin/sleep", copy)
    b = with_probe(give(bundle(), "CAP_SYS_PTRACE"), "trace", "2", str(victim))
    name = trapped(runtime, b, tmp_path / "out")
    with victim.open("a") as file:
        argv = ["nsenter", "-t", str(runtime.pid(name)), "-p", str(copy), "0.5"]
        subprocess.run(argv, check=True, stdout=file, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    runtime.wait(name, "stopped")
    found = caught((tmp_path / "out").read_text(), b)
    assert {f"program {copy}", "victim by root of it", f"file {victim}"} <= found


def test_the_waiting_init_is_not_dumpable(runtime, bundle):
    """What is in /proc/PID belongs to root then, although the process is another user's (proc(5))."""
    name = runtime.create(become(bundle(), 1000))
    pid = runtime.pid(name)
    if runtime.name == "pyrunc":
        assert status_outside(pid)["Uid"].split()[0] == "1000"
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    runtime("start", name)
    assert os.stat(f"/proc/{pid}/fd").st_uid == 1000


@own_program
def test_the_joiner_is_not_dumpable_before_it_joins(runtime, bundle, tmp_path):
    if not Path("/usr/bin/strace").exists():
        pytest.skip("strace is not installed")
    name = runtime.start(bundle())
    trace = tmp_path / "trace"
    words = ["strace", "-f", "-o", str(trace), "-e", "trace=prctl,setns,execve,execveat"]
    subprocess.run([*words, *runtime.argv("exec", name, "true")], check=True, timeout=60, capture_output=True)
    lines = trace.read_text().splitlines()
    joined = [index for index, line in enumerate(lines) if "setns(" in line and "CLONE_NEWNS" in line]
    assert joined
    pid = lines[joined[0]].split()[0]
    before = [line for line in lines[: joined[0]] if line.split()[0] == pid]
    assert any("PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in line for line in before)


# A /proc, /sys or /dev that the image brings (CVE-2019-16884, -19921, CVE-2023-27561, CVE-2026-41579)


@pytest.mark.parametrize("target", ["/data", "../../../../../{out}", "{out}", "data"])
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_link_is_no_place_for_the_kernels_files(runtime, bundle, name, target, tmp_path):
    b = bundle("true")
    out = tmp_path / "outside"
    out.mkdir()
    (b.rootfs / name).rmdir()
    (b.rootfs / name).symlink_to(target.format(out=out))
    before = Path("/proc/self/mountinfo").read_text()
    refused(runtime, b, f"/{name}")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not list(out.iterdir())


@pytest.mark.pyrunc_only("1.1.5 makes its links on the host: CVE-2026-41579")
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("target", ["/data", "{out}", "../../../../../..{out}", "/proc/self/cwd"])
def test_a_dev_that_is_a_link(runtime, bundle, target, mounted, tmp_path):
    """The devices land in the container, or it is an error; none appears on the host."""
    b = bundle("true")
    out = tmp_path / "outside"
    out.mkdir()
    (b.rootfs / "dev").rmdir()
    (b.rootfs / "dev").symlink_to(target.format(out=out))
    if not mounted:
        b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    before = sorted(os.listdir("/dev"))
    runtime.run(b, check=False)
    assert not list(out.iterdir())
    assert sorted(os.listdir("/dev")) == before
    assert not (b.path / "null").exists()


@pytest.mark.parametrize(
    "destination",
    ["/proc", "/proc/", "//proc", "/data/../proc", "/link", "/proc/.", "/./proc"],
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_nothing_else_is_mounted_on_proc(runtime, bundle, destination, kind):
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    if kind == "bind":
        b.mount(destination, "bind", str(volume(b)), "bind")
    else:
        b.mount(destination, "tmpfs", "tmpfs")
    refused(runtime, b)


@pytest.mark.parametrize(
    "destination",
    [
        "/proc/sys",
        "/proc/self/attr",
        "/proc/../proc/sys",
        "/link/sys",
        "/deep/attr",
        "/proc/sys/kernel/core_pattern",
    ],
)
def test_nothing_is_mounted_inside_proc(runtime, bundle, destination):
    """CVE-2019-16884: not even by way of a link, or the labels that are written there go elsewhere."""
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    (b.rootfs / "deep").symlink_to("/proc/self")
    if destination.endswith("core_pattern"):
        (b.path / "file").touch()
        b.mount(destination, "bind", "file", "bind")
    else:
        b.mount(destination, "bind", str(volume(b)), "bind")
    refused(runtime, b)


@pytest.mark.parametrize("name", ["meminfo", "cpuinfo", "uptime", "stat", "loadavg"])
def test_what_lxcfs_emulates_may_be(runtime, bundle, name):
    b = bundle("cat", f"/proc/{name}")
    (b.path / "file").write_text("emulated\n")
    b.mount(f"/proc/{name}", "bind", "file", "bind")
    assert runtime.output(b) == "emulated\n"


# Paths that lead out (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310)


@pytest.fixture
def flipping():
    """Return a function that lets PATH be a directory and a link to TARGET by turns, as fast as it goes."""
    with swapping() as swap:

        def flip(path: Path, target: str) -> None:
            other = path.with_name(path.name + ".other")
            path.mkdir(exist_ok=True)
            other.symlink_to(target)
            swap(path, other)

        yield flip


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("1.1.5 makes directories on the host: CVE-2024-45310")
@pytest.mark.parametrize("target", ["/", "{out}", "../../../../../../../../../../..{out}"])
def test_a_mount_point_that_is_swapped_while_it_is_looked_up(runtime, bundle, flipping, target, tmp_path):
    out = tmp_path / "outside"
    out.mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    flipping(shared / "here", target.format(out=out))
    before = mountinfo(Path("/proc/self/mountinfo").read_text()).keys()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        b = bundle("true")
        b.mount("/data", "bind", str(shared), "bind")
        b.mount("/data/here/made", "tmpfs", "tmpfs")
        b.mount("/data/here/file", "bind", str(b.path / "config.json"), "bind")
        b.linux["maskedPaths"] = ["/data/here"]
        b.linux["readonlyPaths"] = ["/data/here"]
        runtime.run(b, check=False)
        assert not list(out.iterdir())
    assert mountinfo(Path("/proc/self/mountinfo").read_text()).keys() == before
    assert not Path("/made").exists()


@pytest.mark.parametrize("target", ["/proc/self/cwd", "/proc/1/root", "/proc/self/fd/3", "/proc/self/root"])
def test_a_magic_link_on_the_way_to_a_mount_point(runtime, bundle, target):
    """Such a link jumps, whatever root one thinks to be in; /proc may be mounted by then."""
    b = bundle("true")
    (b.rootfs / "link").symlink_to(target)
    b.mount("/link/made", "bind", str(volume(b, "volume", "marker")), "bind")
    runtime.run(b, check=False)
    assert not (b.path / "made").exists()
    assert not Path("/made").exists()


def test_a_passwd_that_is_a_link_to_the_hosts(runtime, bundle, tmp_path):
    stolen = tmp_path / "passwd"
    stolen.write_text("root:x:0:0:root:/stolen:/bin/sh\n")
    for target in (str(stolen), f"../../../../../../../../..{stolen}", "/proc/self/cwd/passwd"):
        b = bundle("sh", "-c", "echo $HOME")
        (b.rootfs / "etc/passwd").unlink()
        (b.rootfs / "etc/passwd").symlink_to(target)
        assert "stolen" not in runtime.run(b, check=False).stdout


@pytest.mark.parametrize("name", ["../escape", "a/b", ".", "..", "a b", "a\nb", "", "/absolute", "x" * 1025])
def test_a_name_that_leads_elsewhere(runtime, bundle, name):
    b = bundle("true")
    b.save()
    before = sorted(os.listdir(runtime.directory))
    done = runtime("create", "--bundle", str(b.path), "--", name, check=False)
    assert done.returncode != 0
    assert sorted(os.listdir(runtime.directory)) == before
    assert os.listdir(runtime.root) in ([], [".seccomp"])


@pytest.mark.pyrunc_only("1.1 has no such flag for all of them")
@pytest.mark.parametrize("path", ["..", "../..", "/../..", "a/../../..", "/no/such"])
def test_exec_into_another_cgroup(runtime, bundle, path):
    name = runtime.start(bundle())
    done = runtime("exec", "--cgroup", path, name, "cat", "/proc/self/cgroup", check=False)
    assert done.returncode == 255
    assert done.stdout == ""


# A descriptor as directory (CVE-2024-21626)


FORMS = ["/proc/self/fd/{}", "/proc/thread-self/fd/{}", "/proc/1/fd/{}", "/proc/self/fd/{}/../.."]


@pytest.mark.parametrize("form", FORMS)
def test_a_directory_that_is_a_descriptor(runtime, bundle, form):
    for number in (3, 4, 5, 6, 7, 8, 9, 10, 64):
        b = with_probe(bundle(), "cwd")
        b.process["cwd"] = form.format(number)
        done = runtime.run(b, check=False)
        assert done.returncode != 0 or done.stdout in ("/\n", "/proc\n"), done.stdout


@pytest.mark.parametrize("number", [3, 6, 7, 8, 9, 63])
def test_a_link_to_a_descriptor_as_directory(runtime, bundle, number):
    b = with_probe(bundle(), "cwd")
    (b.rootfs / "link").symlink_to(f"/proc/self/fd/{number}")
    b.process["cwd"] = "/link"
    refused(runtime, b)


@pytest.mark.parametrize("number", [3, 5, 6, 7, 8, 9, 10])
def test_a_descriptor_as_directory_of_exec(runtime, bundle, number):
    b = with_probe(bundle())
    (b.rootfs / "link").symlink_to(f"/proc/self/fd/{number}")
    name = runtime.start(b)
    for cwd in (f"/proc/self/fd/{number}", "/link"):
        done = runtime("exec", "--cwd", cwd, name, "probe", "cwd", check=False)
        assert done.returncode == 255, done.stdout


@pytest.mark.parametrize("number", [3, 6, 7, 8, 9])
def test_a_program_by_way_of_a_descriptor(runtime, bundle, number):
    for path in (f"/proc/self/fd/{number}/bin/true", f"/proc/self/fd/{number}/../../../bin/true"):
        refused(runtime, bundle(path))


# The container's terminal and streams (CVE-2025-52565, CVE-2026-88264, -88265)


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
    assert os.listdir(out) == ["file"]
    assert (out / "file").read_text() == "the host's"
    assert mountinfo(Path("/proc/self/mountinfo").read_text()).keys() == before


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "tty", "ptmx", "fd", "stdout"])
def test_a_device_that_is_a_link_in_the_image(runtime, bundle, name, tmp_path):
    """The host's file behind it is neither opened, written, replaced nor given away."""
    victim = tmp_path / "victim"
    victim.write_text("the host's")
    before = fingerprint(victim)
    b = become(bundle("echo written; echo more >&2"), 1000)
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    (b.rootfs / f"dev/{name}").symlink_to(victim)
    done = runtime.run(b, check=False)
    assert fingerprint(victim) == before
    assert victim.stat().st_uid == 0
    if done.returncode == 0:
        assert done.stdout == "written\n"


@pytest.mark.pyrunc_only("1.1.5 takes it for the null device: CVE-2026-88265")
def test_a_null_device_that_is_a_file_of_the_image(runtime, bundle):
    """Streams that were /dev/null stay the host's null device, and the file is not the container's user's."""
    b = become(bundle("sh", "-c", "stat -L -c %F /proc/self/fd/0"), 1000)
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    (b.rootfs / "dev/null").write_text("fake")
    done = runtime.run(b, check=False)
    assert done.returncode != 0 or done.stdout == "character special file\n"
    assert (b.rootfs / "dev/null").stat().st_uid == 0


# Sizes (CVE-2021-43784)


def test_arguments_of_many_kilobytes(runtime, bundle):
    b = bundle("sh", "-c", "echo $#", *("x" * 10000 for _ in range(50)))
    assert runtime.output(b) == "49\n"


def test_more_mappings_than_the_kernel_takes(runtime, bundle):
    b = mapped(bundle("true"))
    b.linux["uidMappings"] = [
        {"containerID": number, "hostID": 100000 + number, "size": 1} for number in range(5000)
    ]
    refused(runtime, b)


def test_many_mappings(runtime, bundle):
    b = mapped(bundle("sh", "-c", "wc -l </proc/self/uid_map"))
    b.linux["uidMappings"] = [
        {"containerID": number, "hostID": 100000 + number, "size": 1} for number in range(150)
    ]
    assert runtime.output(b) == "150\n"


@pytest.mark.parametrize("field", ["destination", "source", "cwd", "hostname", "cgroupsPath"])
def test_a_path_that_is_too_long(runtime, bundle, field):
    long = "/" + "/".join("x" * 200 for _ in range(350))
    b = bundle("true")
    if field == "destination":
        b.mount(long, "tmpfs", "tmpfs")
    elif field == "source":
        b.mount("/data", "bind", long, "bind")
    elif field == "cwd":
        b.process["cwd"] = long
    elif field == "hostname":
        b.config["hostname"] = "x" * 70000
    else:
        b.linux["cgroupsPath"] = long
    refused(runtime, b)
