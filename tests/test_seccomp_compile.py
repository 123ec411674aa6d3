"""Compiled filters, run: what each program answers to which call."""

from __future__ import annotations

import errno

import pytest

from pyrunc.errors import UnsupportedError
from pyrunc.oci.seccomp import OPERATORS, seccomp
from pyrunc.seccomp import compile as compiler
from pyrunc.seccomp.bpf import decide
from pyrunc.seccomp.compile import compile_filter

lib = pytest.importorskip("pyseccomp", reason="it compiles filters")

X86_64, X86, AARCH64, X32 = (lib.Arch.X86_64, lib.Arch.X86, lib.Arch.AARCH64, 0x40000000)
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, TRACE, LOG, ALLOW = (
    0x80000000,
    0x00000000,
    0x00030000,
    0x00050000,
    0x7FF00000,
    0x7FFC0000,
    0x7FFF0000,
)
NEWEST = 10_000  # no system call has this number yet


def profile(*rules: dict, default: str = "ERRNO", **changes: object) -> bytes:
    rows = [{"action": "SCMP_ACT_ALLOW", **rule} for rule in rules]
    document = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": rows, **changes}
    return compile_filter(seccomp(document, compiler.AT)).bpf


def number(name: str, arch: int | None = None) -> int:
    return lib.resolve_syscall(lib.system_arch() if arch is None else arch, name)


def answer(bpf: bytes, name: str, *args: int) -> int:
    return decide(bpf, lib.system_arch() & 0xFFFFFFFF, number(name), args)


@pytest.mark.parametrize(
    ("action", "errno_ret", "expected"),
    [
        ("ALLOW", None, ALLOW),
        ("LOG", None, LOG),
        ("TRAP", None, TRAP),
        ("KILL", None, KILL_THREAD),
        ("KILL_THREAD", None, KILL_THREAD),
        ("KILL_PROCESS", None, KILL_PROCESS),
        ("ERRNO", None, ERRNO | errno.EPERM),
        ("ERRNO", 0, ERRNO),
        ("ERRNO", errno.EACCES, ERRNO | errno.EACCES),
        ("TRACE", 7, TRACE | 7),
    ],
)
def test_actions(action: str, errno_ret: int | None, expected: int):
    rule = {"names": ["mkdirat"], "action": f"SCMP_ACT_{action}", "errnoRet": errno_ret}
    default = "ERRNO" if action != "ERRNO" else "ALLOW"
    bpf = profile(rule, {"names": ["read"]}, default=default)
    assert answer(bpf, "mkdirat") == expected
    assert answer(bpf, "read") == ALLOW


@pytest.mark.parametrize(("value", "expected"), [(None, errno.EPERM), (errno.ENOSYS, errno.ENOSYS), (0, 0)])
def test_the_default_action_has_an_errno(value: int | None, expected: int):
    bpf = profile({"names": ["read", "statx"]}, defaultErrnoRet=value)
    assert answer(bpf, "write") == ERRNO | expected


def test_calls_newer_than_the_profile_do_not_exist():
    """A program then takes its old way; EPERM would make it fail."""
    arch = lib.system_arch() & 0xFFFFFFFF
    bpf = profile({"names": ["read", "openat2"]})
    newest = number("openat2")
    assert decide(bpf, arch, newest) == ALLOW
    assert decide(bpf, arch, newest - 1) == ERRNO | errno.EPERM
    for later in (newest + 1, NEWEST, 0x3FFFFFFF):
        assert decide(bpf, arch, later) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("default", ["ALLOW", "LOG", "TRACE"])
def test_where_unnamed_calls_are_let_through_so_are_new_ones(default: str):
    bpf = profile({"names": ["read"], "action": "SCMP_ACT_ERRNO"}, default=default)
    expected = {"ALLOW": ALLOW, "LOG": LOG, "TRACE": TRACE}[default]
    assert decide(bpf, lib.system_arch() & 0xFFFFFFFF, NEWEST) & 0xFFFF0000 == expected
    assert answer(bpf, "read") == ERRNO | errno.EPERM


@pytest.mark.parametrize("default", ["KILL", "KILL_PROCESS", "TRAP"])
def test_where_unnamed_calls_kill_new_ones_do_not(default: str):
    bpf = profile({"names": ["read"]}, default=default)
    assert decide(bpf, lib.system_arch() & 0xFFFFFFFF, NEWEST) == ERRNO | errno.ENOSYS


VALUES = (0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 2, (1 << 63), (1 << 64) - 1)
MEANING = {
    "SCMP_CMP_NE": lambda value, bound: value != bound,
    "SCMP_CMP_LT": lambda value, bound: value < bound,
    "SCMP_CMP_LE": lambda value, bound: value <= bound,
    "SCMP_CMP_EQ": lambda value, bound: value == bound,
    "SCMP_CMP_GE": lambda value, bound: value >= bound,
    "SCMP_CMP_GT": lambda value, bound: value > bound,
}


@pytest.mark.parametrize("operator", MEANING)
@pytest.mark.parametrize("bound", [2, (1 << 32) + 2])
def test_operators_compare_64_bits(operator: str, bound: int):
    bpf = profile({"names": ["lseek"], "args": [{"index": 1, "value": bound, "op": operator}]})
    for value in VALUES:
        expected = ALLOW if MEANING[operator](value, bound) else ERRNO | errno.EPERM
        assert answer(bpf, "lseek", 0, value) == expected, value


def test_masked_equality():
    """`value` is the mask and `valueTwo` what is left (config-linux.md, "Seccomp")."""
    bpf = profile({"names": ["lseek"], "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]})
    assert answer(bpf, "lseek", 0x00000011) == ALLOW
    assert answer(bpf, "lseek", 0x10000011) == ERRNO | errno.EPERM
    assert {*MEANING, "SCMP_CMP_MASKED_EQ"} == set(OPERATORS)


def test_conditions_on_several_arguments_must_all_hold():
    conditions = [{"index": i, "value": i, "op": "SCMP_CMP_EQ"} for i in (0, 2)]
    bpf = profile({"names": ["lseek"], "args": conditions})
    assert answer(bpf, "lseek", 0, 9, 2) == ALLOW
    assert answer(bpf, "lseek", 0, 9, 3) == ERRNO | errno.EPERM
    assert answer(bpf, "lseek", 1, 9, 2) == ERRNO | errno.EPERM


def test_of_conditions_on_one_argument_any_may_hold():
    conditions = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (8, 16)]
    bpf = profile({"names": ["lseek"], "args": conditions})
    assert [answer(bpf, "lseek", value) == ALLOW for value in (8, 16, 24)] == [True, True, False]


@pytest.mark.skipif(lib.system_arch() != X86_64, reason="about the calls of x86-64")
def test_architectures():
    bpf = profile({"names": ["mkdir", "openat2"]}, architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"])
    assert decide(bpf, X86_64 & 0xFFFFFFFF, 83) == ALLOW
    assert decide(bpf, X86 & 0xFFFFFFFF, 39) == ALLOW
    assert decide(bpf, X86 & 0xFFFFFFFF, 83) == ERRNO | errno.EPERM  # mkdir on x86-64 only
    assert decide(bpf, X86 & 0xFFFFFFFF, NEWEST) == ERRNO | errno.ENOSYS
    assert decide(bpf, AARCH64 & 0xFFFFFFFF, 34) == KILL_THREAD
    assert decide(bpf, X86_64 & 0xFFFFFFFF, X32 + 83) != ALLOW  # x32 is another architecture, with the same audit number


def test_unknown_calls_are_left_out_and_named():
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"}]}
    made = compile_filter(seccomp(document, ""))
    assert made.unknown == ("no_such_call",)
    assert answer(made.bpf, "read") == ALLOW


@pytest.mark.parametrize("errno_ret", [None, errno.EPERM])
@pytest.mark.parametrize("default", [None, errno.EPERM])
def test_a_rule_that_changes_nothing_is_no_error(errno_ret: int | None, default: int | None):
    rule = {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno_ret}
    bpf = profile(rule, {"names": ["read"]}, defaultErrnoRet=default)
    assert answer(bpf, "write") == ERRNO | errno.EPERM


@pytest.mark.parametrize(
    ("document", "kind", "pointer"),
    [
        ({"architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_SHEB"]}, UnsupportedError, "/architectures/1"),
    ],
)
def test_refused(document: dict, kind: type, pointer: str):
    with pytest.raises(kind) as caught:
        compile_filter(seccomp({"defaultAction": "SCMP_ACT_ALLOW", **document}, compiler.AT))
    assert caught.value.pointer == compiler.AT + pointer


def test_flags_that_are_left_out_and_those_that_are_none():
    document = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert compiler.flags(seccomp(document, "")) == 4
    assert compiler.flags(seccomp({**document, "flags": []}, "")) == 0


def test_flags():
    document = {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"] * 2}
    assert compiler.flags(seccomp(document, "")) == 2 | 4


@pytest.mark.parametrize("bpf", [b"", b"\x20\0\0\0\0\0\0\0", b"\xff\0\0\0\0\0\0\0"])
def test_what_is_no_program(bpf: bytes):
    with pytest.raises(ValueError):
        decide(bpf, 0, 0)
