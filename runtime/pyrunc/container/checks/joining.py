"""Namespaces to be joined by path: whether they are there, and are what they are called (setns(2))."""

from __future__ import annotations

import errno
import posix
from fcntl import ioctl

from pyrunc.errors import UnsupportedError
from pyrunc.plan.namespaces import FLAGS
from pyrunc.run import hints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

OWN = "/proc/self/ns/user"
NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)


def errors(config: Config) -> Iterator[UnsupportedError]:
    """Yield an error for each namespace of CONFIG that cannot be joined, as far as that is for us to see."""
    for index, namespace in enumerate(config.linux.namespaces):
        if not namespace.path:
            continue
        at, doing = f"/linux/namespaces/{index}/path", f"error joining {namespace.type} namespace: {namespace.path}"
        try:
            kind = _kind(namespace.path)
        except OSError as error:
            code = error.errno or 0
            if code != errno.EACCES or posix.geteuid() == 0:
                hint = hints.hint("open_namespace", code) or "correct the path"
                yield UnsupportedError(f"{doing}: {posix.strerror(code).lower()}", pointer=at, hint=hint)
        else:
            if kind != FLAGS[namespace.type]:
                text = f"{doing}: invalid argument: the file is of another type of namespace, or of none"
                yield UnsupportedError(text, pointer=at, hint=f"name one of type {namespace.type}")
            elif namespace.type == "user" and posix.stat(namespace.path).st_ino == posix.stat(OWN).st_ino:
                text = f"{doing}: invalid argument: this process is in that one"
                yield UnsupportedError(text, pointer=at, hint="remove it: nothing has to be joined")


def _kind(path: str) -> int:
    """Return the flag of clone(2) for the namespace behind PATH, 0 for what is none.  Raises OSError if it cannot be opened."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY)
    try:
        return ioctl(fd, NS_GET_NSTYPE)
    except OSError:
        return 0
    finally:
        posix.close(fd)
