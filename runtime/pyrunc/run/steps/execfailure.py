"""Which of the many causes of an errno of execve(2) it was.  Asked for after the fork, so it imports nothing."""

from __future__ import annotations

import errno
import posix
from _struct import unpack_from

ELF, E_MACHINE = b"\x7fELF", 18  # elf(5)
MACHINES = {3: "x86", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86-64", 183: "arm64", 243: "riscv"}
MACHINES |= {258: "loongarch"}
ANY_EXECUTE = 0o111
# What to do about what open(2) or execve(2) says of a program.
REMEDIES = {
    errno.E2BIG: "shorten args and env",
    errno.EACCES: "let the user of the container execute it, and pass the directories on the way",
    errno.ELOOP: "mend the symbolic links on the path",
    errno.ENOENT: "correct the path, or put what is missing into the image",
    errno.ENOEXEC: "use a program for this machine, or a script that begins with #! and an interpreter",
    errno.ENOMEM: "raise the limits of memory",
    errno.ENOTDIR: "correct the path: a part of it is no directory",
    errno.ETXTBSY: "wait until nobody writes to it",
}
CORRECT = "correct the path, or change the image"


def unloadable(head: bytes) -> str:
    """Return what is wrong with a file that begins with HEAD, which the kernel has called no program (ENOEXEC)."""
    if not head:
        return "the file is empty"
    if not head.startswith(ELF) or len(head) < E_MACHINE + 2:
        return "neither a program for this machine nor a script that begins with #!"
    machine = elf_machine(head)
    here = posix.uname().machine
    made = MACHINES.get(machine, f"machine {machine}")
    return f"it is made for {made}, and this machine is {here}: another architecture, or a damaged file"


def elf_machine(head: bytes) -> int:
    """Return for which machine (e_machine, elf(5)) the program that begins with HEAD is made; -1 if it is no ELF file."""
    if not head.startswith(ELF) or len(head) < E_MACHINE + 2:
        return -1
    return int(unpack_from(">H" if head[5] == 2 else "<H", head, E_MACHINE)[0])


def forbidden(path: str) -> str:
    """Return why this process may not execute the file at PATH, with a colon before it; empty if that cannot be told."""
    try:
        if posix.statvfs(path).f_flag & posix.ST_NOEXEC:
            return ": it is on a mount with noexec"
        if not posix.stat(path).st_mode & ANY_EXECUTE:
            return ": nobody may execute it: chmod +x"
    except OSError:
        pass  # a directory on the way is closed
    return ""
