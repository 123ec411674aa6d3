"""System calls that libseccomp does not know, by number: the table, and rules about them, held against libseccomp's own."""

from __future__ import annotations

import errno
import itertools
import re
from pathlib import Path

import pytest

from pyrunc.errors import ConfigError
from pyrunc.oci.seccomp import OPERATORS, Seccomp, seccomp
from pyrunc.plan import seccomp as planner
from pyrunc.seccomp import added, bpf
from pyrunc.seccomp.bpf import decide
from pyrunc.seccomp.compile import compile_filter

lib = pytest.importorskip("pyseccomp", reason="it compiles filters")

KNOWN = "process_madvise"  # to libseccomp as well: its answer is the measure
NUMBER = 440
ALLOW_THE_REST = bpf.instruction(bpf.RET, bpf.ALLOW)
HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")
x86_64 = pytest.mark.skipif(lib.system_arch() != lib.Arch.X86_64, reason="about the calls of x86-64")


def profile(*rules: dict, default: str = "SCMP_ACT_ALLOW", **more: object) -> Seccomp:
    rows = [{"names": [KNOWN], "action": "SCMP_ACT_ERRNO", **rule} for rule in rules]
    return seccomp({"defaultAction": default, "syscalls": rows, **more}, "/linux/seccomp")


ONLY_LIBSECCOMPS = ("uretprobe", added.X32)  # libseccomp 2.6 has it; the kernel's table has it for x86_64 alone


def test_numbers_are_libseccomps_where_it_has_one():
    """On every architecture of the table; what it lacks somewhere is not guessed there."""
    seen = 0
    for name in (*added.NUMBERS, *added.OF_ONE):
        for arch in added.ARCHITECTURES:
            theirs = lib.resolve_syscall(arch, name)
            if theirs >= 0 and (name, arch) != ONLY_LIBSECCOMPS:
                assert added.number(arch, name) == theirs, (name, hex(arch))
                seen += 1
    assert seen > 30


@pytest.mark.parametrize(("header", "arch"), [("64", added.X86_64), ("32", added.X86), ("x32", added.X32)])
def test_numbers_are_the_kernels(header: str, arch: int):
    """As far as the installed headers go."""
    path = HEADERS / f"unistd_{header}.h"
    if not path.exists():
        pytest.skip("the kernel's headers for x86 are not installed")
    pattern = r"#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)"
    found = {name: int(number) for name, number in re.findall(pattern, path.read_text())}
    common = found.keys() & added.NUMBERS.keys()
    assert len(common) >= 10
    for name in common:
        assert added.number(arch, name) & ~added.X32_BIT == found[name], name


def test_what_nobody_knows_has_no_number():
    assert added.number(added.X86_64, "msael") == -1
    assert not added.known("msael")
    assert added.number(added.AARCH64, "uretprobe") == -1
    assert added.known("uretprobe")


VALUES = (0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, *range(1 << 32, (1 << 32) + 4), 1 << 63, 2**64 - 1)


def same_as_libseccomp(checked: Seccomp) -> None:
    """Assert that the instructions for KNOWN answer as libseccomp's filter does, on each architecture, to many arguments."""
    theirs = compile_filter(checked).bpf
    architectures = [lib.system_arch(), *(getattr(lib.Arch, name[10:]) for name in checked.architectures)]
    ours = added.rules(checked, frozenset((KNOWN,)), architectures) + ALLOW_THE_REST
    for arch, first, second in itertools.product({arch & 0xFFFFFFFF for arch in architectures}, VALUES, VALUES):
        audit, number = (added.X86_64, NUMBER | added.X32_BIT) if arch == added.X32 else (arch, NUMBER)
        arguments = (first, 0, second)
        assert decide(ours, audit, number, arguments) == decide(theirs, audit, number, arguments), (hex(arch), first, second)
    assert decide(ours, architectures[0] & 0xFFFFFFFF, NUMBER + 1) == bpf.ALLOW


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("value", [0, 2, (1 << 32) + 2, 2**64 - 1])
def test_operators(operator: str, value: int):
    condition = {"index": 0, "value": value, "op": operator}
    if operator == "SCMP_CMP_MASKED_EQ":
        condition["valueTwo"] = (1 << 32) + 1
    same_as_libseccomp(profile({"args": [condition]}))


def test_several_conditions():
    two = [{"index": 0, "value": 2, "op": "SCMP_CMP_GE"}, {"index": 2, "value": (1 << 32) + 2, "op": "SCMP_CMP_LT"}]
    same_as_libseccomp(profile({"args": two}))
    same_as_libseccomp(profile({"args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 1 << 32)]}))


def test_several_rules():
    first = {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}], "errnoRet": 5}
    second = {"args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}], "errnoRet": 6}
    same_as_libseccomp(profile(first, second))
    same_as_libseccomp(profile(first, {"action": "SCMP_ACT_LOG"}))
    same_as_libseccomp(profile({"action": "SCMP_ACT_LOG"}, first))
    same_as_libseccomp(profile({"action": "SCMP_ACT_ALLOW"}, first))


@pytest.mark.parametrize(
    "action", ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "LOG", "NOTIFY", "ALLOW"]
)
def test_actions(action: str):
    same_as_libseccomp(profile({"action": f"SCMP_ACT_{action}"}))
    if action in ("ERRNO", "TRACE"):
        same_as_libseccomp(profile({"action": f"SCMP_ACT_{action}", "errnoRet": 77}))


@x86_64
@pytest.mark.parametrize("names", [["X86"], ["X86", "X32"], ["AARCH64", "ARM"]])
def test_architectures(names: list[str]):
    rule = {"args": [{"index": 0, "value": 2, "op": "SCMP_CMP_GT"}], "errnoRet": 7}
    same_as_libseccomp(profile(rule, architectures=[f"SCMP_ARCH_{name}" for name in names]))


NATIVE = lib.system_arch() & 0xFFFFFFFF
UNKNOWN = [name for name in ("statmount", "mseal", "listns") if lib.resolve_syscall(lib.Arch.NATIVE, name) == -1]


@pytest.mark.skipif(not UNKNOWN, reason="this libseccomp knows them all")
@pytest.mark.parametrize("name", UNKNOWN)
def test_a_rule_for_a_call_that_libseccomp_lacks_holds(name: str):
    rule = {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    made = compile_filter(seccomp({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, ""))
    assert made.unknown == ()
    assert decide(made.bpf, NATIVE, added.NUMBERS[name]) == bpf.ERRNO | 13
    assert decide(made.bpf, NATIVE, added.NUMBERS[name] - 1) == bpf.ALLOW


@pytest.mark.skipif(not UNKNOWN, reason="this libseccomp knows them all")
@pytest.mark.parametrize("name", UNKNOWN)
def test_it_counts_for_what_is_newer_than_the_profile(name: str):
    rule = {"names": ["read", name], "action": "SCMP_ACT_ALLOW"}
    program = compile_filter(seccomp({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}, "")).bpf
    assert decide(program, NATIVE, added.NUMBERS[name]) == bpf.ALLOW
    assert decide(program, NATIVE, added.NUMBERS[name] - 1) == bpf.ERRNO | errno.EPERM
    assert decide(program, NATIVE, added.NUMBERS[name] + 1) == bpf.ERRNO | errno.ENOSYS


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}, "/defaultErrnoRet"),
        ({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 1 << 16}, "/defaultErrnoRet"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4095}]}, "/syscalls/0/errnoRet"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 1 << 16}]}, "/syscalls/0/errnoRet"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]}, "/syscalls/0/errnoRet"),
    ],
)
def test_numbers_that_cannot_be_returned(document: dict, pointer: str):
    checked = seccomp({"defaultAction": "SCMP_ACT_ALLOW", **document}, "/linux/seccomp")
    with pytest.raises(ConfigError) as caught:
        planner.check(checked)
    assert caught.value.pointer == f"/linux/seccomp{pointer}"


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4094}, bpf.ERRNO | 4094),
        ({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 0xFFFF}, bpf.TRACE | 0xFFFF),
    ],
)
def test_the_largest_numbers_that_can(document: dict, answer: int):
    checked = seccomp({**document, "syscalls": [{"names": ["read", "mseal"], "action": "SCMP_ACT_ALLOW"}]}, "/linux/seccomp")
    planner.check(checked)
    assert decide(compile_filter(checked).bpf, NATIVE, lib.resolve_syscall(lib.Arch.NATIVE, "write")) == answer
