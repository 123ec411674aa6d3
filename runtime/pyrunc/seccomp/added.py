"""System calls that the kernel has and an older libseccomp has not, by number, and rules about them.

The numbers are those of the kernel's syscall tables (arch/*/syscalls/*.tbl and
scripts/syscall.tbl, as of Linux 7.0, looked up in November 2026).  From 424 on
they are the same on all architectures, counted from each one's first.  The
table begins where libseccomp 2.5.0 ends.
"""

from __future__ import annotations

from pyrunc.seccomp import bpf
from pyrunc.seccomp.bpf import AND, JA, JEQ, JGE, JGT, LOAD, OFFSET_ARCH, OFFSET_ARGS, OFFSET_NR, RET, instruction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.seccomp import Arg, Seccomp, Syscall

FIRST = 440
NAMES = (
    "process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule "
    "landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 "
    "map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr "
    "lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr "
    "listns rseq_slice_yield"
).split()
NUMBERS = {name: FIRST + place for place, name in enumerate(NAMES)}
# audit's numbers of architectures (include/uapi/linux/audit.h), which libseccomp's tokens are, but for x32's.
X86_64, X86, X32 = 0xC000003E, 0x40000003, 0x4000003E
ARM, AARCH64, RISCV64, LOONGARCH64 = 0x40000028, 0xC00000B7, 0xC00000F3, 0xC0000102
X32_BIT = 0x40000000
OF_ONE = {"uretprobe": {X86_64: 335}, "uprobe": {X86_64: 336}}
# Where a number is reserved and nothing behind it.
NOT_ON = {"memfd_secret": (ARM,)}
NARROW = (X86, X32, ARM)
ARCHITECTURES = (X86_64, X86, X32, ARM, AARCH64, RISCV64, LOONGARCH64)
UNKNOWN = -1
EPERM = 1
RETURNS = {
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.TRAP,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_ALLOW": bpf.ALLOW,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_NOTIFY": bpf.NOTIFY,
}
LOW, ALL = (1 << 32) - 1, (1 << 64) - 1
# Of each operator: the jump that compares, and whether the condition holds where that does not.
TESTS = {
    "SCMP_CMP_EQ": (JEQ, False),
    "SCMP_CMP_NE": (JEQ, True),
    "SCMP_CMP_MASKED_EQ": (JEQ, False),
    "SCMP_CMP_GT": (JGT, False),
    "SCMP_CMP_LE": (JGT, True),
    "SCMP_CMP_GE": (JGE, False),
    "SCMP_CMP_LT": (JGE, True),
}
WITH_ERRNO = (bpf.ERRNO, bpf.TRACE)


def known(name: str) -> bool:
    """Return whether the table has system call NAME, on whatever architecture."""
    return name in NUMBERS or name in OF_ONE


def number(arch: int, name: str) -> int:
    """Return the number of system call NAME on ARCH, libseccomp's token; -1 if it has none there, or is not in the table."""
    arch &= 0xFFFFFFFF
    if name in OF_ONE:
        return OF_ONE[name].get(arch, UNKNOWN)
    if name not in NUMBERS or arch not in ARCHITECTURES or arch in NOT_ON.get(name, ()):
        return UNKNOWN
    return NUMBERS[name] | (X32_BIT if arch == X32 else 0)


def rules(seccomp: Seccomp, names: frozenset[str], architectures: list[int]) -> bytes:
    """Return instructions that answer for system calls NAMES as SECCOMP has it, on ARCHITECTURES.

    What no rule is about goes on behind them.  As libseccomp does it, a rule
    without conditions counts before all others for its call, and one that is
    the default action counts for nothing.
    """
    out = b""
    default = answer(seccomp.defaultAction, seccomp.defaultErrnoRet)
    for name in sorted(names):
        found = [rule for rule in seccomp.syscalls if name in rule.names and answer(rule.action, rule.errnoRet) != default]
        found = [rule for rule in found if not rule.args][:1] or found
        for arch in architectures if found else ():
            if (nr := number(arch, name)) >= 0:
                narrow = arch & 0xFFFFFFFF in NARROW
                out += _for_call(arch, nr, b"".join(_rule(rule, narrow=narrow) for rule in found))
    return out


def answer(action: str, errno: int | None) -> int:
    """Return what a filter returns for ACTION."""
    value = RETURNS[action]
    return value | (EPERM if errno is None else errno) if value in WITH_ERRNO else value


def _for_call(arch: int, nr: int, code: bytes) -> bytes:
    """Return CODE behind tests for the call with number NR on ARCH."""
    audit = X86_64 if arch & 0xFFFFFFFF == X32 else arch & 0xFFFFFFFF
    over = instruction(JA, len(code) // bpf.INSTRUCTION)  # a conditional jump goes no further than 255
    return b"".join(
        (
            instruction(LOAD, OFFSET_ARCH),
            instruction(JEQ, audit, 0, 2),
            instruction(LOAD, OFFSET_NR),
            instruction(JEQ, nr, 1, 0),
            over,
            code,
        )
    )


def _rule(rule: Syscall, *, narrow: bool) -> bytes:
    """Return instructions that answer for RULE's conditions, which go on behind them where those do not hold.

    NARROW says that arguments have 32 bits: as libseccomp does it, more are not looked at.
    """
    condition = _narrow if narrow else _wide
    end = instruction(RET, answer(rule.action, rule.errnoRet))
    indexes = [arg.index for arg in rule.args]
    if len(set(indexes)) < len(indexes):  # of several about one argument any may hold
        return b"".join(condition(arg, 1) + end for arg in rule.args)
    code = end
    for arg in reversed(rule.args):
        code = condition(arg, len(code) // bpf.INSTRUCTION) + code
    return code


def _parts(arg: Arg) -> tuple[int, int]:
    """Return the mask and the value that ARG compares with."""
    if arg.op == "SCMP_CMP_MASKED_EQ":
        return arg.value, arg.valueTwo & arg.value
    return ALL, arg.value


def _last(arg: Arg, value: int, rest: int) -> bytes:
    """Return the comparison with VALUE that decides about ARG, and leaves out the REST unless it holds."""
    code, negated = TESTS[arg.op]
    return instruction(code, value, *((rest, 0) if negated else (0, rest)))


def _narrow(arg: Arg, rest: int) -> bytes:
    """Return instructions that leave out the REST behind them unless ARG holds for an argument of 32 bits."""
    mask, value = _parts(arg)
    load = instruction(LOAD, OFFSET_ARGS + 8 * arg.index) + instruction(AND, mask & LOW)
    return load + _last(arg, value & LOW, rest)


def _wide(arg: Arg, rest: int) -> bytes:
    """Return instructions that leave out the REST behind them unless ARG holds, by both halves of an argument of 64 bits."""
    mask, value = _parts(arg)
    top = value >> 32
    low = _narrow(arg, rest)
    over = len(low) // bpf.INSTRUCTION  # the whole condition has been decided by the upper half
    code, negated = TESTS[arg.op]
    upper = instruction(LOAD, OFFSET_ARGS + 8 * arg.index + 4) + instruction(AND, mask >> 32)
    if code == JEQ:
        return upper + instruction(JEQ, top, 0, over if negated else over + rest) + low
    above, below = (over + rest, over) if negated else (over, over + rest)
    return upper + instruction(JGT, top, above + 1, 0) + instruction(JEQ, top, 0, below) + low
