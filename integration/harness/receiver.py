"""The other end of --console-socket and --pidfd-socket."""

from __future__ import annotations

import array
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Receiver:
    """Listens at PATH for one descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(20)

    def receive(self) -> tuple[bytes, int]:
        """Return the words that came along, and the descriptor."""
        connection, _ = self.listener.accept()
        fds = array.array("i")
        words, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_LEN(fds.itemsize))
        fds.frombytes(ancillary[0][2])
        connection.close()
        self.listener.close()
        return words, fds[0]
