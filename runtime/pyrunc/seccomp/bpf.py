"""What a filter is made of: instructions of classic BPF (include/uapi/linux/bpf_common.h, filter.h), and running them."""

from __future__ import annotations

from _struct import pack, unpack_from

LOAD, JEQ, JGT, JGE, JSET, JA, AND, RET = 0x20, 0x15, 0x25, 0x35, 0x45, 0x05, 0x54, 0x06
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16  # in struct seccomp_data; of 64-bit arguments the low half comes first
INSTRUCTION = 8  # sizeof(struct sock_filter)
# What a filter returns: SECCOMP_RET_* (include/uapi/linux/seccomp.h).
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
NOTIFY, TRACE, LOG, ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000


def instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Return one struct sock_filter; YES and NO are how many instructions a jump leaves out."""
    return pack("=HBBI", code, yes, no, value)


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
        elif code == JA:
            place += value
        elif code == AND:
            accumulator &= value
        elif code in (JEQ, JGT, JGE, JSET):
            tests = {JEQ: accumulator == value, JGT: accumulator > value, JGE: accumulator >= value}
            place += yes if tests.get(code, bool(accumulator & value)) else no
        else:
            raise ValueError(f"instruction {code:#x}")
    raise ValueError("the program does not return")
