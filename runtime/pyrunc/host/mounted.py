"""Mounts as /proc/PID/mountinfo lists them (proc(5))."""

from __future__ import annotations

import posix

from pyrunc.host.files import read
from pyrunc.record import Record

O_PATH = 0o10000000
ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


class Row(Record):
    """One mount: its id and its parent's, the DEVICE of its file system (major:minor), which directory of that is at POINT."""

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: tuple[str, ...]
    type: str

    @property
    def readonly(self) -> bool:
        """Return whether nothing can be written through this mount."""
        return "ro" in self.options


def parse(text: str) -> list[Row]:
    """Return the mounts in TEXT, in its order."""
    rows = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        number, parent, device, root, point, options = fields.split(" ")[:6]
        names = tuple(options.split(","))
        rows.append(Row(int(number), int(parent), device, _plain(root), _plain(point), names, rest.split(" ")[0]))
    return rows


def rows(pid: int | str = "self") -> list[Row]:
    """Return the mounts of process PID.  Raises OSError if it is gone."""
    return parse(read(f"/proc/{pid}/mountinfo"))


def _plain(path: str) -> str:
    """Return PATH without the escapes that keep a line apart."""
    if "\\" in path:
        for escape, letter in ESCAPES:
            path = path.replace(escape, letter)
    return path


def real(path: str) -> str:
    """Return where PATH leads to, as the kernel names it.  Raises OSError if that is nowhere."""
    fd = posix.open(path, O_PATH | posix.O_CLOEXEC)
    try:
        return posix.readlink(f"/proc/self/fd/{fd}")
    finally:
        posix.close(fd)


def below(path: str) -> list[str]:
    """Return the mount points below PATH, relative to it, each with a slash before; none if PATH is not there."""
    try:
        top = real(path).rstrip("/") + "/"
    except OSError:
        return []
    return list(dict.fromkeys(row.point[len(top) - 1 :] for row in rows() if row.point.startswith(top)))


def _of(fd: int) -> Row:
    """Return the mount that FD is on.  Raises StopIteration if this mount namespace has it no more."""
    number = mount_id("self", fd)
    return next(row for row in rows() if row.id == number)


def of(path: str) -> Row:
    """Return the mount that PATH is on.  Raises OSError if it is nowhere, StopIteration if the mount is not of this namespace."""
    fd = posix.open(path, O_PATH | posix.O_CLOEXEC)
    try:
        return _of(fd)
    finally:
        posix.close(fd)


def shown(path: str) -> tuple[str, str]:
    """Return which files PATH leads to, whatever mount they are seen through: device, and path in its file system.

    Raises OSError if PATH is nowhere.
    """
    fd = posix.open(path, O_PATH | posix.O_CLOEXEC)
    try:
        place = posix.readlink(f"/proc/self/fd/{fd}")
        on = _of(fd)
    finally:
        posix.close(fd)
    return on.device, f"{on.root.rstrip('/')}/{place[len(on.point.rstrip('/')) :].lstrip('/')}".rstrip("/") or "/"


def mount_id(pid: int | str, fd: int) -> int:
    """Return the id of the mount that descriptor FD of process PID is on (proc(5), fdinfo).  Raises OSError."""
    lines = read(f"/proc/{pid}/fdinfo/{fd}").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))
