"""Mounting: mount(2), pivot_root(2) and the descriptor-based calls of Linux 5.2 to 5.12."""

from __future__ import annotations

from _struct import pack

from pyrunc.linux.abi import NR, syscall

# mount(2), include/uapi/linux/mount.h
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

# open_tree(2), move_mount(2)
OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = 0o2000000
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

# fsopen(2), fspick(2), fsconfig(2), fsmount(2)
FSOPEN_CLOEXEC = 0x1
FSPICK_CLOEXEC = 0x1
FSPICK_EMPTY_PATH = 0x8
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
FSCONFIG_CMD_RECONFIGURE = 7
FSMOUNT_CLOEXEC = 0x1

# mount_setattr(2)
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str | None) -> None:
    """mount(2)."""
    syscall(NR["mount"], _c(source), target.encode("utf-8", "surrogateescape"), _c(fstype), flags, _c(data))


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    syscall(NR["umount2"], target.encode("utf-8", "surrogateescape"), flags)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    syscall(NR["pivot_root"], new_root.encode(), put_old.encode())


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """open_tree(2); returns a descriptor."""
    return syscall(NR["open_tree"], dirfd, path.encode(), flags)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int) -> None:
    """move_mount(2)."""
    syscall(NR["move_mount"], from_fd, from_path.encode(), to_fd, to_path.encode(), flags)


def fsopen(fstype: str, flags: int) -> int:
    """fsopen(2); returns a configuration context."""
    return syscall(NR["fsopen"], fstype.encode(), flags)


def fspick(dirfd: int, path: str, flags: int) -> int:
    """fspick(2); returns a configuration context of a file system that is mounted."""
    return syscall(NR["fspick"], dirfd, path.encode(), flags)


def fsconfig(fd: int, command: int, key: str | None, value: str | None, aux: int) -> None:
    """fsconfig(2)."""
    syscall(NR["fsconfig"], fd, command, _c(key), _c(value), aux)


def fsmount(fd: int, flags: int, attributes: int) -> int:
    """fsmount(2); returns a descriptor of the detached mount."""
    return syscall(NR["fsmount"], fd, flags, attributes)


def mount_setattr(
    dirfd: int, path: str, flags: int, attr_set: int, attr_clr: int, propagation: int, userns_fd: int
) -> None:
    """mount_setattr(2)."""
    attr = pack("=QQQQ", attr_set, attr_clr, propagation, userns_fd)
    syscall(NR["mount_setattr"], dirfd, path.encode(), flags, attr, len(attr))


def _c(text: str | None) -> bytes | None:
    """Return TEXT as the kernel takes it, or NULL."""
    return None if text is None else text.encode()
