"""Programs for which binfmt_misc has an interpreter: those of another machine, by qemu-user, in every image built for several."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for
from integration.looking import become, compiled, fingerprint, interpreter, script
from integration.test_outer import fitting

OTHER = 183 if os.uname().machine == "x86_64" else 62  # e_machine: arm64, x86-64
# What stands for qemu: it tells its arguments, its name, what it has open beside the streams, and what is in the program.
TELL = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char head[64] = "", comm[17];
	int i, fd = open(argv[1], O_RDONLY), open_files = 0;
	if (fd < 0)
		perror(argv[1]), exit(1);
	if (pread(fd, head, sizeof head, 64) < 0)
		perror("pread");
	close(fd);
	for (i = 3; i < 64; i++)
		open_files += fcntl(i, F_GETFD) >= 0;
	prctl(PR_GET_NAME, comm);
	printf("%s|%.*s|%d", comm, (int)strcspn(head, "\n"), head, open_files);
	for (i = 1; i < argc; i++)
		printf("|%s", argv[i]);
	printf("|%s\n", getenv("MARK") ? getenv("MARK") : "");
	return 7;
}
"""


@pytest.fixture
def outer(runtime, tmp_path):
    """Run the runtime as root of a user namespace with a binfmt_misc of its own; return the directory of that, seen by the host."""
    place = tmp_path / "binfmt"
    place.mkdir()
    words = f"echo ready; read go; mount -t binfmt_misc none {place} && echo mounted; exec sleep infinity"
    unshare = ["unshare", "--user", "--mount", "--propagation", "private", "sh", "-c", words]
    holder = subprocess.Popen(unshare, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert holder.stdout.readline() == "ready\n"
    for kind in ("uid_map", "gid_map"):
        Path(f"/proc/{holder.pid}/{kind}").write_text("0 0 65536\n")
    holder.stdin.write("go\n")
    holder.stdin.flush()
    mounted = holder.stdout.readline()
    runtime.prefix = ("nsenter", "-t", str(holder.pid), "--user", "--mount")
    try:
        if not mounted:
            holder.kill()
            pytest.skip("a user namespace has no binfmt_misc of its own (Linux 6.7)")
        yield Path(f"/proc/{holder.pid}/root{place}")
    finally:
        runtime.close()
        runtime.prefix = ()
        holder.kill()
        holder.communicate()


def register(outer: Path, program: str, flags: str = "", *, extension: str = "") -> None:
    """Register interpreter PROGRAM for the other machine, or for files with EXTENSION; as a process of that namespace."""
    magic = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HH", 2, OTHER)
    text = "".join(f"\\x{byte:02x}" for byte in magic)
    line = f":other:E::{extension}::{program}:{flags}" if extension else f":other:M::{text}::{program}:{flags}"
    pid = outer.parts[2]
    words = ["nsenter", "-t", pid, "--user", "--mount", "sh", "-c", 'printf %s "$1" > "$2"', "-", line]
    subprocess.run([*words, f"/{outer.relative_to(f'/proc/{pid}/root')}/register"], check=True)


def foreign(path: Path, mark: str = "for another machine") -> None:
    """Write a program of the other machine to PATH, with a MARK."""
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    path.write_bytes(struct.pack("<16sHHIQQQIHHHHHH", ident, 2, OTHER, 1, 0, 0, 0, 0, 64, 56, 0, 0, 0, 0) + mark.encode() + b"\n")
    path.chmod(0o755)


def furnished(b, *args):
    """Give B a program of the other machine, in several ways, and let it run ARGS."""
    fitting(b)
    foreign(b.rootfs / "data/foreign")
    (b.rootfs / "data/hop").symlink_to("foreign")
    foreign(b.rootfs / "bin/in-path")
    script(b, "/data/script", "#!/data/hop word\n")
    b.process["args"] = list(args)
    b.process["env"].append("MARK=here")
    return b


@pytest.fixture(params=["fixed", "in the image"])
def told(request, runtime, outer, tmp_path):
    """Register TELL, opened at once ("F", as for containers), or found in the image each time; return what puts it there."""
    tell = compiled(TELL, "-static")
    if request.param == "fixed":
        copy = tmp_path / "tell"
        shutil.copy(tell, copy)
        register(outer, str(copy), "F")
        copy.unlink()
        return lambda b: b
    register(outer, "/data/tell")

    def put(b):
        shutil.copy(tell, b.rootfs / "data/tell")
        return b

    return put


CASES = [
    (["/data/foreign", "one", "two"], "foreign|for another machine|0|/data/foreign|one|two|here"),
    (["/data/hop"], "hop|for another machine|0|/data/hop|here"),
    (["in-path", "x"], "in-path|for another machine|0|/bin/in-path|x|here"),
    (["../data/foreign"], "foreign|for another machine|0|../data/foreign|here"),
    (["/data/script", "one"], "script|for another machine|0|/data/hop|word|/data/script|one|here"),
]


@pytest.mark.parametrize(("args", "said"), CASES, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_it_runs(runtime, bundle, told, args, said):
    b = told(furnished(bundle(), *args))
    b.process["cwd"] = "/bin"
    done = runtime.run(b, check=False)
    assert (done.stdout.replace("/bin/../data/foreign", "../data/foreign"), done.stderr, done.returncode) == (f"{said}\n", "", 7)


def as_a_user(b):
    return become(b, 1000)


def filtered(b):
    b.process["noNewPrivileges"] = True
    b.process["capabilities"] = {}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]}
    return b


def without_execveat(b):
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execveat"], "action": "SCMP_ACT_ERRNO"}]}
    return b


def without_proc(b):
    b.config["mounts"] = [mount for mount in b.config["mounts"] if mount["destination"] != "/proc"]
    return b


def with_little(b):
    b.process["rlimits"] = [{"type": f"RLIMIT_{name}", "soft": value, "hard": value} for name, value in (("FSIZE", 0), ("NOFILE", 4))]
    return b


def unlike_runc(kind):
    return pytest.param(kind, marks=pytest.mark.pyrunc_only("needs more descriptors, and a /proc"), id=kind.__name__)


KINDS = [as_a_user, filtered, without_execveat, unlike_runc(without_proc), unlike_runc(with_little)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: getattr(kind, "__name__", None))
def test_whatever_else_the_container_has(runtime, bundle, told, kind):
    b = kind(told(furnished(bundle(), "/data/foreign")))
    done = runtime.run(b, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("foreign|for another machine|0|/data/foreign|here\n", "", 7)


def test_create_start_and_exec(runtime, bundle, told):
    b = told(furnished(bundle(), "sleep", "1000"))
    name = runtime.start(b)
    done = runtime("exec", name, "/data/hop", "one", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("hop|for another machine|0|/data/hop|one|here\n", "", 7)


def test_by_the_end_of_its_name(runtime, bundle, outer):
    """A .jar, say, which is no ELF file at all."""
    register(outer, "/data/tell", extension="jar")
    b = furnished(bundle(), "/data/some.jar")
    shutil.copy(compiled(TELL, "-static"), b.rootfs / "data/tell")
    (b.rootfs / "data/some.jar").write_bytes(b"P" * 64 + b"what a jar holds\n")
    (b.rootfs / "data/some.jar").chmod(0o755)
    done = runtime.run(b, check=False)
    assert (done.stdout, done.stderr) == ("some.jar|what a jar holds|0|/data/some.jar|here\n", "")


def test_an_interpreter_that_is_not_in_the_image(runtime, bundle, outer):
    register(outer, "/data/nowhere")
    done = runtime.run(furnished(bundle(), "/data/foreign"), check=False)
    assert done.returncode == 255
    assert "/data/foreign" in done.stderr
    assert done.stdout == ""


@pytest.mark.pyrunc_only("says it otherwise")
def test_without_an_interpreter_it_is_said_what_it_is(runtime, bundle, outer):
    done = runtime.run(furnished(bundle(), "/data/foreign"), check=False)
    assert "exec format error: it is made for" in done.stderr


@pytest.mark.pyrunc_only("is another program")
def test_an_interpreter_that_leads_to_the_runtime_is_not_the_runtime(runtime, bundle, outer):
    """The image decides what is behind the interpreter's path: what it finds there is a program of a few instructions."""
    before = fingerprint(interpreter(runtime))
    register(outer, "/data/own")
    b = furnished(bundle(), "/data/foreign")
    (b.rootfs / "data/own").symlink_to("/proc/self/exe")
    b.save()
    name = runtime.new_id()
    runtime("run", "--detach", "--bundle", str(b.path), name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = runtime.pid(name)
    seen = set()
    for _ in range(200):
        seen.add(os.readlink(f"/proc/{pid}/exe"))
    assert seen == {"/memfd:trampoline (deleted)"}
    with Path(f"/proc/{pid}/exe").open("rb") as file:
        assert len(file.read()) < 1024
    with pytest.raises(OSError), open(f"/proc/{pid}/exe", "r+b", buffering=0) as file:
        file.write(b"x")
    runtime("kill", name, "KILL")
    wait_for(lambda: runtime.status(name) == "stopped", "its end")
    assert fingerprint(interpreter(runtime)) == before
