"""Paths inside a container's root: resolved by the kernel, once, to descriptors.

openat2(2) with RESOLVE_IN_ROOT treats absolute symbolic links and `..` as a
chroot would and follows no magic link; what is missing is made by mkdirat(2)
below a descriptor (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310).
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError
from pyrunc.linux.fs import O_PATH, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2

O_CLOEXEC, O_DIRECTORY = posix.O_CLOEXEC, posix.O_DIRECTORY
S_IFMT, S_IFDIR, S_IFREG, S_IFCHR, S_IFLNK = 0o170000, 0o040000, 0o100000, 0o020000, 0o120000
DIRECTORY_MODE, FILE_MODE = 0o755, 0o644  # runc's
LINKS_MAX = 40  # as many as the kernel follows


def open_path(root: int, path: str, flags: int = 0, resolve: int = 0) -> int:
    """Return an O_PATH descriptor of PATH inside ROOT."""
    return openat2(root, path or "/", O_PATH | O_CLOEXEC | flags, 0, RESOLVE_IN_ROOT | resolve)


def is_directory(fd: int) -> bool:
    """Return whether FD is one of a directory."""
    return posix.fstat(fd).st_mode & S_IFMT == S_IFDIR


def split(path: str) -> tuple[str, str]:
    """Split PATH into its directory and its last component."""
    head, _, tail = path.rstrip("/").rpartition("/")
    return head, tail


def directory(root: int, path: str, links: int = 0) -> int:
    """Return a descriptor of directory PATH inside ROOT, making what is missing."""
    try:
        return open_path(root, path, O_DIRECTORY)
    except FileNotFoundError:
        pass
    head, tail = split(path)
    if tail in ("", ".", ".."):
        return directory(root, head, links)
    parent = directory(root, head, links)
    try:
        posix.mkdir(tail, DIRECTORY_MODE, dir_fd=parent)
    except FileExistsError:
        return _follow(root, head, tail, parent, links)
    try:
        how = O_PATH | O_CLOEXEC | O_DIRECTORY
        return openat2(parent, tail, how, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    finally:
        posix.close(parent)


def _follow(root: int, head: str, tail: str, parent: int, links: int) -> int:
    """Make the directory that a dangling link, or somebody quicker, stands for."""
    if links > LINKS_MAX:
        raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))
    try:
        target = posix.readlink(tail, dir_fd=parent)
    except OSError:
        target = tail  # made by somebody else between the two calls: open it
    finally:
        posix.close(parent)
    path = target if target.startswith("/") else f"{head}/{target}"
    return directory(root, path, links + 1)


def mount_point(root: int, path: str, like: int | str, made: set[int], flags: int = 0) -> int:
    """Return a descriptor of mount point PATH inside ROOT, making it if it is missing.

    LIKE is a descriptor of what will be mounted (a file gets a file), or
    "directory"; "directory!" refuses symbolic links on the way.  Descriptors
    of what was made are added to MADE.  FLAGS may be O_NOFOLLOW: a link that PATH ends in is the mount point.
    """
    strict = RESOLVE_NO_SYMLINKS if like == "directory!" else 0
    wants_directory = isinstance(like, str) or is_directory(like)
    try:
        fd = open_path(root, path, flags, strict)
    except FileNotFoundError:
        fd = directory(root, path) if wants_directory else _file(root, path)
        made.add(fd)
    except OSError as error:
        if strict and error.errno == errno.ELOOP:
            text = f"{path} must be mounted on ordinary directory: it is a symbolic link in the image"
            raise OpError(text, errno=errno.ELOOP, hint="make it a directory in the image") from None
        raise
    if wants_directory != is_directory(fd):
        if strict:
            raise OpError(
                f"{path} must be mounted on ordinary directory: it is a file in the image",
                hint="make it a directory in the image",
            )
        found, wanted = ("a file", "a directory") if wants_directory else ("a directory", "a file")
        raise OpError(
            f"{path} is {found} in the image, and {wanted} is to be mounted there: not a directory",
            hint="mount elsewhere, or change the image",
        )
    return fd


def _file(root: int, path: str) -> int:
    """Make an empty file at PATH, following a dangling link inside ROOT."""
    for _ in range(LINKS_MAX):
        head, tail = split(path)
        parent = directory(root, head)
        try:
            posix.mknod(tail, S_IFREG | FILE_MODE, 0, dir_fd=parent)
        except FileExistsError:
            if posix.stat(tail, dir_fd=parent, follow_symlinks=False).st_mode & S_IFMT == S_IFLNK:
                target = posix.readlink(tail, dir_fd=parent)
                path = target if target.startswith("/") else f"{head}/{target}"
                continue
        try:
            return openat2(parent, tail, O_PATH | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
        finally:
            posix.close(parent)
    raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))
