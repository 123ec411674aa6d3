"""Raw system calls: their numbers, and memory that they read and write.

How a call is made depends on how we were started: by the built-in module of the native program (native/module.c), or
by _ctypes (foreign.py).  Arguments are machine words either way: ints (checked, as cutting 2**32 down to 0 would make
it root), bytes (their address; the kernel needs what it reads to end in NUL, which bytes do), None (NULL), or the
address of a Buffer.
"""

from __future__ import annotations

import posix
import sys
from _struct import calcsize

from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Argument = int | bytes | None

# By name: x86_64 and the generic table that arm64, riscv64 and loongarch64 share.
NUMBERS: dict[str, tuple[int, int]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "capget": (125, 90),
    "capset": (126, 91),
    "personality": (135, 92),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "keyctl": (250, 219),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "set_mempolicy": (238, 237),
    "unshare": (272, 97),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "shutdown": (48, 210),
    "signalfd4": (289, 74),
    "prlimit64": (302, 261),
    "setns": (308, 268),
    "rt_sigaction": (13, 134),
    "futex": (202, 98),
    "seccomp": (317, 277),
    "statx": (332, 291),
    "bpf": (321, 280),
    "execve": (59, 221),
    "execveat": (322, 281),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "faccessat2": (439, 439),
    "mount_setattr": (442, 442),
}
MACHINE = posix.uname().machine
# By what uname(2) calls the machine, also to who has chosen LINUX32 by personality(2): which column of the table.
COLUMNS = {"x86_64": 0, "i686": 0, "aarch64": 1, "armv8l": 1, "riscv64": 1, "loongarch64": 1}


def numbers(machine: str, bits: int) -> dict[str, int]:
    """Return the numbers of system calls, by name, for an interpreter of so many BITS on MACHINE.

    Raises UnsupportedError where the numbers are not known: wrong ones would do anything.
    """
    if machine not in COLUMNS or bits != 64:
        text = f"the system calls of a program of {bits} bits on {machine} are not known"
        raise UnsupportedError(text, hint="pyrunc runs on x86-64 and arm64, in a Python of 64 bits")
    return {name: row[COLUMNS[machine]] for name, row in NUMBERS.items()}


NR = numbers(MACHINE, 8 * calcsize("P"))

if "_pyrunc" in sys.builtin_module_names:
    from _pyrunc import address as address_of
    from _pyrunc import fork_syscall, syscall
else:
    from pyrunc.linux.foreign import address as address_of
    from pyrunc.linux.foreign import fork_syscall, syscall
__all__ = ["MACHINE", "NR", "NUMBERS", "Argument", "Buffer", "address_of", "failure", "fork_syscall", "noted"]
__all__ += ["path_bytes", "syscall"]


def path_bytes(path: str) -> bytes:
    """Return PATH as the kernel gets it; one from the command line need not be UTF-8."""
    return path.encode("utf-8", "surrogateescape")


def failure(number: int, call: int = -1) -> OSError:
    """Return the OSError for errno NUMBER, which remembers the number of the system CALL."""
    error = OSError(number, posix.strerror(number))
    error.syscall = call  # type: ignore[attr-defined]  # as native/module.c does
    return error


def noted(error: OSError) -> str:
    """Return the system call that ERROR comes from, as in mount(2); "" if it comes from elsewhere."""
    call = getattr(error, "syscall", -1)
    return next((f"{name}(2)" for name, number in NR.items() if number == call), "")


class Buffer:
    """Memory that the kernel writes to or that structures point into."""

    def __init__(self, data: bytes | int) -> None:
        """Hold a copy of DATA, or that many zero bytes."""
        self._memory = bytearray(data)
        self.address: int = address_of(self._memory)

    def __bytes__(self) -> bytes:
        """Return what it holds now."""
        return bytes(self._memory)
