"""Raw system calls through _ctypes.

`ctypes` costs 2.3 ms to import, `_ctypes` below it 0.15: so the few classes
that are needed are declared here.  Arguments are passed as machine words:
ints (checked: ctypes would silently cut 2**32 down to 0, which is root),
bytes (their address; the kernel needs what it reads to end in NUL, which bytes
do), None (NULL), or the address of a Buffer.
"""

from __future__ import annotations

import _ctypes
import posix
from _struct import calcsize

from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
    "rt_sigaction": (13, 134),
    "futex": (202, 98),
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

_USE_ERRNO = 0x8
_HOLD_GIL = 0x4  # the C API calls it PYTHONAPI


class _Word(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed's is generic, the class is not
    """void *: takes int, bytes and None, and is 64 bits wide."""

    _type_ = "P"


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """Long: what syscall(2) returns."""

    _type_ = "l"


class _Process:
    """The symbols of this process, among them the C library's."""

    _handle = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # typeshed does not know of NULL


class _Function(_ctypes.CFuncPtr):
    """A C function that sets errno."""

    _flags_ = 0x1 | _USE_ERRNO
    _restype_ = _Long


class _HoldingFunction(_ctypes.CFuncPtr):
    """The same, called without giving up the interpreter's lock."""

    _flags_ = 0x1 | _USE_ERRNO | _HOLD_GIL
    _restype_ = _Long


class _Void(_ctypes.CFuncPtr):
    """A C function of the interpreter without arguments or result."""

    _flags_ = 0x1 | _HOLD_GIL
    _restype_ = None


def _bind(kind: type, name: str, words: int) -> Callable[..., int]:
    """Return C function NAME, which takes WORDS machine words."""
    function = kind((name, _Process))
    function.argtypes = (_Word,) * words
    return function  # type: ignore[no-any-return]


_syscall = _bind(_Function, "syscall", 7)
_syscall_holding = _bind(_HoldingFunction, "syscall", 7)
_before_fork = _bind(_Void, "PyOS_BeforeFork", 0)
_after_fork_child = _bind(_Void, "PyOS_AfterFork_Child", 0)
_after_fork_parent = _bind(_Void, "PyOS_AfterFork_Parent", 0)
_get_errno = _ctypes.get_errno
_strerror = posix.strerror
_FILL = (0, 0, 0, 0, 0, 0)


def path_bytes(path: str) -> bytes:
    """Return PATH as the kernel gets it; one from the command line need not be UTF-8."""
    return path.encode("utf-8", "surrogateescape")


def failure(number: int, call: int = -1) -> OSError:
    """Return the OSError for errno NUMBER, with a note of the system call, whose number is CALL, as in mount(2)."""
    error = OSError(number, _strerror(number))
    for name, known in NR.items():
        if known == call:
            error.add_note(f"{name}(2)")
    return error


def noted(error: OSError) -> str:
    """Return what `failure` has noted of ERROR, "" if it comes from elsewhere."""
    notes = getattr(error, "__notes__", ())
    return notes[0] if notes else ""


def syscall(number: int, *args: Argument) -> int:
    """Make system call NUMBER with up to six arguments and return its result.

    Raises OSError with errno, OverflowError for an int that no register holds.
    """
    for arg in args:
        if arg.__class__ is int and not -(1 << 63) <= arg < 1 << 64:
            raise OverflowError(f"{arg} does not fit a machine word")
    result = _syscall(number, *args, *_FILL[len(args) :])
    if result < 0:
        raise failure(_get_errno(), number)
    return result


def fork_syscall(number: int, *args: Argument) -> int:
    """Make SYSCALL NUMBER, which returns twice, as os.fork() would.

    The interpreter is told before and after, and keeps its lock in between
    (Python/C API: PyOS_BeforeFork and its two siblings).
    """
    _before_fork()
    result = _syscall_holding(number, *args, *_FILL[len(args) :])
    if result == 0:
        _after_fork_child()
        return 0
    errno = _get_errno()
    _after_fork_parent()
    if result < 0:
        raise failure(errno, number)
    return result


class Buffer:
    """Memory that the kernel writes to or that structures point into."""

    def __init__(self, data: bytes | int) -> None:
        """Hold a copy of DATA, or that many zero bytes."""
        initial = bytes(data) if isinstance(data, int) else data
        self._array: Any = (_Byte * max(len(initial), 1)).from_buffer_copy(initial or b"\0")
        self.address: int = _ctypes.addressof(self._array)

    def __bytes__(self) -> bytes:
        """Return what it holds now."""
        return bytes(self._array)


def address_of(memory: Any) -> int:
    """Return the address of MEMORY, a writable buffer that stays where it is: an mmap."""
    return _ctypes.addressof((_Byte * len(memory)).from_buffer(memory))


class _Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """Unsigned char."""

    _type_ = "B"
