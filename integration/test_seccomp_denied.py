"""Filters under which nothing can be executed, and rules about calls that libseccomp does not know."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from integration.looking import refused
from integration.test_seccomp import call, forbidding, profile, rule

EXECUTE = ("execve", "execveat")
STATMOUNT, MSEAL = 457, 462
x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")


def denying(b, how):
    """Give B a filter that denies every execve, or everything, HOW: by the default action, or by a rule."""
    kind, _, action = how.partition(" ")
    if kind == "default":
        return profile(b, f"SCMP_ACT_{action}")
    return forbidding(b, rule(*EXECUTE, action=f"SCMP_ACT_{action}"))


def skip_where_it_hangs(runtime, how):
    if runtime.name == "runc" and how.endswith(" KILL"):
        pytest.skip("runc: hangs, as one of its threads is killed and the others wait for it")


HOW = [f"{kind} {action}" for kind in ("default", "rule") for action in ("ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE")]


@pytest.mark.parametrize("how", HOW)
def test_run_says_so(runtime, bundle, how):
    skip_where_it_hangs(runtime, how)
    done = runtime.run(denying(bundle("echo", "ran"), how), check=False)
    assert "ran" not in done.stdout
    assert done.returncode not in ((0,) if runtime.name == "runc" else (0, 139, 159))
    if runtime.name == "pyrunc":
        assert done.returncode == 1
        assert "the seccomp filter lets no program be executed" in done.stderr
        pointer = "defaultAction" if how.startswith("default") else "syscalls/0"
        assert f"(at /linux/seccomp/{pointer}; allow execve and execveat)" in done.stderr


@pytest.mark.parametrize("how", HOW)
def test_start_says_so(runtime, bundle, how):
    if runtime.name == "runc" and how.startswith("rule"):
        pytest.skip("runc: start returns 0")
    skip_where_it_hangs(runtime, how)
    name = runtime.create(denying(bundle(), how))
    if runtime.name == "runc":
        runtime.wait(name, "stopped")
    done = runtime("start", name, check=False)
    assert done.returncode == 1
    assert done.stderr.strip()
    if runtime.name == "pyrunc":
        assert "the seccomp filter lets no program be executed" in done.stderr
    runtime.wait(name, "stopped")


@pytest.mark.pyrunc_only("says less, or nothing")
@pytest.mark.parametrize("how", HOW)
def test_exec_and_a_detached_run_say_so(runtime, bundle, how):
    b = denying(bundle(), how)
    name = runtime.create(b)
    done = runtime.exec(name, "echo", "ran", check=False)
    assert done.returncode == 255
    assert "the seccomp filter lets no program be executed" in done.stderr
    assert runtime.status(name) == "created"
    name = runtime.prepare(b)
    log = b.path / "log"
    done = runtime("--log", str(log), "run", "--detach", "--bundle", str(b.path), name, check=False, stdout=-3, stderr=-3)
    assert done.returncode == 1
    assert "the seccomp filter lets no program be executed" in log.read_text()
    assert not (runtime.root / name).exists()


@pytest.mark.parametrize("action", ["LOG", "ALLOW"])
def test_what_lets_it_through_does(runtime, bundle, action):
    b = forbidding(bundle("echo", "ran"), rule(*EXECUTE, action=f"SCMP_ACT_{action}"))
    assert runtime.output(b) == "ran\n"


def test_a_program_that_its_filter_kills_has_run(runtime, bundle):
    """The execve worked; what comes after it is the program's own end."""
    b = forbidding(bundle("sh", "-c", "exit 3"), rule("exit_group", action="SCMP_ACT_KILL_PROCESS"))
    assert runtime.run(b, check=False).returncode == 159
    name = runtime.create(b)
    runtime("start", name)
    runtime.wait(name, "stopped")


def test_start_is_right_about_programs_that_end_at_once(runtime, bundle):
    """They may have ended, and been waited for, before anybody can look."""
    b = forbidding(bundle("true"), rule("acct"))
    for _ in range(20):
        name = runtime.create(b)
        runtime("start", name)
        runtime.wait(name, "stopped")
        runtime("delete", name)


# Calls that libseccomp does not know


@x86_64
@pytest.mark.pyrunc_only("leaves such rules out")
@pytest.mark.parametrize(("name", "number"), [("mseal", MSEAL), ("statmount", STATMOUNT)])
def test_a_call_that_libseccomp_may_not_know(runtime, bundle, name, number):
    assert call(runtime, forbidding(bundle(), rule(name, errnoRet=28)), number) == -28
    condition = {"index": 1, "value": 4096, "op": "SCMP_CMP_EQ"}
    b = forbidding(bundle(), rule(name, errnoRet=28, args=[condition]))
    assert call(runtime, b, number, 1, 4096) == -28
    assert call(runtime, b, number, 1, 4097) != -28


@pytest.mark.pyrunc_only("says it with --debug alone")
def test_a_call_that_nobody_knows_is_warned_of(runtime, bundle):
    """Each time: also where the compiled filter is kept already, and by exec, which has the same."""
    b = forbidding(bundle(), rule("msael", "acct"))
    for _ in range(2):
        name = runtime.create(b)
        said = (runtime.directory / f"{name}.log").read_text()
        assert said.count('level=warning msg="ignoring the seccomp rule for msael') == said.count("msael") == 1
    runtime("start", name)
    log = b.path / "exec.log"
    runtime("--log", str(log), "exec", name, "true")
    assert log.read_text().count("msael") == 1


@pytest.mark.pyrunc_only("words of our own")
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"syscalls": [rule("acct"), rule("sethostname", errnoRet=4095)]}, "syscalls/1/errnoRet"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}, "defaultErrnoRet"),
        ({"syscalls": [rule("acct", action="SCMP_ACT_TRACE", errnoRet=65536)]}, "syscalls/0/errnoRet"),
    ],
)
def test_a_number_that_cannot_be_returned(runtime, bundle, change, pointer):
    b = bundle("true")
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", **change}
    refused(runtime, b, f"(at /linux/seccomp/{pointer}")


@x86_64
def test_the_largest_errno(runtime, bundle):
    assert call(runtime, forbidding(bundle(), rule("getppid", errnoRet=4094)), "getppid") == -4094


# The cache of compiled filters


@pytest.mark.pyrunc_only("has none")
@pytest.mark.parametrize("harm", ["not a directory", "others may write", "a draft of every pid"])
def test_the_cache_fails_no_container(runtime, bundle, harm):
    b = forbidding(bundle("echo", "ran"), rule("acct"))
    kept = runtime.root / ".seccomp"
    if harm == "not a directory":
        kept.write_text("")
    else:
        kept.mkdir(mode=0o700)
    if harm == "others may write":
        kept.chmod(0o777)
    if harm == "a draft of every pid":
        runtime.output(b)
        (file,) = kept.iterdir()
        name = file.name
        file.unlink()
        last = int(Path("/proc/sys/kernel/ns_last_pid").read_text())
        for pid in range(last, last + 400):
            (kept / f"{name}.{pid}").write_bytes(b"")
    begun = time.monotonic()
    assert runtime.output(b) == "ran\n"
    assert time.monotonic() - begun < 20
