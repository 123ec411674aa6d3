"""System calls through _ctypes, where there is no native program.

`ctypes` costs 2.3 ms to import, `_ctypes` below it 0.15: so the few classes
that are needed are declared here.
"""

from __future__ import annotations

import _ctypes
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Argument = int | bytes | None

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


def syscall(number: int, *args: Argument) -> int:
    """Make system call NUMBER with up to six arguments and return its result.

    Raises OSError with errno, OverflowError for an int that no register holds.
    """
    for arg in args:
        if arg.__class__ is int and not -(1 << 63) <= arg < 1 << 64:
            raise OverflowError(f"{arg} does not fit a machine word")
    result = _syscall(number, *args, *_FILL[len(args) :])
    if result < 0:
        raise _failure(_get_errno(), number)
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
        raise _failure(errno, number)
    return result


def _failure(errno: int, call: int) -> OSError:
    """Return the OSError for ERRNO of system CALL, as abi.failure does."""
    error = OSError(errno, _strerror(errno))
    error.syscall = call  # type: ignore[attr-defined]
    return error


class _Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """Unsigned char."""

    _type_ = "B"


def address(memory: bytearray | memoryview) -> int:
    """Return the address of MEMORY's bytes, which stay where they are as long as its size does."""
    return _ctypes.addressof((_Byte * max(len(memory), 1)).from_buffer(memory if memory else bytearray(1)))
