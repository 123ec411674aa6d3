"""Instructions before a filter that let one call through: that by which an init waits for `start` under it.

It is futex(2) with FUTEX_WAIT and, in the argument that FUTEX_WAIT does not
use, a number of ours.  Whatever a filter forbids, this gives a program no more
than a way to sleep.
"""

from __future__ import annotations

from pyrunc.linux.abi import MACHINE, NR
from pyrunc.linux.process import FUTEX_WAIT
from pyrunc.seccomp.bpf import ALLOW, INSTRUCTION, JEQ, LOAD, OFFSET_ARCH, OFFSET_ARGS, OFFSET_NR, RET, instruction

# include/uapi/linux/audit.h: AUDIT_ARCH_*, by machine; the 32-bit names are what personality(2) makes of the others.
X86_64, AARCH64 = 0xC000003E, 0xC00000B7
AUDIT = {"x86_64": X86_64, "i686": X86_64, "aarch64": AARCH64, "armv8l": AARCH64}
AUDIT |= {"riscv64": 0xC00000F3, "loongarch64": 0xC0000102}
COOKIE = 0x70797263


def allowed() -> bytes:
    """Return the instructions."""
    tests = ((OFFSET_ARCH, AUDIT[MACHINE]), (OFFSET_NR, NR["futex"]), (OFFSET_ARGS + 8, FUTEX_WAIT), (OFFSET_ARGS + 40, COOKIE))
    out = instruction(RET, ALLOW)
    for offset, value in reversed(tests):
        out = instruction(LOAD, offset) + instruction(JEQ, value, 0, len(out) // INSTRUCTION) + out
    return out
