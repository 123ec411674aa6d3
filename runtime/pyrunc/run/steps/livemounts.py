"""Steps of `mounts add` and `mounts remove`: which mount is ours, and taking it away.

A mount is known by the kernel's number of it, as procfs shows it (proc(5), "mountinfo"), by the host's procfs: what
the container has at /proc may be anything.
"""

from __future__ import annotations

import errno
import posix
from _struct import pack

from pyrunc.errors import OpError
from pyrunc.host import mounted
from pyrunc.linux import mount as m
from pyrunc.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

CHUNK = 1 << 16
NOTE_SIZE = 8
FIELD = b"mnt_id:\t"


def _read(proc: int, name: str) -> bytes:
    """Return what the file called NAME says of this process, in procfs PROC."""
    fd = openat2(proc, f"self/{name}", posix.O_RDONLY | posix.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV)
    try:
        parts = []
        while part := posix.read(fd, CHUNK):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(fd)


def _number(proc: int, fd: int) -> int:
    """Return the number of the mount that FD is on."""
    return next(int(line[len(FIELD) :]) for line in _read(proc, f"fdinfo/{fd}").splitlines() if line.startswith(FIELD))


def note_mount(_: Context, tree: int, proc: int, notes: int, index: int) -> None:
    """Write the number of mount TREE into NOTES, at INDEX."""
    posix.pwrite(notes, pack("=Q", _number(proc, tree)), index * NOTE_SIZE)


def detach_mount(_: Context, root: int, proc: int, number: int) -> None:
    """Unmount mount NUMBER below ROOT; none of that number is as well.  Raises OpError if another covers it."""
    rows = mounted.parse(str(_read(proc, "mountinfo"), "utf-8", "surrogateescape"))
    path = next((row.point for row in rows if row.id == number), "")
    if not path:
        return
    fd = rootpath.open_path(root, path, posix.O_NOFOLLOW, RESOLVE_NO_SYMLINKS)
    try:
        if _number(proc, fd) != number:
            text = f"{path} cannot be unmounted: something else is mounted over it by now"
            raise OpError(text, errno=errno.EBUSY, hint="unmount that first, in the container")
        posix.fchdir(proc)
        m.umount2(f"self/fd/{fd}", m.MNT_DETACH)
    finally:
        posix.close(fd)


def leave(_: Context) -> None:
    """End the process: all is done."""
    posix._exit(0)
