"""Readiness, from a container to the service manager that waits for it (sd_notify(3)).

A container gets a socket of its own, /run/notify/notify.sock, and $NOTIFY_SOCKET;
what `ready` comes there goes on to the manager's socket, and with it the pid
that the manager is to watch, which the container cannot know.
"""

from __future__ import annotations

import posix
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET, socket
from _struct import pack
from select import POLLIN, poll

from pyrunc.container import store
from pyrunc.errors import ConfigError, OpError
from pyrunc.oci.mounts import Mount
from pyrunc.plan.namespaces import is_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.log import Log
    from pyrunc.oci.config import Config

NAME = store.NOTIFY_SOCKET
INSIDE = "/run/notify"
OPTIONS = ("bind", "nosuid", "noexec", "nodev", "ro")
MODE = 0o777  # for whichever user the container runs
MESSAGE_MAX = 4096
BARRIER_MS = 30_000


def with_socket(config: Config, directory: str) -> Config:
    """Return CONFIG with the mount and the variable by which its process finds the socket below state DIRECTORY.

    Raises ConfigError if there is no place for the mount.
    """
    if not is_new(config.linux, "mount") or config.process is None:
        hint = "unset NOTIFY_SOCKET, or give the container a mount namespace"
        raise ConfigError("NOTIFY_SOCKET is set, and the container can have no socket", pointer="/linux/namespaces", hint=hint)
    mount = Mount(INSIDE, "bind", f"{directory}/{store.NOTIFY}", OPTIONS)
    env = (*config.process.env, f"NOTIFY_SOCKET={INSIDE}/{NAME}")
    return config.replace(mounts=(*config.mounts, mount), process=config.process.replace(env=env))


def make_directory(directory: str) -> None:
    """Make the directory, below state DIRECTORY, that the container sees."""
    posix.mkdir(f"{directory}/{store.NOTIFY}", 0o755)


class Listener:
    """What listens on the container's socket, for the manager whose address is that of $NOTIFY_SOCKET."""

    def __init__(self, directory: str, address: str) -> None:
        """Listen below state DIRECTORY, for the manager at ADDRESS.  Raises OpError if that cannot be."""
        self.address = address
        self.own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        self.pidfd = -1
        try:
            self._bind(f"{directory}/{store.NOTIFY}")
        except OSError as error:
            self.close()
            raise OpError(
                f"cannot listen below {directory}: {(error.strerror or '').lower()}",
                errno=error.errno or 0,
                hint="see who may write there, and whether its file system is full",
            ) from None

    def _bind(self, directory: str) -> None:
        """Bind the socket in DIRECTORY, however long its path: addresses have 108 bytes (unix(7))."""
        place = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            try:
                posix.unlink(NAME, dir_fd=place)
            except FileNotFoundError:
                pass
            self.own.bind(f"/proc/self/fd/{place}/{NAME}")
            posix.chmod(NAME, MODE, dir_fd=place)
        finally:
            posix.close(place)

    def watch(self, init: int) -> None:
        """Remember process INIT, which is the container's: when it ends there is nothing to wait for any more."""
        self.pidfd = posix.pidfd_open(init)

    def close(self) -> None:
        """Listen no longer."""
        self.own.close()
        if self.pidfd >= 0:
            posix.close(self.pidfd)
            self.pidfd = -1

    def pass_on(self, main: int, log: Log) -> None:
        """Wait until the container says that it is ready, or ends; pass that on, with MAIN as the pid to watch, and close.

        A manager that cannot be reached gets a line in LOG: the container runs all the same.
        """
        try:
            ready = self._ready()
            if ready:
                self._tell(ready, main)
        except OSError as error:
            log.warning(f"cannot pass readiness on to NOTIFY_SOCKET={self.address}: {(error.strerror or '').lower()}")
        finally:
            self.close()

    def _ready(self) -> bytes:
        """Return the line READY=... that has come from the container, b"" once that has ended without one."""
        watch = poll()
        watch.register(self.own, POLLIN)
        watch.register(self.pidfd, POLLIN)
        while True:
            found = {fd for fd, _ in watch.poll()}
            if self.own.fileno() not in found:
                return b""
            for line in self.own.recv(MESSAGE_MAX).split(b"\n"):
                if line.startswith(b"READY="):
                    return line

    def _tell(self, ready: bytes, main: int) -> None:
        """Send line READY and the pid MAIN, and wait until the manager has taken them (sd_notify_barrier(3))."""
        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        read, write = posix.pipe2(posix.O_CLOEXEC)
        try:
            manager.connect("\0" + self.address[1:] if self.address.startswith("@") else self.address)
            manager.send(ready + b"\n")
            manager.send(b"MAINPID=%d\n" % main)
            manager.sendmsg([b"BARRIER=1"], [(SOL_SOCKET, SCM_RIGHTS, pack("i", write))])
            posix.close(write)
            write = -1
            watch = poll()
            watch.register(read, POLLIN)
            watch.poll(BARRIER_MS)
        finally:
            for fd in (read, write):
                if fd >= 0:
                    posix.close(fd)
            manager.close()


def stay_beside(listener: Listener, log: Log) -> None:
    """Let LISTENER pass on beside what this process does, which is the one that the manager is to watch.

    By a thread: the manager may heed its main process only (systemd.service(5), NotifyAccess=main).
    """
    from _thread import start_new_thread

    start_new_thread(listener.pass_on, (posix.getpid(), log))
