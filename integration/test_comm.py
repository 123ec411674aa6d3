"""What a process is called (/proc/PID/comm): by the last part of the path that leads to it, be that a link or a script."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from integration.looking import become, compiled, mapped, script, with_probe

LOOK = "cat /proc/$$/comm; readlink /proc/$$/exe"
# The same, by a program that does not care what it is called.
TELL = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	char comm[32], exe[256];
	int fd = open("/proc/self/comm", O_RDONLY);
	int size = read(fd, comm, sizeof comm), length = readlink("/proc/self/exe", exe, sizeof exe);
	printf("%.*s%.*s\n", size, comm, length, exe);
	return 0;
}
"""
# How the program is reached, and what it is called then.
REACHED = [
    (["sh", "-c", LOOK], "sh"),
    (["/bin/sh", "-c", LOOK], "sh"),
    (["busybox", "sh", "-c", LOOK], "busybox"),
    (["/data/tell"], "tell"),
    (["/data/hop"], "hop"),
    (["/data/far"], "far"),
    (["../data/hop"], "hop"),
    (["/data/script"], "script"),
    (["/data/of-script"], "of-script"),
    (["/data/link-of-script"], "link-of-script"),
    (["in-path"], "in-path"),
    (["/data/proc"], "proc"),
    (["/data/procfs"], "procfs"),
    (["/data/a-name-of-more-than-fifteen"], "a-name-of-more-"),
    (["/data/umlaut-\u00fc"], "umlaut-\u00fc"),
    (["/data/mounted"], "mounted"),
]


def furnished(b):
    """Give B the links, scripts and mounts of REACHED."""
    tell = compiled(TELL, "-static")
    shutil.copy(tell, b.rootfs / "data/tell")
    for name in ("hop", "proc", "procfs", "a-name-of-more-than-fifteen", "umlaut-\u00fc"):
        (b.rootfs / "data" / name).symlink_to("tell")
    (b.rootfs / "data/far").symlink_to("/data/hop")
    script(b, "/data/script", f"#!/bin/sh\n{LOOK}\n")
    script(b, "/data/shell", '#!/bin/sh\n. "$1"\n')
    script(b, "/data/of-script", f"#!/data/shell\n{LOOK}\n")
    (b.rootfs / "data/link-of-script").symlink_to("script")
    script(b, "/bin/in-path", f"#!/bin/sh\n{LOOK}\n")
    script(b, "/data/mounted", "")
    b.mount("/data/mounted", "bind", str(tell), "bind", "ro")
    return b


def program(args):
    """Return the file that is executed for ARGS."""
    if "-c" in args or "script" in args[0] or "in-path" in args:
        return "/bin/busybox"
    return "/data/mounted" if "mounted" in args[0] else "/data/tell"


@pytest.mark.parametrize(("args", "name"), REACHED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_program_has_the_name_that_it_was_called_by(runtime, bundle, args, name):
    b = furnished(bundle(*args))
    b.process["cwd"] = "/bin"
    comm, exe = runtime.output(b).splitlines()
    assert comm == name
    assert exe == program(args)


@pytest.fixture
def furnished_container(runtime, bundle):
    return runtime.start(furnished(bundle()))


def test_exec_too(runtime, furnished_container):
    for args, name in REACHED:
        comm, exe = runtime("exec", "--cwd", "/bin", furnished_container, *args).stdout.splitlines()
        assert (args, comm) == (args, name)
        assert exe == program(args)


def test_as_the_host_sees_it(runtime, bundle):
    name = runtime.start(bundle("sh", "-c", "while sleep 0.1; do :; done"))
    assert Path(f"/proc/{runtime.pid(name)}/comm").read_text() == "sh\n"
    assert runtime.exec(name, "pidof", "sh").stdout.split()[-1:] == ["1"]


def confined(b):
    b.process["noNewPrivileges"] = True
    b.process["capabilities"] = {}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]}
    return become(b, 1000)


def without_execveat(b):
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execveat"], "action": "SCMP_ACT_ERRNO"}]}
    return b


def in_a_host_pid_namespace(b):
    b.namespace("pid", drop=True)
    return b


def with_shared_root(b):
    b.linux["rootfsPropagation"] = "shared"
    return b


def with_little_memory(b):
    b.linux.setdefault("resources", {})["memory"] = {"limit": 8 << 20}
    return b


KINDS = [mapped, confined, without_execveat, in_a_host_pid_namespace, with_shared_root, with_little_memory]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("flags", [(), ("--no-pivot",)], ids=["pivot", "no-pivot"])
def test_whatever_else_the_container_has(runtime, bundle, kind, flags):
    b = kind(furnished(bundle("/data/script")))
    assert runtime.output(b, *flags).splitlines() == ["script", "/bin/busybox"]
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b, *flags)
    assert runtime.exec(name, "/data/hop").stdout.splitlines() == ["hop", "/data/tell"]


def test_a_joined_pid_namespace(runtime, bundle):
    first = runtime.start(bundle())
    b = furnished(bundle("/data/script"))
    b.namespace("pid", path=f"/proc/{runtime.pid(first)}/ns/pid")
    assert runtime.output(b).splitlines() == ["script", "/bin/busybox"]


def bare(b):
    """Take out of B what needs mounts of its own."""
    b.config["mounts"] = []
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    return b


@pytest.fixture
def other_mounts():
    """Return the path of a mount namespace that is a copy of the host's."""
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep infinity"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "ready\n"
        yield f"/proc/{holder.pid}/ns/mnt"
        holder.kill()


@pytest.mark.pyrunc_only("needs a /proc in the container")
@pytest.mark.parametrize("joins", ["nothing", "mounts", "mounts and pid"])
def test_without_mounts_of_its_own(runtime, bundle, other_mounts, joins):
    b = bare(bundle("sh", "-c", "read line; exit 0"))
    if joins == "nothing":
        runtime.prefix = ("nsenter", f"--mount={other_mounts}")  # in which the root stays mounted
        b.namespace("mount", drop=True)
    else:
        b.namespace("mount", path=other_mounts)
    if "pid" in joins:
        b.namespace("pid", path=f"/proc/{runtime.pid(runtime.start(bundle()))}/ns/pid")
    read, write = os.pipe()
    name = runtime.start(b, stdin=read)
    pid = runtime.pid(name)
    assert Path(f"/proc/{pid}/comm").read_text() == "sh\n"
    assert os.readlink(f"/proc/{pid}/exe").endswith("/bin/busybox")
    assert os.path.samefile(f"/proc/{pid}/cwd", f"/proc/{pid}/root")
    os.close(read)
    os.close(write)
    runtime.wait(name, "stopped")
    runtime("delete", name)
    runtime.prefix = ()


def test_a_program_that_may_only_be_executed(runtime, bundle):
    """Then its files in /proc are root's."""
    b = become(furnished(bundle("/data/hop")), 1000)
    (b.rootfs / "data/tell").chmod(0o711)
    assert runtime.output(b).startswith("hop\n")


def test_of_several_in_path_the_one_that_may_be_executed(runtime, bundle):
    b = become(bundle("hop", "-c", LOOK), 1000)
    b.process["env"] = ["PATH=/one:/two:/bin"]
    for name, mode in (("one", 0o700), ("two", 0o755)):
        script(b, f"/{name}/hop", f"#!/bin/sh\necho {name}; {LOOK}\n", mode)
    assert runtime.output(b).splitlines() == ["two", "hop", "/bin/busybox"]


@pytest.mark.parametrize("command", ["run", "exec"])
def test_the_container_gets_no_more_by_it(runtime, bundle, command):
    """What gives the program its name is gone when it runs: no descriptor, no mount."""
    look = ["sh", "-c", "ls /proc/self/fd; cut -d' ' -f5 /proc/self/mountinfo"]
    b = bundle(*look)
    if command == "run":
        seen = runtime.output(b)
    else:
        b.process["args"] = ["sleep", "1000"]
        seen = runtime.exec(runtime.start(b), *look).stdout
    wanted = ["/", *(mount["destination"] for mount in b.config["mounts"])]
    lines = seen.splitlines()
    fds, mounts = lines[: lines.index("/")], lines[lines.index("/") :]
    assert set(fds) <= {"0", "1", "2", "3"}  # the last one is that of ls itself
    assert {point for point in mounts if not point.startswith(("/proc/", "/sys/"))} <= set(wanted)


def test_while_it_waits_the_mounts_are_its_own(runtime, bundle):
    """The waiting init is in the namespace that its program will be in, and where it belongs."""
    name = runtime.create(bundle("sh", "-c", "sleep 1000"))
    pid = runtime.pid(name)
    before = os.readlink(f"/proc/{pid}/ns/mnt"), Path(f"/proc/{pid}/mountinfo").read_text()
    runtime("start", name)
    assert (os.readlink(f"/proc/{pid}/ns/mnt"), Path(f"/proc/{pid}/mountinfo").read_text()) == before
    assert runtime.exec(name, "readlink", "/proc/self/ns/mnt").stdout.strip() == before[0]


def test_a_probe_is_called_probe(runtime, bundle):
    name = runtime.start(with_probe(bundle(), "lie-in-wait", "60", "0", "0", "0"))
    assert runtime.exec(name, "cat", "/proc/1/comm").stdout == "probe\n"
