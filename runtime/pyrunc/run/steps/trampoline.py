"""Execute what the kernel hands to an interpreter of binfmt_misc's: a program for another machine, say, by qemu-user.

The interpreter gets the program's path and opens it, so a descriptor that is
closed by then is no name for it: execveat(2) fails with ENOENT.  A path in the
container may lead elsewhere by the time it is executed, and that must not be to
our own program, by /proc/self/exe.  So the process first becomes a program of a
few instructions, in sealed memory, which executes the path: from then on it is
its file that /proc/self/exe leads to.
"""

from __future__ import annotations

import posix
from _struct import pack
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

from pyrunc.host.facts import kernel_version
from pyrunc.linux import process as p
from pyrunc.record import Record
from pyrunc.run.steps import execfailure

MFD_EXEC, HAS_MFD_EXEC = 0x10, (6, 3)  # memfd_create(2): what vm.memfd_noexec wants to be told
BASE = 0x400000
EHDR, PHDR, HEADERS = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", 64 + 2 * 56
PT_LOAD, PT_GNU_STACK, PF_RX, PF_RW = 1, 0x6474E551, 5, 6


class Trampoline(Record):
    """The program, in memory behind `fd`, and the `image` by which it executes a path."""

    fd: int
    image: p.Image


def prepare(proc: int, path: str, args: tuple[str, ...], env: tuple[str, ...], head: bytes) -> Trampoline | None:
    """Return what executes PATH with ARGS and ENV, should it be needed: the program begins with HEAD.

    None for a program of this machine's, which no interpreter gets, and where there is no way.  PROC is the host's procfs, or -1.
    """
    here = posix.uname().machine
    if proc < 0 or here not in CODES or execfailure.elf_machine(head) == CODES[here][0]:
        return None
    machine, code = CODES[here]
    text = f"exec {path}: the interpreter that binfmt_misc has for it cannot be executed\n".encode("utf-8", "surrogateescape")
    try:
        return Trampoline(fd=_in_memory(proc, _elf(machine, code(text))), image=p.Image((path, *args), env))
    except OSError:
        return None  # vm.memfd_noexec, or no descriptor is left: the kernel says what becomes of it


def _in_memory(proc: int, data: bytes) -> int:
    """Return a descriptor of a file in memory with DATA that nobody can change."""
    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    if kernel_version(posix.uname().release) >= HAS_MFD_EXEC:
        flags |= MFD_EXEC
    fd = posix.memfd_create("trampoline", flags)
    try:
        posix.write(fd, data)
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
        # By another descriptor: while this one may write, the file is busy (ETXTBSY).
        return posix.open(f"self/fd/{fd}", posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=proc)
    finally:
        posix.close(fd)


def _elf(machine: int, code: bytes) -> bytes:
    """Return CODE as a static program for MACHINE (elf(5))."""
    size = HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = pack(EHDR, ident, 2, machine, 1, BASE + HEADERS, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = pack(PHDR, PT_LOAD, PF_RX, 0, BASE, BASE, size, size, 4096)
    stack = pack(PHDR, PT_GNU_STACK, PF_RW, 0, 0, 0, 0, 0, 16)
    return header + load + stack + code


# Both: execve(argv[0], argv + 1, envp); if that returns, write the text to standard error, and end with runc's status, 255.
def _x86_64(text: bytes) -> bytes:
    """Return the code for x86-64, with TEXT."""
    before = bytes.fromhex(
        "488b7c2408"  # mov  rdi, [rsp + 8]
        "488d742410"  # lea  rsi, [rsp + 16]
        "488b0424"  # mov  rax, [rsp]
        "488d54c410"  # lea  rdx, [rsp + rax*8 + 16]
        "b83b0000000f05"  # mov  eax, 59; syscall
        "bf02000000"  # mov  edi, 2
    )
    after = bytes.fromhex(
        "b8010000000f05"  # mov  eax, 1; syscall
        "bfff000000"  # mov  edi, 255
        "b8e70000000f05"  # mov  eax, 231; syscall
    )
    write = b"\xba" + pack("<I", len(text))  # mov  edx, LENGTH
    return before + b"\x48\x8d\x35" + pack("<i", len(write) + len(after)) + write + after + text  # lea  rsi, [rip + DISTANCE]


def _arm64(text: bytes) -> bytes:
    """Return the code for arm64, with TEXT."""
    words = [
        0xF94007E0,  # ldr  x0, [sp, #8]
        0x910043E1,  # add  x1, sp, #16
        0xF94003E2,  # ldr  x2, [sp]
        0x8B020C22,  # add  x2, x1, x2, lsl #3
        0xD2801BA8,  # mov  x8, #221
        0xD4000001,  # svc  #0
        0xD2800040,  # mov  x0, #2
        0x100000E1,  # adr  x1, TEXT, seven instructions on
        0xD2800002 | len(text) << 5,  # mov  x2, #LENGTH
        0xD2800808,  # mov  x8, #64
        0xD4000001,  # svc  #0
        0xD2801FE0,  # mov  x0, #255
        0xD2800BC8,  # mov  x8, #94
        0xD4000001,  # svc  #0
    ]
    return pack(f"<{len(words)}I", *words) + text


CODES = {"x86_64": (62, _x86_64), "aarch64": (183, _arm64)}  # by uname(2): e_machine, and how its code is made
