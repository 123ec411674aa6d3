"""A profile becomes a BPF program by libseccomp, through pyseccomp: the slow path.

System calls that are newer than anything the profile names are answered with
ENOSYS, as runc alone does: a program then takes its old way, where EPERM would
make it fail.  libseccomp cannot say that, so a few instructions are put before
its own; and so are those for calls that it is too old to know (added.py).
"""

from __future__ import annotations

import posix
from _struct import pack

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.record import Record
from pyrunc.seccomp import added, entry, library
from pyrunc.seccomp.bpf import ERRNO, INSTRUCTION, JEQ, JGE, JGT, LOAD, OFFSET_ARCH, OFFSET_NR, RET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

    from pyrunc.oci.seccomp import Seccomp, Syscall
    from pyrunc.seccomp.entry import Entry

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


class Compiled(Record):
    """A BPF program (struct sock_filter[]), and the system calls that nobody knows."""

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


def compiled(seccomp: Seccomp) -> Entry:
    """Return the program for profile SECCOMP as it is kept.  Raises what compile_filter raises."""
    made = compile_filter(seccomp)
    return entry.new(library.loaded_file(), made.unknown, made.bpf)


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
    for index, rule in enumerate(seccomp.syscalls):
        at = f"{AT}/syscalls/{index}"
        action = _action(lib, rule.action, rule.errnoRet, f"{at}/action")
        if action != default:  # libseccomp refuses what changes nothing
            _add_rule(lib, made, rule, action, at)
    names = dict.fromkeys(name for rule in seccomp.syscalls for name in rule.names)
    strange = [name for name in names if lib.resolve_syscall(lib.Arch.NATIVE, name) == UNKNOWN]
    architectures = _architectures(lib, seccomp)
    bpf = added.rules(seccomp, frozenset(strange), architectures) + _export(made)
    if _answers_enosys(seccomp):
        bpf = _newest(lib, names, architectures) + bpf
    return Compiled(bpf, tuple(name for name in strange if not added.known(name)))


def _action(lib: ModuleType, name: str, errno: int | None, at: str) -> Any:
    """Return libseccomp's action for the specification's NAME."""
    number = EPERM if errno is None else errno
    simple = {
        "SCMP_ACT_KILL": lib.KILL,
        "SCMP_ACT_KILL_THREAD": lib.KILL,
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
        raise UnsupportedError(f"the installed libseccomp does not know {name}", pointer=at, hint="remove it")
    if made.exist_arch(arch):
        return
    try:
        made.add_arch(arch)
    except OSError:
        text = f"{name} cannot share a filter with this machine's architecture"
        raise UnsupportedError(text, pointer=at, hint="their byte orders differ: remove it") from None


def _add_rule(lib: ModuleType, made: Any, rule: Syscall, action: Any, at: str) -> None:
    """Add RULE, that is ACTION for each of its system calls that libseccomp knows."""
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
    for index, name in enumerate(rule.names):
        if lib.resolve_syscall(lib.Arch.NATIVE, name) == UNKNOWN:
            continue
        try:
            for group in groups:
                made.add_rule(action, name, *group)
        except (OSError, ValueError, RuntimeError) as error:
            at_name = f"{at}/names/{index}"
            raise ConfigError(
                f"libseccomp refuses the rule for {name}: {error}",
                pointer=at_name,
                hint="correct the rule, or remove it: see seccomp_rule_add(3)",
            ) from None


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


def _number(lib: ModuleType, arch: int, name: str) -> int:
    """Return the number of system call NAME on ARCH; negative if it has none there."""
    number = int(lib.resolve_syscall(arch, name))
    return added.number(arch, name) if number == UNKNOWN else number


def _newest(lib: ModuleType, names: Iterable[str], architectures: list[int]) -> bytes:
    """Return instructions that answer ENOSYS to numbers above the newest of system calls NAMES.

    For each of ARCHITECTURES: if this is it, and nr > newest, return ERRNO(ENOSYS).
    """
    out = pack("=HBBI", LOAD, 0, 0, OFFSET_ARCH)
    for arch in architectures:
        numbers = [number for name in names if (number := _number(lib, arch, name)) >= 0]
        # x32 shares x86_64's audit number and sets bit 30: its numbers are left to libseccomp.
        if not numbers or arch == _token(lib.Arch.X32):
            continue
        block = pack("=HBBI", LOAD, 0, 0, OFFSET_NR)
        if arch == _token(lib.Arch.X86_64):
            block += pack("=HBBI", JGE, 2, 0, added.X32_BIT)
        block += pack("=HBBI", JGT, 0, 1, max(numbers))
        block += pack("=HBBI", RET, 0, 0, ERRNO | ENOSYS)
        block += pack("=HBBI", LOAD, 0, 0, OFFSET_ARCH)
        # libseccomp's token of an architecture is its audit number.
        out += pack("=HBBI", JEQ, 0, len(block) // INSTRUCTION, arch & 0xFFFFFFFF) + block
    return out


def _architectures(lib: ModuleType, seccomp: Seccomp) -> list[int]:
    """Return the architectures of the filter, the native one first."""
    found = [_token(lib.system_arch())]
    for name in seccomp.architectures:
        arch = _token(getattr(lib.Arch, name.removeprefix("SCMP_ARCH_")))
        if arch not in found:
            found.append(arch)
    return found


def _token(arch: int) -> int:
    """Return libseccomp's token ARCH as a C int, which its own bindings take; pyseccomp takes either."""
    return ((arch & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
