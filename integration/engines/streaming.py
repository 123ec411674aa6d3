"""What Exec, Attach and PortForward lead to: a WebSocket to containerd's streaming server, with Kubernetes' channels.

A message is binary, and its first byte is the channel of the rest.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import websocket

from integration.engines.place import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.engines.place import Place

PROTOCOL = "v4.channel.k8s.io"  # which has no word for the end of standard input, but the end of all
STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)
DATA, ERROR = range(2)  # of each forwarded port
SUCCESS = {"metadata": {}, "status": "Success"}


class Stream:
    """A connection, made in PLACE, to the URL that the runtime service has answered."""

    def __init__(self, place: Place, url: str) -> None:
        """Connect."""
        where = urlsplit(url)
        assert where.hostname
        assert where.port
        socket = place.connect(where.hostname, where.port)
        self.socket = websocket.create_connection(
            where._replace(scheme="ws").geturl(), timeout=SECONDS, subprotocols=[PROTOCOL], socket=socket
        )
        assert self.socket.getsubprotocol() == PROTOCOL
        self.got: dict[int, bytes] = defaultdict(bytes)
        self.open = True

    def __enter__(self) -> Stream:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the connection, as a client that goes away."""
        self.socket.close()

    def write(self, data: str | bytes, channel: int = STDIN) -> None:
        """Send DATA."""
        data = data.encode() if isinstance(data, str) else data
        self.socket.send_binary(bytes([channel]) + data)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of the terminal."""
        self.write(json.dumps({"Width": columns, "Height": rows}), RESIZE)

    def receive(self) -> None:
        """Take one message."""
        kind, data = self.socket.recv_data()
        self.open = kind != websocket.ABNF.OPCODE_CLOSE
        if self.open and data:
            self.got[data[0]] += data[1:]

    def read(self, enough: Callable[[bytes], object], channel: int = STDOUT) -> bytes:
        """Take messages until what has come on CHANNEL is ENOUGH, and return that."""
        while not enough(self.got[channel]):
            assert self.open, f"the end came before: {dict(self.got)}"
            self.receive()
        return self.got[channel]

    def read_until(self, wanted: str) -> str:
        """Take messages until WANTED is in standard output, and return that."""
        return self.read(lambda seen: wanted.encode() in seen).decode()

    def status(self) -> dict[str, Any]:
        """Take all messages to the end, and return what the status is."""
        while self.open:
            self.receive()
        found: dict[str, Any] = json.loads(self.got[STATUS])
        return found


def exit_status(status: dict[str, Any]) -> int:
    """Return the exit status that a STATUS tells."""
    if status == SUCCESS:
        return 0
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode"), status
    (cause,) = status["details"]["causes"]
    assert cause["reason"] == "ExitCode"
    return int(cause["message"])
