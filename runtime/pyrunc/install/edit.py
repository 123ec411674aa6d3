"""One change of one file: read, shown as a diff, and written so that no reader ever sees half of it."""

from __future__ import annotations

import difflib
import os
import tempfile

from pyrunc.errors import ConfigError, UsageError
from pyrunc.record import Record

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755  # of what was not there: for everybody to read, whatever the umask
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

    Mode, owner and extended attributes of a file that is there are kept.
    Raises OSError; then the file is as it was.
    """
    path = os.path.realpath(destdir + edit.path)
    inside = os.path.realpath(destdir or "/")
    if os.path.commonpath([path, inside]) != inside:
        raise UsageError(f"{destdir + edit.path} leads out of {destdir}", hint="make its links relative")
    if edit.after is None:
        os.unlink(path)
        return
    directory = os.path.dirname(path)
    _make(directory)
    fd, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with open(fd, "wb") as file:
            file.write(edit.after.encode())
            file.flush()
            _take_after(path, fd)
            os.fsync(fd)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _make(directory: str) -> None:
    """Make DIRECTORY and those above it that are missing."""
    if not os.path.isdir(directory):
        _make(os.path.dirname(directory))
        os.mkdir(directory)
        os.chmod(directory, DIRECTORY_MODE)


def _take_after(path: str, fd: int) -> None:
    """Give file FD the owner, mode and extended attributes (an SELinux label, an ACL) of the file at PATH."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        os.fchmod(fd, FILE_MODE)
        return
    os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, old.st_mode & 0o7777)
    for name in os.listxattr(path):
        os.setxattr(fd, name, os.getxattr(path, name))
