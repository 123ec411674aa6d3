"""A user namespace for nothing but its mappings: mount_setattr(2) takes those of an idmapped mount from one.

A namespace begins with a process in it.  So a helper is born into a new one,
waits until its mappings are written and the namespace is open, and ends; the
descriptor holds the namespace from then on.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals

from pyrunc.linux import process
from pyrunc.run import wire
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.linux.socket import Socket
    from pyrunc.run.context import Context


def make_user_namespace(_: Context, uid_map: str, gid_map: str) -> int:
    """Return a descriptor of a new user namespace with these mappings.  Raises OSError."""
    ours, other = wire.pair()
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        pid = process.clone3(process.CLONE_NEWUSER)
        if pid == 0:
            _wait(other, ours)
    finally:
        pthread_sigmask(SIG_SETMASK, before)
        other.close()
    try:
        for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
            fd = posix.open(f"/proc/{pid}/{name}", posix.O_WRONLY | posix.O_CLOEXEC)
            try:
                posix.write(fd, text.encode())
            finally:
                posix.close(fd)
        return posix.open(f"/proc/{pid}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
    finally:
        ours.close()
        posix.waitpid(pid, 0)


def _wait(sock: Socket, others: Socket) -> NoReturn:
    """Be the helper: stay until the other end is closed, by whoever made it or by its death."""
    try:
        seal()
        others.close()
        sock.receive(1)
    finally:
        posix._exit(0)
