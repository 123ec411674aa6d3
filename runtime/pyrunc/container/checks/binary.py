"""Whether this kernel can load a file as a program (execve(2), elf(5), binfmt_misc)."""

from __future__ import annotations

import posix
from _struct import unpack_from

from pyrunc.host.files import read
from pyrunc.run.steps import execfailure

ELF, CLASS, TYPE, MACHINE, HEADER = b"\x7fELF", 4, 16, 18, 20
EXECUTABLE, SHARED = 2, 3  # e_type
WIDE, TABLE = 2, {True: (54, 56), False: (42, 32)}  # of 64 bits or not: where e_phentsize is, followed by e_phnum, and what it is
# By uname(2): what it calls each machine, and the e_machine that the kernel may take there (32 bits too, or not).
TAKEN = {"x86_64": (62, 3), "i686": (3,), "aarch64": (183, 40), "riscv64": (243,), "s390x": (22,), "ppc64le": (21,)}
TAKEN |= {"ppc64": (21, 20), "loongarch64": (258,), "armv7l": (40,)}
BINFMT = "/proc/sys/fs/binfmt_misc"


def unloadable(head: bytes, name: str) -> str:
    """Return why the kernel would call the file NAME, which begins with HEAD, no program; "" if it may be one."""
    if _is_loadable(head) or _is_registered(head, name):
        return ""
    return execfailure.unloadable(head)


def _is_loadable(head: bytes) -> bool:
    """Return whether HEAD may be that of a program for this machine."""
    if not head.startswith(ELF) or len(head) < HEADER:
        return False
    taken = TAKEN.get(posix.uname().machine)
    order = ">" if head[5] == 2 else "<"
    kind, machine = unpack_from(f"{order}HH", head, TYPE)
    if taken is None:
        return True
    size_at, size = TABLE[head[CLASS] == WIDE]
    if len(head) < size_at + 4 or machine not in taken or kind not in (EXECUTABLE, SHARED):
        return False
    row_size, count = unpack_from(f"{order}HH", head, size_at)
    return bool(row_size == size and count)


def _is_registered(head: bytes, name: str) -> bool:
    """Return whether binfmt_misc has an interpreter for a file NAME that begins with HEAD, or may have one."""
    try:
        entries = set(posix.listdir(BINFMT)) - {"register", "status"}
        rules = [read(f"{BINFMT}/{entry}").splitlines() for entry in entries]
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(rule[:1] == ["enabled"] and _matches(rule, head, name) for rule in rules)


def _matches(rule: list[str], head: bytes, name: str) -> bool:
    """Return whether an entry of binfmt_misc with the lines of RULE is for a file NAME that begins with HEAD."""
    fields = dict(line.partition(" ")[::2] for line in rule)
    if "extension" in fields:
        return name.endswith(fields["extension"])
    magic = bytes.fromhex(fields.get("magic", ""))
    mask = bytes.fromhex(fields["mask"]) if "mask" in fields else b"\xff" * len(magic)
    start = int(fields.get("offset", "0"))
    found = head[start : start + len(magic)]
    return len(found) == len(magic) and all(a & m == b & m for a, b, m in zip(found, magic, mask, strict=False))
