"""seccomp: what a filter answers, seen by the process under it (config-linux.md, "Seccomp")."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from integration.looking import become, fields, give, refused, with_probe

SHARED = Path(os.environ.get("PYRUNC_SHARED", Path(__file__).parents[2] / "shared"))
ENOSYS, EPERM, ENOSPC = -38, -1, -28
# Numbers on x86-64: what the probe calls.
NUMBER = {"getppid": 110, "mkdir": 83, "personality": 135, "clone3": 435, "unshare": 272, "getcpu": 309}
NEWER_THAN_ANY_PROFILE = 1000
x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")


def rule(*names, action="SCMP_ACT_ERRNO", **more):
    return {"names": list(names), "action": action, **more}


def argument(index, value, op="SCMP_CMP_EQ", **more):
    return {"index": index, "value": value, "op": op, **more}


def profile(b, default, *rules, **more):
    b.linux["seccomp"] = {"defaultAction": default, "syscalls": list(rules), **more}
    return b


def forbidding(b, *rules, **more):
    return profile(b, "SCMP_ACT_ALLOW", *rules, **more)


def call(runtime, b, name, *arguments):
    """Return what system call NAME (or number) answers to B's process."""
    number = NUMBER.get(name, name)
    return int(runtime.output(with_probe(b, "call", str(number), *map(str, arguments))))


# What a filter can answer


@x86_64
@pytest.mark.parametrize(
    ("more", "answer"), [({}, EPERM), ({"errnoRet": 28}, ENOSPC), ({"errnoRet": 38}, ENOSYS)]
)
def test_errno(runtime, bundle, more, answer):
    assert call(runtime, forbidding(bundle(), rule("getppid", **more)), "getppid") == answer


@x86_64
@pytest.mark.pyrunc_only("1.1 leaves 0 as EPERM")
def test_errno_zero(runtime, bundle):
    assert call(runtime, forbidding(bundle(), rule("getppid", errnoRet=0)), "getppid") == 0


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("SCMP_ACT_KILL", 159),
        ("SCMP_ACT_KILL_THREAD", 159),
        ("SCMP_ACT_KILL_PROCESS", 159),
        ("SCMP_ACT_TRAP", 159),
    ],
)
def test_kill(runtime, bundle, action, status):
    b = forbidding(bundle("mkdir /data/x; echo status $?"), rule("mkdir", "mkdirat", action=action))
    assert f"status {status}" in runtime.output(b)


@x86_64
@pytest.mark.parametrize("action", ["SCMP_ACT_LOG", "SCMP_ACT_ALLOW"])
def test_let_through(runtime, bundle, action):
    b = profile(bundle(), "SCMP_ACT_LOG", rule("getppid", action=action))
    assert call(runtime, b, "getppid") == 0


@x86_64
def test_trace_without_a_tracer(runtime, bundle):
    b = forbidding(bundle(), rule("getppid", action="SCMP_ACT_TRACE", errnoRet=7))
    assert call(runtime, b, "getppid") == ENOSYS


@x86_64
@pytest.mark.parametrize(
    ("arguments", "given", "refused_"),
    [
        ([argument(0, 8)], (8,), True),
        ([argument(0, 8)], (9,), False),
        ([argument(0, 8, "SCMP_CMP_NE")], (9,), True),
        ([argument(0, 8, "SCMP_CMP_LT")], (7,), True),
        ([argument(0, 8, "SCMP_CMP_LT")], (8,), False),
        ([argument(0, 8, "SCMP_CMP_LE")], (8,), True),
        ([argument(0, 8, "SCMP_CMP_GT")], (9,), True),
        ([argument(0, 8, "SCMP_CMP_GE")], (8,), True),
        ([argument(0, 0xF0, "SCMP_CMP_MASKED_EQ", valueTwo=0x10)], (0x1F,), True),
        ([argument(0, 0xF0, "SCMP_CMP_MASKED_EQ", valueTwo=0x10)], (0x2F,), False),
        ([argument(0, 1 << 40)], (1 << 40,), True),
        ([argument(0, 2**64 - 1)], (-1,), True),
        ([argument(0, 8), argument(1, 9)], (8, 9), True),
        ([argument(0, 8), argument(1, 9)], (8, 8), False),
        ([argument(0, 8), argument(0, 9)], (9, 0), True),  # two about one argument: either
    ],
)
def test_arguments(runtime, bundle, arguments, given, refused_):
    b = forbidding(bundle(), rule("getppid", errnoRet=28, args=arguments))
    assert call(runtime, b, "getppid", *given) == (ENOSPC if refused_ else 0)


@x86_64
def test_several_rules_for_one_call(runtime, bundle):
    rules = [rule("getppid", errnoRet=number, args=[argument(0, number)]) for number in (5, 6)]
    for given, answer in ((5, -5), (6, -6), (7, 0)):
        assert call(runtime, forbidding(bundle(), *rules), "getppid", given) == answer


def test_names_that_nobody_knows_are_skipped(runtime, bundle):
    b = forbidding(bundle("echo", "ran"), rule("no_such_call", "acct"))
    assert runtime.output(b) == "ran\n"


@x86_64
def test_calls_newer_than_the_profile_do_not_exist(runtime, bundle):
    """What is newer than every call that the profile names gets ENOSYS, so that programs fall back."""
    b = profile(bundle(), "SCMP_ACT_ALLOW", rule("getppid"))
    assert call(runtime, b, NEWER_THAN_ANY_PROFILE) == ENOSYS
    b = bundle()
    b.linux["seccomp"] = docker_profile()
    assert call(runtime, b, NEWER_THAN_ANY_PROFILE) == ENOSYS
    b = bundle()
    b.linux["seccomp"] = docker_profile()
    assert call(runtime, b, "unshare", 0x10000000) == EPERM


@x86_64
@pytest.mark.parametrize(
    "architectures", [["SCMP_ARCH_X86_64"], ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], []]
)
def test_architectures(runtime, bundle, architectures):
    b = forbidding(bundle(), rule("getppid", errnoRet=28), architectures=architectures)
    assert call(runtime, b, "getppid") == ENOSPC


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"defaultAction": "SCMP_ACT_NONSENSE"}, "/linux/seccomp/defaultAction"),
        ({"architectures": ["SCMP_ARCH_NONSENSE"]}, "/linux/seccomp/architectures/0"),
        ({"syscalls": [rule("acct", action="NONSENSE")]}, "/linux/seccomp/syscalls/0/action"),
        ({"syscalls": [rule("acct", args=[argument(9, 0)])]}, "/linux/seccomp/syscalls/0/args/0"),
        (
            {"syscalls": [rule("acct", args=[argument(0, 0, "NONSENSE")])]},
            "/linux/seccomp/syscalls/0/args/0/op",
        ),
        ({"syscalls": [{"action": "SCMP_ACT_ALLOW"}]}, "/linux/seccomp/syscalls/0"),
    ],
)
def test_nonsense_is_refused(runtime, bundle, change, pointer):
    if runtime.name == "runc" and "names" not in str(change.get("syscalls", "names")):
        pytest.skip("runc 1.1 takes a rule without names for none")
    b = bundle("true")
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", **change}
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert pointer in err


@pytest.mark.pyrunc_only("1.1 ignores it")
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"defaultErrnoRet": 1}, "/defaultErrnoRet"),
        ({"syscalls": [rule("acct"), rule("acct", action="SCMP_ACT_LOG", errnoRet=0)]}, "/syscalls/1/errnoRet"),
        ({"syscalls": [rule("acct", action="SCMP_ACT_KILL", errnoRet=1)]}, "/syscalls/0/errnoRet"),
        ({"syscalls": [rule()]}, "/syscalls/0/names"),
    ],
)
def test_what_the_specification_forbids(runtime, bundle, change, pointer):
    b = bundle("true")
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", **change}
    refused(runtime, b, f"(at /linux/seccomp{pointer}")


# The filter is on, and nothing else changed with it


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("new_privileges", [True, False])
def test_the_filter_is_on(runtime, bundle, new_privileges, uid):
    b = become(give(forbidding(bundle("cat", "/proc/self/status"), rule("acct")), "CAP_KILL"), uid)
    b.process["noNewPrivileges"] = not new_privileges
    found = fields(runtime.output(b))
    assert (found["Seccomp"], found["Seccomp_filters"]) == ("2", "1")
    assert found["NoNewPrivs"] == str(int(not new_privileges))
    # CAP_SYS_ADMIN was needed for the filter, and is gone.
    assert int(found["CapBnd"], 16) == 1 << 5
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == (1 << 5 if uid == 0 else 0)


def test_none_without_a_profile(runtime, bundle):
    found = fields(runtime.output(bundle("cat", "/proc/self/status")))
    assert found["Seccomp"] == "0"


def test_ambient_capabilities_stay(runtime, bundle):
    b = become(forbidding(bundle("cat", "/proc/self/status"), rule("acct")), 1000)
    b.process["capabilities"] = {
        kind: ["CAP_KILL"] for kind in ("bounding", "permitted", "inheritable", "ambient")
    }
    b.process["noNewPrivileges"] = False
    assert int(fields(runtime.output(b))["CapAmb"], 16) == 1 << 5


def test_exec_gets_the_filter(runtime, bundle):
    name = runtime.start(forbidding(bundle(), rule("mkdir", "mkdirat")))
    assert runtime.exec(name, "mkdir", "/data/x", check=False).returncode == 1
    found = fields(runtime.exec(name, "cat", "/proc/self/status").stdout)
    assert (found["Seccomp"], found["Seccomp_filters"]) == ("2", "1")


def test_what_the_host_does_to_a_container_is_not_filtered(runtime, bundle):
    """The filter holds for the program, not for setting up: mount(2) and setns(2) are not the program's."""
    words = """
        mount move_mount open_tree fsopen fsmount mount_setattr setns unshare pivot_root chroot sethostname
        umount2 openat2 keyctl setgroups clone3 mknodat
    """
    b = forbidding(bundle(), rule(*words.split()))
    name = runtime.start(b)
    assert runtime.exec(name, "echo", "ran").stdout == "ran\n"


@pytest.mark.pyrunc_only("1.1 knows no flags")
def test_flags(runtime, bundle):
    b = forbidding(bundle("echo", "ran"), rule("acct"), flags=["SECCOMP_FILTER_FLAG_LOG"])
    assert runtime.output(b) == "ran\n"


# Nothing but what the program itself needs


NEEDED = """
    execve brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink
    readlinkat getrandom write exit_group getuid setuid setgid getgid ioctl fstat newfstatat prctl uname
    read close futex rt_sigaction rt_sigprocmask
"""


@pytest.mark.pyrunc_only("needs many more calls between the filter and execve")
@pytest.mark.parametrize("new_privileges", [False, True])
@pytest.mark.parametrize("way", ["execve", "execveat"])
def test_a_filter_that_allows_just_what_the_program_needs(runtime, bundle, new_privileges, way):
    names = [
        *NEEDED.split(),
        *(["execveat"] if way == "execveat" else []),
        *(["capset"] if new_privileges else []),
    ]
    b = profile(bundle("/bin/echo", "ran"), "SCMP_ACT_KILL_PROCESS", rule(*names, action="SCMP_ACT_ALLOW"))
    b.process["noNewPrivileges"] = not new_privileges
    assert runtime.output(b) == "ran\n"
    b.process["args"] = ["sleep", "1000"]
    b.linux["seccomp"]["syscalls"].append(rule("nanosleep", "clock_nanosleep", action="SCMP_ACT_ALLOW"))
    name = runtime.start(b)
    assert runtime.exec(name, "/bin/echo", "ran").stdout == "ran\n"


def test_a_filter_that_forbids_everything(runtime, bundle):
    """Even execve: the program cannot start, and it is said, and nothing stays."""
    b = profile(bundle("/bin/echo", "ran"), "SCMP_ACT_ERRNO")
    done = runtime.run(b, check=False)
    assert done.returncode != 0
    assert "ran" not in done.stdout
    b = profile(bundle("/bin/echo", "ran"), "SCMP_ACT_KILL_PROCESS")
    done = runtime.run(b, check=False)
    assert done.returncode != 0
    assert "ran" not in done.stdout


# Docker's profile


def docker_profile():
    path = SHARED / "configs/docker/run-hostname.json"
    if not path.exists():
        pytest.skip("Docker's configuration is not there (PYRUNC_SHARED says where)")
    return json.loads(path.read_text())["linux"]["seccomp"]


def test_dockers_profile(runtime, bundle):
    b = give(bundle("unshare -U true || echo refused; mount -t tmpfs x /data || echo refused; echo ran"))
    b.linux["seccomp"] = docker_profile()
    assert runtime.run(b, check=False).stdout.split() == ["refused", "refused", "ran"]


@x86_64
def test_dockers_profile_call_by_call(runtime, bundle):
    b = bundle()
    b.linux["seccomp"] = docker_profile()
    name = runtime.start(with_probe(b))

    def inside(call, *arguments):
        words = ("probe", "call", str(NUMBER[call]), *map(str, arguments))
        return int(runtime.exec(name, *words).stdout)

    assert inside("personality", 0) >= 0
    assert inside("personality", 0x10) == EPERM
    assert inside("clone3", 0, 0) == ENOSYS  # so that libc falls back to clone, whose flags a filter can see
    assert inside("getcpu", 0, 0, 0) == 0


# The cache of compiled filters


def test_a_damaged_cache_is_not_believed(runtime, bundle):
    b = forbidding(bundle("mkdir", "/data/x"), rule("mkdir", "mkdirat", errnoRet=28))
    runtime.run(b, check=False)
    files = [path for path in runtime.root.rglob("*") if path.is_file() and "seccomp" in str(path)]
    for file in files:
        file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    assert "No space left on device" in runtime.run(b, check=False).stderr
    for file in files:
        file.write_bytes(b"")
    assert "No space left on device" in runtime.run(b, check=False).stderr


@x86_64
def test_profiles_that_differ_little_are_kept_apart(runtime, bundle):
    for number in (5, 6, 7, 5):
        assert call(runtime, forbidding(bundle(), rule("getppid", errnoRet=number)), "getppid") == -number
    first, second = rule("getppid", errnoRet=5), rule("getppid", errnoRet=5, args=[argument(0, 1)])
    assert call(runtime, forbidding(bundle(), first), "getppid", 2) == -5
    assert call(runtime, forbidding(bundle(), second), "getppid", 2) == 0
