"""A helper of the host's that works in the new process's mount namespace.

A source of a bind mount may lie where root of a user namespace cannot reach,
so the host's root opens it; but where the kernel has copied the host's mounts
for that namespace, and has locked their flags (mount_namespaces(7)), so that
nothing inside can undo them.  Entering a mount namespace changes a process for
good, so it is a process of its own, which ends with the barrier.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals
from _struct import pack, unpack_from

from pyrunc.linux import mount, process
from pyrunc.linux.abi import failure
from pyrunc.run import wire
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.linux.socket import Socket
    from pyrunc.run.context import Context


class Inside:
    """The helper: its `pid`, and `sock`, on which it is asked."""

    def __init__(self, pid: int) -> None:
        """Start it, for the mount namespace of process PID.  Raises OSError if that cannot be entered."""
        self.sock, other = wire.pair()
        target = posix.pidfd_open(pid)
        before = pthread_sigmask(SIG_BLOCK, valid_signals())
        try:
            self.pid = process.clone3(0)
            if self.pid == 0:
                _serve(other, self.sock, target)
        finally:
            pthread_sigmask(SIG_SETMASK, before)
            posix.close(target)
            other.close()

    def open_tree(self, path: str, flags: int) -> int:
        """Return a descriptor of the detached copy of the mount at PATH.  Raises OSError."""
        self.sock.send(pack("=I", flags) + path.encode())
        frame = wire.receive(self.sock)
        if frame is None or frame.kind == wire.FAIL:
            raise failure(frame.errno if frame is not None else 5)
        return frame.fd

    def leave(self) -> None:
        """Let it end, and wait for that."""
        self.sock.close()
        posix.waitpid(self.pid, 0)


def _serve(sock: Socket, others: Socket, target: int) -> NoReturn:
    """Be the helper: enter the mount namespace behind TARGET, open what is asked for, until nobody asks."""
    seal()
    others.close()
    entered = False
    try:
        while request := sock.receive(wire.FRAME_MAX)[0]:
            try:
                if not entered:
                    process.setns(target, process.CLONE_NEWNS)
                    entered = True
                fd = mount.open_tree(mount.AT_FDCWD, str(request[4:], "utf-8"), unpack_from("=I", request)[0])
            except OSError as error:
                sock.send(wire.fail(0, error.errno or 0, ""))
            else:
                wire.send_at(sock, "tree", fd)
                posix.close(fd)
    finally:
        posix._exit(0)


def open_tree_inside(context: Context, pid: int, path: str, flags: int) -> int:
    """Open PATH in the mount namespace of process PID."""
    if context.inside is None:
        context.inside = Inside(pid)
    return context.inside.open_tree(path, flags)


def leave_inside(context: Context) -> None:
    """End the helper, if there is one."""
    if context.inside is not None:
        context.inside.leave()
        context.inside = None
