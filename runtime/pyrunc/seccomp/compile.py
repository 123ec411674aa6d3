"""A profile becomes a BPF program by libseccomp, through pyseccomp: the slow path.

System calls that are newer than anything the profile names are answered with
ENOSYS, as runc alone does: a program then takes its old way, where EPERM would
make it fail.  libseccomp cannot say that, so a few instructions are put before
its own.
"""

from __future__ import annotations

import posix
from _struct import pack, unpack_from

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.record import Record
from pyrunc.seccomp import library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from pyrunc.oci.seccomp import Seccomp, Syscall

AT = "/linux/seccomp"
EPERM, ENOSYS = 1, 38
UNKNOWN = -1  # __NR_SCMP_ERROR; other negative numbers are calls of other architectures
# seccomp(2), include/uapi/linux/seccomp.h
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
NEW_LISTENER = 8
TSYNC_ESRCH = 16  # what TSYNC needs beside a listener: both would return something
NOTIFY = "SCMP_ACT_NOTIFY"
SECCOMP_RET_ERRNO = 0x00050000
X32_BIT = 0x40000000
LOAD, JEQ, JGT, JGE, RET = 0x20, 0x15, 0x25, 0x35, 0x06
OFFSET_NR, OFFSET_ARCH = 0, 4
INSTRUCTION = 8


class Compiled(Record):
    """A BPF program (struct sock_filter[]), and the system calls that libseccomp did not know."""

    bpf: bytes
    unknown: tuple[str, ...] = ()


def flags(seccomp: Seccomp) -> int:
    """Return the flags for seccomp(2).

    Without notifications, what is about waiting for an answer changes nothing,
    and the kernel does not take it.
    """
    found = sum(FLAGS[name] for name in set(seccomp.flags))
    if NOTIFY in (seccomp.defaultAction, *(rule.action for rule in seccomp.syscalls)):
        return found | NEW_LISTENER | (TSYNC_ESRCH if found & FLAGS["SECCOMP_FILTER_FLAG_TSYNC"] else 0)
    return found & ~FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]


def compile_filter(seccomp: Seccomp) -> Compiled:
    """Return the program for profile SECCOMP.

    Raises ConfigError for a rule that libseccomp refuses, UnsupportedError
    for an architecture that it does not know.
    """
    lib = library.load()
    default = _action(lib, seccomp.defaultAction, seccomp.defaultErrnoRet, f"{AT}/defaultAction")
    made = lib.SyscallFilter(default)
    made.set_attr(lib.Attr.CTL_NNP, 0)
    for index, name in enumerate(seccomp.architectures):
        _add_arch(lib, made, name, f"{AT}/architectures/{index}")
    unknown: list[str] = []
    for index, rule in enumerate(seccomp.syscalls):
        at = f"{AT}/syscalls/{index}"
        action = _action(lib, rule.action, rule.errnoRet, f"{at}/action")
        if action != default:  # libseccomp refuses what changes nothing
            unknown += _add_rule(lib, made, rule, action, at)
    bpf = _export(made)
    if _answers_enosys(seccomp):
        bpf = _newest(lib, seccomp) + bpf
    return Compiled(bpf, tuple(unknown))


def _action(lib: ModuleType, name: str, errno: int | None, at: str) -> Any:
    """Return libseccomp's action for the specification's NAME."""
    number = EPERM if errno is None else errno
    simple = {
        "SCMP_ACT_KILL": lib.KILL_THREAD,
        "SCMP_ACT_KILL_THREAD": lib.KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS": lib.KILL_PROCESS,
        "SCMP_ACT_TRAP": lib.TRAP,
        "SCMP_ACT_ALLOW": lib.ALLOW,
        "SCMP_ACT_LOG": lib.LOG,
        NOTIFY: lib.NOTIFY,
    }
    if name in simple:
        return simple[name]
    if number > 0xFFFF:
        raise ConfigError(f"errnoRet {number} does not fit 16 bits", pointer=at, hint="use an errno")
    return lib.ERRNO(number) if name == "SCMP_ACT_ERRNO" else lib.TRACE(number)


def _add_arch(lib: ModuleType, made: Any, name: str, at: str) -> None:
    """Add architecture NAME to the filter, unless it is there."""
    arch = getattr(lib.Arch, name.removeprefix("SCMP_ARCH_"), None)
    if arch is None:
        raise UnsupportedError(f"the installed pyseccomp does not know {name}", pointer=at, hint="remove it")
    if made.exist_arch(arch):
        return
    try:
        made.add_arch(arch)
    except OSError:
        text = f"{name} cannot share a filter with this machine's architecture"
        raise UnsupportedError(text, pointer=at, hint="their byte orders differ: remove it") from None


def _add_rule(lib: ModuleType, made: Any, rule: Syscall, action: Any, at: str) -> list[str]:
    """Add RULE, that is ACTION for each of its system calls; return the names that libseccomp does not know."""
    compare = {
        "SCMP_CMP_NE": lib.NE, "SCMP_CMP_LT": lib.LT, "SCMP_CMP_LE": lib.LE, "SCMP_CMP_EQ": lib.EQ,
        "SCMP_CMP_GE": lib.GE, "SCMP_CMP_GT": lib.GT, "SCMP_CMP_MASKED_EQ": lib.MASKED_EQ,
    }  # fmt: skip
    conditions = []
    for arg in rule.args:
        values = (arg.value, arg.valueTwo) if arg.op == "SCMP_CMP_MASKED_EQ" else (arg.value,)
        conditions.append(lib.Arg(arg.index, compare[arg.op], *values))
    indexes = [arg.index for arg in rule.args]
    # One rule takes each argument once; of several conditions on one, any may hold (as runc reads it).
    groups = [conditions] if len(set(indexes)) == len(indexes) else [[condition] for condition in conditions]
    unknown = []
    for index, name in enumerate(rule.names):
        if lib.resolve_syscall(lib.Arch.NATIVE, name) == UNKNOWN:
            unknown.append(name)
            continue
        try:
            for group in groups:
                made.add_rule(action, name, *group)
        except (OSError, ValueError, RuntimeError) as error:
            at_name = f"{at}/names/{index}"
            raise ConfigError(f"libseccomp refuses the rule for {name}: {error}", pointer=at_name) from None
    return unknown


def _export(made: Any) -> bytes:
    """Return the program that libseccomp generates."""
    import os

    fd = posix.memfd_create("seccomp", posix.MFD_CLOEXEC)
    with os.fdopen(fd, "w+b") as file:
        made.export_bpf(file)
        return posix.pread(fd, posix.fstat(fd).st_size, 0)


def _answers_enosys(seccomp: Seccomp) -> bool:
    """Return whether unnamed calls would fail at all; where they are allowed, so are new ones."""
    return seccomp.defaultAction not in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")


def _newest(lib: ModuleType, seccomp: Seccomp) -> bytes:
    """Return instructions that answer ENOSYS to numbers above the newest that SECCOMP names.

    For each architecture: if this is it, and nr > newest, return ERRNO(ENOSYS).
    """
    names = {name for rule in seccomp.syscalls for name in rule.names}
    out = pack("=HBBI", LOAD, 0, 0, OFFSET_ARCH)
    for arch in _architectures(lib, seccomp):
        numbers = [number for name in names if (number := lib.resolve_syscall(arch, name)) >= 0]
        # x32 shares x86_64's audit number and sets bit 30: its numbers are left to libseccomp.
        if not numbers or arch == lib.Arch.X32:
            continue
        block = pack("=HBBI", LOAD, 0, 0, OFFSET_NR)
        if arch == lib.Arch.X86_64:
            block += pack("=HBBI", JGE, 2, 0, X32_BIT)
        block += pack("=HBBI", JGT, 0, 1, max(numbers))
        block += pack("=HBBI", RET, 0, 0, SECCOMP_RET_ERRNO | ENOSYS)
        block += pack("=HBBI", LOAD, 0, 0, OFFSET_ARCH)
        # libseccomp's token of an architecture is its audit number.
        out += pack("=HBBI", JEQ, 0, len(block) // INSTRUCTION, arch & 0xFFFFFFFF) + block
    return out


def _architectures(lib: ModuleType, seccomp: Seccomp) -> list[int]:
    """Return the architectures of the filter, the native one first."""
    found = [lib.system_arch()]
    for name in seccomp.architectures:
        arch = getattr(lib.Arch, name.removeprefix("SCMP_ARCH_"))
        if arch not in found:
            found.append(arch)
    return found


def decide(bpf: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """Return what program BPF answers to system call NUMBER on ARCH (seccomp(2)): run it.

    Raises ValueError for a program that is not one.
    """
    data = pack("=iIQ6Q", number, arch, 0, *(*args, 0, 0, 0, 0, 0, 0)[:6])
    place = accumulator = 0
    while place * INSTRUCTION < len(bpf):
        code, yes, no, value = unpack_from("=HBBI", bpf, place * INSTRUCTION)
        place += 1
        if code == LOAD:
            accumulator = unpack_from("=I", data, value)[0]
        elif code == RET:
            return int(value)
        elif code == 0x05:
            place += value
        elif code == 0x54:
            accumulator &= value
        elif code in (JEQ, JGT, JGE, 0x45):
            tests = {JEQ: accumulator == value, JGT: accumulator > value, JGE: accumulator >= value}
            place += yes if tests.get(code, bool(accumulator & value)) else no
        else:
            raise ValueError(f"instruction {code:#x}")
    raise ValueError("the program does not return")
