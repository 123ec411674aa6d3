"""Descriptors and names that CRIU inherits from us for a restore: streams and namespaces."""

from __future__ import annotations

import posix

from pyrunc.criu import externals
from pyrunc.criu.worker import SOCKET
from pyrunc.errors import ConfigError
from pyrunc.plan.namespaces import FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.oci.linux import Namespace

FIRST_FD = SOCKET + 1  # of the descriptors: before it are our streams
INHERITED = {"network": externals.NETWORK, "pid": externals.PID}


class Inherited:
    """Descriptors that CRIU gets, as FIRST_FD and up (`fds`), and what it has to be told of them and of namespaces (`told`)."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.fds: list[int] = []
        self.told: dict[str, list[dict[str, Any]]] = {"inherit_fd": [], "join_ns": []}
        self._opened: list[int] = []

    def streams(self, named: dict[str, int]) -> None:
        """Let CRIU have copies of our streams, NAMED as in the image: it closes them, and with --shell-job needs its own."""
        for name, fd in named.items():
            self._inherit(name, fd)

    def namespaces(self, configured: tuple[Namespace, ...]) -> None:
        """Let CRIU have, or join, those of the namespaces CONFIGURED that have a path.  Raises ConfigError."""
        for index, namespace in enumerate(configured):
            if not namespace.path:
                continue
            pointer = f"/linux/namespaces/{index}/path"
            fd = _open(namespace, pointer)
            self._opened.append(fd)
            if namespace.type in INHERITED:
                self._inherit(INHERITED[namespace.type], fd)
            elif namespace.type == "cgroup":
                raise ConfigError("CRIU cannot join a cgroup namespace", pointer=pointer, hint="let it have one of its own")
            else:
                self.told["join_ns"].append({"ns": FILES.get(namespace.type, namespace.type), "ns_file": namespace.path})

    def close(self) -> None:
        """Close what was opened here."""
        while self._opened:
            posix.close(self._opened.pop())

    def _inherit(self, key: str, fd: int) -> None:
        """Let CRIU have FD, and tell it that this is what the image calls KEY."""
        self.told["inherit_fd"].append({"key": key, "fd": FIRST_FD + len(self.fds)})
        self.fds.append(fd)


def _open(namespace: Namespace, pointer: str) -> int:
    """Open NAMESPACE, which is at POINTER of the configuration.  Raises ConfigError."""
    try:
        return posix.open(namespace.path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        text = f"error opening {namespace.type} namespace: {namespace.path}: {(error.strerror or '').lower()}"
        raise ConfigError(text, pointer=pointer, hint="the process or file behind this path is gone") from None
