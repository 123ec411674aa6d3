"""One change of one file: read, shown as a diff, and written so that no reader ever sees half of it."""

from __future__ import annotations

import difflib
import os
import stat

from pyrunc.errors import ConfigError, UsageError
from pyrunc.linux import fs
from pyrunc.record import Record

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755  # of what was not there: for everybody to read, whatever the umask
OTHERS_WRITE, GROUP_WRITES = 0o002, 0o020
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NO_NEWLINE = "\\ No newline at end of file\n"


class Wanted(Record):
    """What is to be registered: the program at `path` as runtime `name`; `default` if it shall serve all containers.

    `destdir` is put in front of every file name, as packages are made.
    """

    name: str
    path: str
    default: bool = False
    destdir: str = ""


class Edit(Record):
    """The text of file `path` before and after; None where there is no such file."""

    path: str
    before: str | None
    after: str | None

    @property
    def changes(self) -> bool:
        """Return whether there is anything to do."""
        return self.before != self.after


def read(wanted: Wanted, path: str) -> str | None:
    """Return the text of the file at PATH below destdir, line ends as they are; None if there is none.

    Raises ConfigError if it is not UTF-8, OSError if it cannot be read.
    """
    try:
        with open(wanted.destdir + path, "rb") as file:
            return file.read().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}", hint="mend that first") from None


def diff(edit: Edit) -> str:
    """Return EDIT as a unified diff, which `patch` applies and, with -R, takes back."""
    old = "/dev/null" if edit.before is None else edit.path
    new = "/dev/null" if edit.after is None else edit.path
    lines = difflib.unified_diff(_lines(edit.before), _lines(edit.after), old, new)
    return "".join(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}" for line in lines)


def _lines(text: str | None) -> list[str]:
    """Return the lines of TEXT with their ends; only a line feed ends one."""
    lines = [f"{line}\n" for line in (text or "").split("\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def apply(edit: Edit, destdir: str) -> None:
    """Make the change below DESTDIR: one rename(2), or one unlink(2).  A symbolic link stays one.

    Mode, owner and extended attributes of a file that is there are kept.  The directory is opened once, by a path
    without links, and all is done in it: whoever swaps something meanwhile makes this fail.
    Raises OSError, and UsageError where others could have led us there; then the file is as it was.
    """
    path = os.path.realpath(destdir + edit.path)
    inside = os.path.realpath(destdir or "/")
    if os.path.commonpath([path, inside]) != inside:
        raise UsageError(f"{destdir + edit.path} leads out of {destdir}", hint="make its links relative")
    if not destdir:
        _refuse_foreign(edit.path)
        _refuse_foreign(path)
    directory, name = os.path.split(path)
    place = _directory(directory)
    try:
        if edit.after is None:
            os.unlink(name, dir_fd=place)
        else:
            _replace(place, name, edit.after.encode())
    finally:
        os.close(place)


def _refuse_foreign(path: str) -> None:
    """Raise UsageError if a directory on the way to PATH, a link, or the file itself is another user's, or writable by others.

    Root and we ourselves may own them, and root's group may write.  A sticky bit is no excuse: others could have
    put there what we find.
    """
    parts = path.strip("/").split("/")
    for count in range(len(parts) + 1):
        here = "/" + "/".join(parts[:count])
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            return  # what is missing is made, below what is in order
        if found.st_uid not in (0, os.geteuid()):
            raise UsageError(f"{here} belongs to user {found.st_uid}", hint=f"chown root {here}, if it should be root's")
        if stat.S_ISLNK(found.st_mode):
            continue  # whatever its mode says
        if found.st_mode & OTHERS_WRITE or (found.st_mode & GROUP_WRITES and found.st_gid not in (0, os.getegid())):
            raise UsageError(f"{here} may be written by others than root", hint=f"chmod go-w {here}")


def _replace(place: int, name: str, data: bytes) -> None:
    """Give the file NAME in the directory PLACE the contents DATA, or make it."""
    draft = f".{name}.{os.urandom(6).hex()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            _take_after(place, name, fd)
            os.fsync(fd)
        os.rename(draft, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        os.unlink(draft, dir_fd=place)
        raise


def _directory(path: str) -> int:
    """Return a descriptor of directory PATH, which has no links; it, and those above it, are made if they are missing."""
    try:
        return fs.openat2(fs.AT_FDCWD, path, DIRECTORY, 0, fs.RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        pass
    head, name = os.path.split(path)
    parent = _directory(head)
    try:
        os.mkdir(name, dir_fd=parent)
        made = fs.openat2(parent, name, DIRECTORY, 0, fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS)
        os.fchmod(made, DIRECTORY_MODE)
        return made
    finally:
        os.close(parent)


def _take_after(place: int, name: str, fd: int) -> None:
    """Give file FD the owner, mode and extended attributes (an SELinux label, an ACL) of the file NAME in PLACE."""
    try:
        old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except FileNotFoundError:
        os.fchmod(fd, FILE_MODE)
        return
    try:
        found = os.stat(old)
        os.fchown(fd, found.st_uid, found.st_gid)
        os.fchmod(fd, found.st_mode & 0o777)
        for attribute in os.listxattr(old):
            os.setxattr(fd, attribute, os.getxattr(old, attribute))
    finally:
        os.close(old)
