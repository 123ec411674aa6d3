"""Where hooks' output goes that an annotation gives a file: run.oci.hooks.stdout and run.oci.hooks.stderr (crun(1))."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

MODE = 0o600
FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOCTTY | posix.O_NONBLOCK | posix.O_NOFOLLOW | posix.O_CLOEXEC
HINTS = {
    errno.ELOOP: "it is a symbolic link: name the file itself",
    errno.ENXIO: "it is a pipe that nobody reads, or a device without a driver",
    errno.ENOENT: "make its directory",
}


def open_hook_output(_: Context | None, path: str) -> int:
    """Return a descriptor that appends to the file at PATH, which is made if it is missing.  Raises OpError."""
    try:
        fd = posix.open(path, FLAGS, MODE)
    except OSError as error:
        text = f"cannot open {path} for the output of hooks: {(error.strerror or '').lower()}"
        raise OpError(text, errno=error.errno or 0, hint=HINTS.get(error.errno or 0, "name a file that can be written")) from None
    posix.set_blocking(fd, True)
    return fd
