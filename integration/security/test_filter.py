"""Nothing comes between the filter and the program: a profile need not allow what the runtime would like to do."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.looking import compiled, give
from integration.security.naive import caught

if TYPE_CHECKING:
    from pathlib import Path

LOAD = "seccomp(SECCOMP_SET_MODE_FILTER"
STRACE = ("strace", "-f", "-qq")


def forbidding(b) -> None:
    """Give B a filter that is no hindrance."""
    rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


def traced(trace: Path, argv: list[str]) -> list[list[str]]:
    """Run ARGV under strace; return pid and text of each line."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    subprocess.run([*STRACE, "-o", str(trace), *argv], check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    return [line.split(None, 1) for line in trace.read_text().splitlines()]


def only_the_execve_follows(lines: list[list[str]], filters: int) -> None:
    """Check that of LINES, a trace, each of so many FILTERS is followed by the execve, in the process that loads it."""
    loads = [place for place, (_, text) in enumerate(lines) if text.startswith(LOAD)]
    assert len(loads) == filters
    for place in loads:
        after = [text for pid, text in lines[place + 1 :] if pid == lines[place][0] and not text.startswith("<... seccomp")]
        assert after[0].startswith("execve"), after[0]


@pytest.mark.pyrunc_only("does much more")
@pytest.mark.parametrize("capabilities", [(), ("CAP_SYS_ADMIN",)])
@pytest.mark.parametrize("new_privileges", [True, False])
@pytest.mark.parametrize("hook", [True, False])
def test_nothing_but_the_execve_follows_the_filter(runtime, bundle, hook, new_privileges, capabilities):
    """As strace sees it; capset(2) would have to be allowed, and changes nothing that an execve leaves."""
    b = give(bundle("true"), *capabilities)
    forbidding(b)
    b.process["noNewPrivileges"] = not new_privileges
    if hook:
        b.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    runtime.output(b)  # the filter is compiled, which has libseccomp try what there is
    name = runtime.prepare(b)
    lines = traced(b.path / "trace", runtime.argv("run", "--bundle", str(b.path), name))
    only_the_execve_follows(lines, 1 + hook)


@pytest.mark.pyrunc_only("does much more")
def test_nor_in_exec(runtime, bundle):
    b = bundle()
    forbidding(b)
    name = runtime.start(b)
    only_the_execve_follows(traced(b.path / "trace", runtime.argv("exec", name, "true")), 1)


LOADS_AND_LOOKS = """
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) /* load a filter that allows everything, look who we are, and go on as another program */
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	getppid();
	return execl("/bin/true", "true", (char *)0);
}
"""


def test_nothing_but_the_execve_follows_the_filter_bites(tmp_path):
    lines = traced(tmp_path / "trace", [str(compiled(LOADS_AND_LOOKS))])
    with caught():
        only_the_execve_follows(lines, 1)


# A profile that allows what the program needs, and nothing of ours

NEEDED = "execve execveat exit_group exit brk arch_prctl set_tid_address set_robust_list rseq prlimit64 readlinkat readlink getrandom mprotect \
    prctl getuid getgid geteuid getegid setuid setgid uname write writev read fstat newfstatat stat ioctl mmap munmap rt_sigaction rt_sigprocmask".split()


def ran(done) -> None:
    """Check that the program has run."""
    assert (done.returncode, done.stdout) == (0, "ran\n")


@pytest.mark.pyrunc_only("needs many more calls")
def test_a_profile_that_allows_the_program_alone(runtime, bundle):
    b = bundle("/bin/echo", "ran")
    rule = {"names": NEEDED, "action": "SCMP_ACT_ALLOW"}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [rule]}
    b.process["noNewPrivileges"] = True
    ran(runtime.run(b, check=False))


def test_a_profile_that_allows_the_program_alone_bites(runtime, bundle):
    """What is done by the program itself before: a shell that does what runtimes do there dies of it."""
    b = bundle("/bin/sh", "-c", "cat </dev/null; exec echo ran")
    rule = {"names": NEEDED, "action": "SCMP_ACT_ALLOW"}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [rule]}
    b.process["noNewPrivileges"] = True
    with caught():
        ran(runtime.run(b, check=False))
