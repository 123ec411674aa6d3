"""tmpcopyup: what the image has in a directory, copied into the tmpfs that will cover it.

The image may be hostile, and shared with a running container that changes it
meanwhile.  So every name is opened once, without following a link and without
crossing a mount, and what was opened is looked at, read and copied through that
descriptor alone; only regular files and directories are opened for reading.
The tmpfs is not attached yet: nobody else sees it.
"""

from __future__ import annotations

import errno
import posix
import sys

from pyrunc.errors import OpError
from pyrunc.linux.fs import O_PATH, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, openat2
from pyrunc.run.steps.files import descriptor
from pyrunc.run.steps.rootpath import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

ENCODING = sys.getfilesystemencoding()
DEVICES = (0o020000, 0o060000)
READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY
DIRECTORY = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_DIRECTORY | posix.O_NOFOLLOW
NEW = posix.O_WRONLY | posix.O_CLOEXEC | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW
HOW = O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS
PERMISSIONS, SET_ID = 0o7777, 0o6000
SEEK_SET = 0
CHUNK = 1 << 20
DEPTH_MAX = 128  # four descriptors each
# How many files with several names are remembered at a time, and how long a name.  What is more is copied once for each name.
LINKS_MAX, LINK_LENGTH_MAX = 1 << 14, 1024
ACCESS_LIST = "system.posix_acl_"
ATTRIBUTES = ("user.", "trusted.", "security.capability", ACCESS_LIST)
CAPABILITY = "security.capability"


def copy_up(context: Context, point: int, tree: int, own: bool, devices: bool) -> None:
    """Copy what is in the directory behind POINT to the top of mount TREE.

    OWN says whether the top gets its owner too, DEVICES whether device nodes
    are copied.  Sockets and fifos are made anew; what is mounted in there is no
    part of the image, and is left out.  Raises OpError.
    """
    if point in context.made:
        return  # the image has no such directory
    source = posix.open(".", DIRECTORY, dir_fd=point)
    target = posix.open(".", DIRECTORY, dir_fd=tree)
    limits = posix.fstatvfs(source).f_flag
    copier = _Copier(context, target, devices=devices and not limits & posix.ST_NODEV, set_id=not limits & posix.ST_NOSUID)
    try:
        copier.directory(source, target, "", 0)
        copier.dress(source, target, posix.fstat(source), top=True, own=own)
    except OSError as error:
        reason = (error.strerror or "").lower()
        text = f'cannot copy "{copier.at or "/"}" of the directory below: {reason}'
        raise OpError(text, errno=error.errno or 0) from None
    finally:
        posix.close(source)
        posix.close(target)


class _Copier:
    """One copy: `at` is where it is, for errors, and `links` says where files with several names went."""

    def __init__(self, context: Context, top: int, *, devices: bool, set_id: bool) -> None:
        """Begin at directory TOP of the tmpfs."""
        self.context = context
        self.top = top
        self.devices = devices
        self.set_id = set_id
        self.at = ""
        self.links: dict[tuple[int, int], str] = {}

    def directory(self, source: int, target: int, path: str, depth: int) -> None:
        """Copy all that is in directory SOURCE to TARGET; PATH is their name from the top."""
        if depth > DEPTH_MAX:
            raise OpError(
                f'"{path[:LINK_LENGTH_MAX]}..." is deeper than {DEPTH_MAX} directories, which tmpcopyup does not copy',
                hint="mount it without tmpcopyup, or make it less deep",
            )
        with posix.scandir(source) as entries:
            for entry in entries:
                self.entry(source, target, entry.name, f"{path}/{entry.name}", depth)

    def entry(self, source: int, target: int, name: str, path: str, depth: int) -> None:
        """Copy what SOURCE calls NAME to TARGET."""
        self.at = path
        try:
            held = openat2(source, name.encode(ENCODING, "surrogateescape"), HOW, 0, RESOLVE)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EXDEV):
                return  # gone meanwhile, or a mount
            raise
        try:
            found = posix.fstat(held)
            kind = found.st_mode & S_IFMT
            if kind == S_IFDIR:
                self.subdirectory(held, target, name, path, depth)
            elif self.linked(found, target, name, path):
                return
            elif kind == S_IFREG:
                self.file(held, target, name)
            elif kind == S_IFLNK:
                posix.symlink(posix.readlink("", dir_fd=held), name, dir_fd=target)
                self.sign(found, target, name)
            elif kind not in DEVICES or self.devices:
                posix.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
                self.sign(found, target, name)
                posix.chmod(name, found.st_mode & PERMISSIONS, dir_fd=target)
        finally:
            posix.close(held)

    def linked(self, found: posix.stat_result, target: int, name: str, path: str) -> bool:
        """Return whether NAME is another name of a file that was copied already, and give it that name."""
        if found.st_nlink < 2:
            return False
        first = self.links.get((found.st_dev, found.st_ino))
        if first is not None:
            posix.link(first, name, src_dir_fd=self.top, dst_dir_fd=target, follow_symlinks=False)
            return True
        if len(self.links) < LINKS_MAX and len(path) < LINK_LENGTH_MAX and self.copied(found):
            self.links[found.st_dev, found.st_ino] = path[1:]
        return False

    def copied(self, found: posix.stat_result) -> bool:
        """Return whether a file like FOUND is copied at all."""
        return self.devices or found.st_mode & S_IFMT not in DEVICES

    def subdirectory(self, held: int, target: int, name: str, path: str, depth: int) -> None:
        """Copy the directory behind HELD, and all that is in it."""
        posix.mkdir(name, 0o700, dir_fd=target)
        source = posix.open(".", DIRECTORY, dir_fd=held)
        made = posix.open(name, DIRECTORY, dir_fd=target)
        try:
            self.directory(source, made, path, depth + 1)
            self.at = path
            self.dress(source, made, posix.fstat(source))
        finally:
            posix.close(source)
            posix.close(made)

    def file(self, held: int, target: int, name: str) -> None:
        """Copy the regular file behind HELD: its data, and its holes as holes."""
        path, proc = descriptor(self.context, held)
        source = posix.open(path, READ, dir_fd=proc)
        made = posix.open(name, NEW, 0o600, dir_fd=target)
        try:
            found = posix.fstat(source)
            _copy_data(source, made, found.st_size)
            self.dress(source, made, found)
        finally:
            posix.close(source)
            posix.close(made)

    def sign(self, found: posix.stat_result, target: int, name: str) -> None:
        """Give what is neither file nor directory the owner and the times of FOUND."""
        posix.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        times = (found.st_atime_ns, found.st_mtime_ns)
        posix.utime(name, ns=times, dir_fd=target, follow_symlinks=False)

    def dress(self, source: int, made: int, found: posix.stat_result, *, top: bool = False, own: bool = True) -> None:
        """Give file or directory MADE the owner, attributes, mode and times of SOURCE, in the order in which none undoes another.

        The TOP keeps its mode, which is the mount's own affair.
        """
        mode = posix.fstat(made).st_mode if top else found.st_mode
        if own:
            posix.chown(made, found.st_uid, found.st_gid)
        for attribute in posix.listxattr(source):
            if attribute.startswith(ATTRIBUTES) and (self.set_id or attribute != CAPABILITY):
                _copy_attribute(source, made, attribute)
        taken = SET_ID if mode & S_IFMT == S_IFREG and not self.set_id else 0
        posix.chmod(made, mode & PERMISSIONS & ~taken)
        posix.utime(made, ns=(found.st_atime_ns, found.st_mtime_ns))


def _copy_data(source: int, made: int, size: int) -> None:
    """Copy up to SIZE bytes, which the kernel moves, but not what is a hole (lseek(2))."""
    place = 0
    while place < size:
        try:
            place = posix.lseek(source, place, posix.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # only a hole is left
            raise
        end = min(posix.lseek(source, place, posix.SEEK_HOLE), size)
        posix.lseek(made, place, SEEK_SET)
        while place < end:
            moved = posix.sendfile(made, source, place, min(CHUNK, end - place))
            if not moved:
                size = place  # it was cut off meanwhile
                break
            place += moved
    posix.ftruncate(made, size)


def _copy_attribute(source: int, made: int, name: str) -> None:
    """Copy extended attribute NAME, if a tmpfs of this kernel keeps such (user.* came with Linux 6.6).

    An access list is never left out: the mode without it gives the group what the list gives others (acl(5)).
    """
    try:
        posix.setxattr(made, name, posix.getxattr(source, name))
    except OSError as error:
        if error.errno == errno.ENODATA or (error.errno == errno.EOPNOTSUPP and not name.startswith(ACCESS_LIST)):
            return
        raise
