"""/linux/seccomp (config-linux.md, "Seccomp")."""

from __future__ import annotations

from pyrunc.oci.convert import UINT32, UINT64, array, empty, integer, one_of, record, string, strings
from pyrunc.record import Record

ACTIONS = tuple(
    f"SCMP_ACT_{name}"
    for name in "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG NOTIFY".split()
)
OPERATORS = tuple(f"SCMP_CMP_{name}" for name in "NE LT LE EQ GE GT MASKED_EQ".split())
ARCHITECTURES = tuple(
    f"SCMP_ARCH_{name}"
    for name in (
        "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE "
        "S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB"
    ).split()
)
FLAGS = tuple(
    f"SECCOMP_FILTER_FLAG_{name}" for name in "TSYNC LOG SPEC_ALLOW WAIT_KILLABLE_RECV".split()
)
# Without the property, as with runc; an empty list is none.  A filter alone does not slow its process down then, as it does
# before Linux 5.16, by what is done against speculation (CVE-2018-3639).
DEFAULT_FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)


class Arg(Record):
    """A condition on one argument of a system call."""

    index: int
    value: int
    op: str
    valueTwo: int = 0


class Syscall(Record):
    """What happens to the system calls in `names`."""

    names: tuple[str, ...]
    action: str
    errnoRet: int | None = None
    args: tuple[Arg, ...] = ()


class Seccomp(Record):
    """A system call filter."""

    defaultAction: str
    defaultErrnoRet: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = DEFAULT_FLAGS
    listenerPath: str = ""
    listenerMetadata: str = ""
    syscalls: tuple[Syscall, ...] = ()



def _names(value: object, at: str) -> tuple[str, ...]:
    """Check the names of system calls, of which there has to be one."""
    names = strings(value, at)
    if not names:
        raise empty(at)
    return names


_uint32, _uint64 = integer(UINT32), integer(UINT64)
_action = one_of(*ACTIONS)
_arg = record(Arg, "index value op", index=integer((0, 5)), value=_uint64, valueTwo=_uint64, op=one_of(*OPERATORS))
_syscall = record(
    Syscall, "names action", names=_names, action=_action, errnoRet=_uint32, args=array(_arg)
)
seccomp = record(
    Seccomp,
    "defaultAction",
    defaultAction=_action,
    defaultErrnoRet=_uint32,
    architectures=array(one_of(*ARCHITECTURES)),
    flags=array(one_of(*FLAGS)),
    listenerPath=string,
    listenerMetadata=string,
    syscalls=array(_syscall),
)
