"""A helper process of the host's that opens mounts in the new process's mount namespace.

A source of a bind mount may lie where root of a user namespace cannot reach,
so the host's root opens it; but where the kernel has copied the host's mounts
for that namespace, and has locked their flags (mount_namespaces(7)), so that
nothing inside can undo them.  Entering a mount namespace changes a process for
good, so it is a process of its own, which ends with the barrier.  It may hang
in a file system that nobody answers for (FUSE): whoever gives up kills it.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, SIGKILL, pthread_sigmask, valid_signals
from _struct import pack, unpack_from
from errno import ENAMETOOLONG, ESRCH
from select import POLLIN, poll

from pyrunc.errors import OpError
from pyrunc.linux import mount, process
from pyrunc.linux.abi import failure
from pyrunc.run import wire
from pyrunc.run.children import await_end
from pyrunc.run.seal import seal
from pyrunc.run.steps import nsroot

PATH_MAX = 4096  # with the byte that ends it, as the kernel counts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.linux.socket import Socket
    from pyrunc.run.context import Context

ENDED_SECONDS = 1.0


class MountNamespaceHelper:
    """The helper: its `pid`, and `sock`, on which it is asked."""

    def __init__(self, pid: int) -> None:
        """Start it, for the mount namespace of process PID.  Raises OSError if that cannot be entered."""
        self.sock, other = wire.pair()
        root = posix.open(f"/proc/{pid}/root", nsroot.DIRECTORY)  # less than all of it, in a chroot
        target = posix.pidfd_open(pid)
        parent = posix.getpid()
        before = pthread_sigmask(SIG_BLOCK, valid_signals())
        try:
            self.pid = process.clone3(0)
            if self.pid == 0:
                _serve(other, self.sock, (target, root), parent)
        finally:
            pthread_sigmask(SIG_SETMASK, before)
            posix.close(target)
            posix.close(root)
            other.close()

    def open_tree(self, path: str, flags: int, container: Socket) -> int:
        """Return a descriptor of the detached copy of the mount at PATH.

        Raises OSError, and OpError if the new process, which waits at the
        other end of CONTAINER, has died: `delete --force` wants us to give up.
        """
        named = path.encode()
        if len(named) >= PATH_MAX:
            raise failure(ENAMETOOLONG)
        try:
            self.sock.send(pack("=I", flags) + named)
        except ConnectionError:
            pass  # it has ended: the next frame says why
        watch = poll()
        watch.register(self.sock, POLLIN)
        watch.register(container, POLLIN)
        if all(fd != self.sock.fileno() for fd, _ in watch.poll()):
            raise _ended(container, path)
        frame = wire.receive(self.sock)
        if frame is None:
            raise OpError(
                f"the process that was to open {path} has ended",
                hint="see the kernel's log: it may have lacked memory",
            )
        if frame.kind == wire.FAIL:
            raise _ended(container, path) if frame.errno == ESRCH else failure(frame.errno)
        return frame.fds[0]

    def leave(self) -> None:
        """End it, whatever it is at, and wait for that; not for long, if it hangs in the kernel."""
        self.sock.close()
        posix.kill(self.pid, SIGKILL)
        await_end(self.pid, ENDED_SECONDS)


def _ended(container: Socket, path: str) -> Exception:
    """Return why the new process, which had been at the other end of CONTAINER, has ended while PATH was being opened."""
    watch = poll()
    watch.register(container, POLLIN)
    if not watch.poll(0):  # it has not: the kernel says that there is no such process
        return failure(ESRCH)
    told = wire.receive(container)
    if told is not None and told.kind == wire.FAIL:
        return failure(told.errno)
    return OpError(
        f"the container's init was killed while {path} was being opened",
        hint="see the kernel's log: it may have lacked memory",
    )


def _serve(sock: Socket, others: Socket, target: tuple[int, int], parent: int) -> NoReturn:
    """Be the helper: enter the mount namespace and the root behind TARGET, open what is asked for, until PARENT asks no more."""
    seal()
    entered = False
    try:
        process.prctl(process.PR_SET_PDEATHSIG, SIGKILL)
        if posix.getppid() != parent:
            posix._exit(1)
        others.close()
        while request := sock.receive(4 + PATH_MAX)[0]:
            try:
                if not entered:
                    process.setns(target[0], process.CLONE_NEWNS)
                    nsroot.take_root(target[1])
                    entered = True
                fd = mount.open_tree(mount.AT_FDCWD, str(request[4:], "utf-8"), unpack_from("=I", request)[0])
            except OSError as error:
                sock.send(wire.fail(0, error.errno or 0, ""))
            else:
                wire.send_at(sock, "tree", fd)
                posix.close(fd)
    except OSError as error:
        sock.send(wire.fail(0, error.errno or 0, ""))
    finally:
        posix._exit(0)


def open_tree_by_helper(context: Context, pid: int, path: str, flags: int) -> int:
    """Open PATH in the mount namespace of process PID."""
    if context.sock is None:
        raise OpError("there is no new process to open it for", hint="please report it")
    if context.mount_helper is None:
        try:
            context.mount_helper = MountNamespaceHelper(pid)
        except (FileNotFoundError, ProcessLookupError):
            raise _ended(context.sock, path) from None
    return context.mount_helper.open_tree(path, flags, context.sock)


def end_helper(context: Context) -> None:
    """End the helper, if there is one."""
    if context.mount_helper is not None:
        context.mount_helper.leave()
        context.mount_helper = None
