"""What the service manager that has started us says in the environment: which sockets are for us, where to report readiness."""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def sockets() -> dict[str, Any]:
    """Return options `listen_fds` and `listen_names`, if LISTEN_PID says that the descriptors are for us (sd_listen_fds(3))."""
    count, pid = variable("LISTEN_FDS"), variable("LISTEN_PID")
    if not (count.isdecimal() and pid.isdecimal() and int(pid) == posix.getpid()):
        return {}
    return {"listen_fds": int(count), "listen_names": variable("LISTEN_FDNAMES")}


def notify_socket() -> str:
    """Return the address of the socket that waits for our readiness (sd_notify(3)), "" if there is none."""
    return variable("NOTIFY_SOCKET")


def variable(name: str) -> str:
    """Return the environment variable NAME, "" if it is not set."""
    return str(posix.environ.get(name.encode(), b""), "utf-8", "surrogateescape")
