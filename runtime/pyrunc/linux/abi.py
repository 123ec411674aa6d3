"""Raw system calls: their numbers, and memory that they read and write.

How a call is made depends on how we were started: by the built-in module of the native program (native/module.c), or
by _ctypes (foreign.py).  Arguments are machine words either way: ints (checked, as cutting 2**32 down to 0 would make
it root), bytes (their address; the kernel needs what it reads to end in NUL, which bytes do), None (NULL), or the
address of a Buffer.
"""

from __future__ import annotations

import posix
import sys

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
    "signalfd4": (289, 74),
    "prlimit64": (302, 261),
    "setns": (308, 268),
    "seccomp": (317, 277),
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
_COLUMN = 0 if MACHINE in ("x86_64", "i686") else 1  # i686: so personality(2) calls it to who has chosen LINUX32
NR = {name: numbers[_COLUMN] for name, numbers in NUMBERS.items()}

if "_pyrunc" in sys.builtin_module_names:
    from _pyrunc import address as _address
    from _pyrunc import fork_syscall, shared_memory, syscall
else:
    from pyrunc.linux.foreign import address as _address
    from pyrunc.linux.foreign import fork_syscall, shared_memory, syscall
__all__ = ["MACHINE", "NR", "NUMBERS", "Argument", "Buffer", "failure", "fork_syscall", "noted", "path_bytes"]
__all__ += ["shared_memory", "syscall"]


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
        self.address: int = _address(self._memory)

    def __bytes__(self) -> bytes:
        """Return what it holds now."""
        return bytes(self._memory)
