"""Paths and descriptors: openat2(2), close_range(2), statx(2)."""

from __future__ import annotations

from _struct import pack, unpack_from

from pyrunc.linux.abi import NR, Buffer, path_bytes, syscall

O_PATH = 0o10000000
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
AT_FDCWD = -100
AT_EACCESS = 0x200
AT_EMPTY_PATH = 0x1000
STATX_MNT_ID = 0x1000
STATX_SIZE = 256
MNT_ID_AT = 144  # in struct statx: include/uapi/linux/stat.h
TRIES = 128  # of a lookup that others' renames disturb


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int, resolve: int) -> int:
    """openat2(2); returns a descriptor.

    Where a path has `..`, RESOLVE_IN_ROOT and RESOLVE_BENEATH give EAGAIN if anything
    on the machine was renamed or mounted meanwhile; that says nothing of the path, so it is tried again.
    """
    how = pack("=QQQ", flags, mode, resolve)
    name = path if isinstance(path, bytes) else path_bytes(path)
    for _ in range(TRIES - 1):
        try:
            return syscall(NR["openat2"], dirfd, name, how, len(how))
        except BlockingIOError:
            pass
    return syscall(NR["openat2"], dirfd, name, how, len(how))


def faccessat2(dirfd: int, path: str, mode: int, flags: int) -> None:
    """faccessat2(2)."""
    syscall(NR["faccessat2"], dirfd, path_bytes(path), mode, flags)


def close_range(first: int, last: int, flags: int) -> None:
    """close_range(2)."""
    syscall(NR["close_range"], first, last, flags)


def mount_id(fd: int) -> int:
    """Return the id of the mount that descriptor FD is on, by statx(2)."""
    found = Buffer(STATX_SIZE)
    syscall(NR["statx"], fd, b"", AT_EMPTY_PATH, STATX_MNT_ID, found.address)
    number: int = unpack_from("=Q", bytes(found), MNT_ID_AT)[0]
    return number
