"""The standard streams of a container, which are the caller's: pipes, files and terminals of the host.

An image remembers each by a name; at restore the caller's new streams take
these names.  The names are in descriptors.json beside the image, where runc has
those of pipes too.
"""

from __future__ import annotations

import posix

from pyrunc.errors import ConfigError
from pyrunc.host.mounted import mount_id
from pyrunc.jsonio import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.host.mounted import Row

FILE = "descriptors.json"
FILE_MAX = 1 << 16
STREAMS = (0, 1, 2)
S_IFMT, S_IFCHR = 0o170000, 0o020000
TERMINALS = (4, *range(136, 144))  # major numbers: consoles, and pseudo-terminals (devices.txt)
KINDS = ("file[", "tty[", "pipe:[")


def names(pid: int, rows: list[Row]) -> list[str]:
    """Return how the image names each standard stream of process PID, whose mounts are ROWS; a path if it is the container's."""
    return [_name(pid, fd, {row.id for row in rows}) for fd in STREAMS]


def _name(pid: int, fd: int, own: set[int]) -> str:
    """Return the name of stream FD of process PID, which sees the mounts OWN; "" if it is closed."""
    path = f"/proc/{pid}/fd/{fd}"
    try:
        target, found = posix.readlink(path), posix.stat(path)
        mount = mount_id(pid, fd)
    except OSError:
        return ""
    if not target.startswith("/") or mount in own:
        return target
    if found.st_mode & S_IFMT == S_IFCHR and posix.major(found.st_rdev) in TERMINALS:
        return f"tty[{found.st_rdev:x}:{found.st_dev:x}]"
    return f"file[{mount:x}:{found.st_ino:x}]"


def external(found: list[str]) -> list[str]:
    """Return which of the names FOUND the image must leave open: not pipes, which CRIU can tell by itself."""
    return list(dict.fromkeys(name for name in found if name.startswith(KINDS[:2])))


def write(directory: int, found: list[str]) -> None:
    """Write the names FOUND into the images behind DIRECTORY."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC | posix.O_NOFOLLOW
    fd = posix.open(FILE, flags, 0o600, dir_fd=directory)
    try:
        posix.write(fd, dumps(found).encode())
    finally:
        posix.close(fd)


def read(directory: int, path: str) -> list[str]:
    """Return the names in the images behind DIRECTORY, which is at PATH.  Raises ConfigError for what is no image."""
    hint = "name the directory that checkpoint has written, by --image-path"
    try:
        fd = posix.open(FILE, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        raise ConfigError(f"{path} is no checkpoint: open {FILE}: {(error.strerror or '').lower()}", hint=hint) from None
    try:
        document: Any = loads(posix.read(fd, FILE_MAX), f"{path}/{FILE}")
    finally:
        posix.close(fd)
    if not isinstance(document, list) or not all(isinstance(name, str) for name in document):
        raise ConfigError(f"{path}/{FILE} is not a list of names", hint=hint)
    return document[: len(STREAMS)]


def inherited(found: list[str]) -> dict[str, int]:
    """Return which of our own streams takes each of the names FOUND; of two with one name the first."""
    first: dict[str, int] = {}
    for fd, name in enumerate(found):
        if name.startswith(KINDS):
            first.setdefault(name, fd)
    return first
