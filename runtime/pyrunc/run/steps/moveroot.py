"""Make a directory the root without pivot_root(2), which an initramfs does not allow: --no-pivot.

What was the root stays below, and with it the host's mounts, which nothing
inside can reach.  But the kernel goes by them: it gives a new procfs or sysfs to
a user namespace if one without masks is mounted anywhere in the mount namespace
(mount_namespaces(7); a process without any capability may make such a namespace).  So all
that can be unmounted is, and what a user namespace holds fast is covered.
Loaded only for --no-pivot.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError
from pyrunc.host.mounted import Row, parse
from pyrunc.linux import mount as m
from pyrunc.linux.fs import O_PATH
from pyrunc.run.steps import nsroot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

SHOWN_WHOLE = ("proc", "sysfs")  # what the kernel asks for one without masks
PART = 1 << 16
# A path that another mount hides, leads elsewhere meanwhile, or a mount that a user namespace holds fast.
KEPT = (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.EPERM, errno.EACCES)


def move_to_root(_: Context, root: int, proc: int) -> None:
    """Make ROOT the root directory; PROC is the host's procfs.

    Raises OpError if a whole procfs or sysfs of the host's would stay in the mount namespace.
    """
    nsroot.enter_whole(proc, "self/ns/mnt")  # our own root directory may be less than all of it
    m.mount(None, "/", None, m.MS_SLAVE, None)
    top = posix.open("/", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    m.move_mount(root, "", m.AT_FDCWD, "/", m.MOVE_MOUNT_F_EMPTY_PATH)
    posix.fchdir(top)  # below what has just been moved
    below = _Below(proc, _mount_id(proc, top), _mount_id(proc, root))
    below.unmount()
    below.cover()
    posix.close(top)
    nsroot.take_root(root)


class _Below:
    """The mounts in the current directory, which is that of mount TOP, but for mount ROOT and what is in it."""

    def __init__(self, proc: int, top: int, root: int) -> None:
        """Look at them through procfs PROC."""
        self.proc, self.top, self.root = proc, top, root

    def rows(self) -> list[Row]:
        """Return them, those with short paths first."""
        rows = parse(str(_read(self.proc, "self/mountinfo"), "utf-8", "surrogateescape"))
        inside = {self.root}
        for _ in rows:  # a mount may be listed before the one that it is in
            more = {row.id for row in rows if row.parent in inside} - inside
            if not more:
                break
            inside |= more
        return sorted((row for row in rows if row.id not in inside), key=lambda row: len(row.point))

    def unmount(self) -> None:
        """Unmount what is mounted on the top itself, with all that is in it, until nothing gives way any more."""
        found = True
        while found:
            rows = [row for row in self.rows() if row.parent == self.top]
            found = sum(_unmount(f".{row.point}") for row in rows) > 0

    def cover(self) -> None:
        """Cover each whole procfs and sysfs that is left, the innermost first.  Raises OpError for one that cannot be reached."""
        for row in reversed(self.whole()):
            _cover(self.proc, row)
        for row in self.whole():
            text = f"the host's {row.type} at {row.point} would stay below the root, for the container to mount without masks"
            raise OpError(text, errno=errno.EPERM, hint="unmount what hides it, or leave --no-pivot out")

    def whole(self) -> list[Row]:
        """Return the mounts of procfs and sysfs that show all of it, and have no cover."""
        rows = self.rows()
        covered = {(row.parent, row.point) for row in rows}
        return [
            row for row in rows if row.type in SHOWN_WHOLE and row.root == "/" and (row.id, row.point) not in covered
        ]


def _unmount(path: str) -> bool:
    """Unmount what is at PATH with all that is in it, in our mount namespace alone; return whether that was possible."""
    try:
        m.mount(None, path, None, m.MS_REC | m.MS_SLAVE, None)
        m.umount2(path, m.MNT_DETACH | m.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in KEPT:
            raise
        return False
    return True


def _cover(proc: int, row: Row) -> None:
    """Put an empty file system over mount ROW, if its path leads to it."""
    try:
        point = posix.open(f".{row.point}", O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno not in KEPT:
            raise
        return
    try:
        if _mount_id(proc, point) == row.id:
            context = m.fsopen("tmpfs", m.FSOPEN_CLOEXEC)
            m.fsconfig(context, m.FSCONFIG_CMD_CREATE, None, None, 0)
            tree = m.fsmount(context, m.FSMOUNT_CLOEXEC, m.MOUNT_ATTR_RDONLY)
            m.move_mount(tree, "", point, "", m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH)
            posix.close(tree)
            posix.close(context)
    finally:
        posix.close(point)


def _mount_id(proc: int, fd: int) -> int:
    """Return the id of the mount that our descriptor FD is on (proc(5), fdinfo)."""
    lines = _read(proc, f"self/fdinfo/{fd}").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:"))


def _read(proc: int, path: str) -> bytes:
    """Return what file PATH of procfs PROC says."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=proc)
    try:
        parts = []
        while part := posix.read(fd, PART):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(fd)
