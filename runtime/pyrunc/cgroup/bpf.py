"""The device rules as an eBPF program, which is how cgroup version 2 controls devices.

The program gets a struct bpf_cgroup_dev_ctx {access_type, major, minor}, tries
the rules from the last to the first for each letter of the access, and returns
1 to allow and 0 to deny
(include/uapi/linux/bpf.h; instructions: Documentation/bpf/instruction-set).
"""

from __future__ import annotations

import posix
from _struct import pack

from pyrunc.cgroup.devices import ALL, Rule
from pyrunc.linux.abi import NR, Buffer, syscall

BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_GET_FD_BY_ID, BPF_PROG_QUERY = 5, 8, 9, 13, 16
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI, BPF_F_REPLACE = 2, 4
DEVCG_DEV_BLOCK, DEVCG_DEV_CHAR = 1, 2
ACCESS = {"m": 1, "r": 2, "w": 4}
ATTR_SIZE = 72

# Opcodes.
LOAD32, AND_IMM, RSH_IMM, MOV_REG, MOV_IMM, EXIT = 0x61, 0x54, 0x74, 0xBC, 0xB4, 0x95
JEQ_IMM, JNE_IMM = 0x15, 0x55
INSTRUCTION = 8
R0, R1, R2, R3, R4, R5, R6 = range(7)


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Return one struct bpf_insn."""
    return pack("=BBhi", code, src << 4 | dst, offset, value)


def _block(rule: Rule) -> bytes:
    """Return the instructions of one RULE: leave with its verdict, or fall through to the next.

    R3 holds the letters of the access that no later rule has decided.
    """
    tests: list[tuple[int, int, int]] = []
    if rule.type != "a":
        tests.append((JNE_IMM, R2, DEVCG_DEV_BLOCK if rule.type == "b" else DEVCG_DEV_CHAR))
        if rule.major != ALL:
            tests.append((JNE_IMM, R4, rule.major))
        if rule.minor != ALL:
            tests.append((JNE_IMM, R5, rule.minor))
    verdict = _verdict(rule)
    steps = len(verdict) // INSTRUCTION
    out = b""
    for index, (code, dst, value) in enumerate(tests):
        out += _instruction(code, dst, 0, len(tests) - index - 1 + steps, value)
    return out + verdict


def _verdict(rule: Rule) -> bytes:
    """Return what is done for a device that RULE is about."""
    leave = _instruction(MOV_IMM, R0, value=int(rule.allow)) + _instruction(EXIT)
    mask = sum(ACCESS[letter] for letter in set(rule.access))
    if mask == sum(ACCESS.values()):
        return leave
    if rule.allow:  # its letters are granted: leave if they were the last
        return _instruction(AND_IMM, R3, value=~mask) + _instruction(JNE_IMM, R3, 0, 2, 0) + leave
    # one refused letter is enough
    return _instruction(MOV_REG, R6, R3) + _instruction(AND_IMM, R6, value=mask) + _instruction(JEQ_IMM, R6, 0, 2, 0) + leave


def program(found: tuple[Rule, ...]) -> bytes:
    """Return the instructions that decide by rules FOUND, deny being the default."""
    head = (
        _instruction(LOAD32, R2, R1, 0)
        + _instruction(MOV_REG, R3, R2)
        + _instruction(AND_IMM, R2, value=0xFFFF)
        + _instruction(RSH_IMM, R3, value=16)
        + _instruction(LOAD32, R4, R1, 4)
        + _instruction(LOAD32, R5, R1, 8)
    )
    blocks = b""
    for rule in reversed(found):
        blocks += _block(rule)
        if rule.type == "a":
            return head + blocks  # what followed could never be reached, and the kernel refuses such code
    return head + blocks + _instruction(MOV_IMM, R0, value=0) + _instruction(EXIT)


def _bpf(command: int, attr: bytes) -> int:
    """bpf(2); attributes beyond ATTR are zero."""
    return syscall(NR["bpf"], command, attr.ljust(ATTR_SIZE, b"\0"), ATTR_SIZE)


def attached(directory: str) -> tuple[int, ...]:
    """Return the ids of the device programs attached to the cgroup at DIRECTORY itself."""
    cgroup = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        return tuple(_attached(cgroup))
    finally:
        posix.close(cgroup)


def detach(directory: str, kept: tuple[int, ...]) -> None:
    """Detach every device program of the cgroup at DIRECTORY but those whose ids are KEPT."""
    cgroup = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        for number in _attached(cgroup):
            if number not in kept:
                fd = _bpf(BPF_PROG_GET_FD_BY_ID, pack("=I", number))
                try:
                    _bpf(BPF_PROG_DETACH, pack("=IIII", cgroup, fd, BPF_CGROUP_DEVICE, 0))
                finally:
                    posix.close(fd)
    finally:
        posix.close(cgroup)


def attach(directory: str, instructions: bytes, kept: tuple[int, ...] = ()) -> None:
    """Make INSTRUCTIONS the only device program of the cgroup at DIRECTORY beside those whose ids are KEPT.

    One that is there is replaced in one call (Linux 5.6), so there is no moment
    without rules, nor one with both.  Of several, which are not ours alone, the
    others are taken away after that.
    """
    cgroup = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    fds: list[int] = [cgroup]
    try:
        code, licence = Buffer(instructions), Buffer(b"Apache-2.0\0")
        size = len(instructions) // 8
        fds.append(loaded := _bpf(BPF_PROG_LOAD, pack("=IIQQ", BPF_PROG_TYPE_CGROUP_DEVICE, size, code.address, licence.address)))
        old = [_bpf(BPF_PROG_GET_FD_BY_ID, pack("=I", number)) for number in _attached(cgroup) if number not in kept]
        fds += old
        how = BPF_F_ALLOW_MULTI | (BPF_F_REPLACE if old else 0)
        _bpf(BPF_PROG_ATTACH, pack("=IIIII", cgroup, loaded, BPF_CGROUP_DEVICE, how, old[0] if old else 0))
        for fd in old[1:]:
            _bpf(BPF_PROG_DETACH, pack("=IIII", cgroup, fd, BPF_CGROUP_DEVICE, 0))
    finally:
        for fd in fds:
            posix.close(fd)


def _attached(cgroup: int) -> list[int]:
    """Return the ids of the device programs attached to CGROUP itself."""
    room = 64
    ids = Buffer(4 * room)
    attr = Buffer(pack("=IIIIQI", cgroup, BPF_CGROUP_DEVICE, 0, 0, ids.address, room).ljust(ATTR_SIZE, b"\0"))
    syscall(NR["bpf"], BPF_PROG_QUERY, attr.address, ATTR_SIZE)
    count = int.from_bytes(bytes(attr)[24:28], "little")
    return [int.from_bytes(bytes(ids)[4 * i : 4 * i + 4], "little") for i in range(count)]
