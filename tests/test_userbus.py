"""The user's bus: found, spoken to, and asked where its systemd makes units, of a bus that the test itself is."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

jeepney = pytest.importorskip("jeepney")

from pyrunc.cgroup import systemd, userbus  # noqa: E402
from pyrunc.errors import UnsupportedError  # noqa: E402

WHERE = "/user.slice/user-1000.slice/user@1000.service"


class Bus:
    """A bus with one client: takes its authentication, answers Hello and Get(ControlGroup), remembers what it was asked."""

    def __init__(self, path: Path, *, takes: bool = True) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(20)
        self.takes, self.auth, self.asked = takes, b"", []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        client, _ = self.listener.accept()
        with client:
            client.settimeout(20)
            while not self.auth.endswith(b"\r\n"):
                self.auth += client.recv(1000)
            client.sendall(b"OK 0123\r\n" if self.takes else b"REJECTED EXTERNAL\r\n")
            self.answer(client)

    def answer(self, client: socket.socket) -> None:
        parser, begun = jeepney.Parser(), b""
        while data := client.recv(10000):
            if len(begun) < 7:
                begun += data
                assert begun.startswith(b"BEGIN\r\n"[: len(begun)])
                data, begun = begun[7:], begun[:7]
            parser.add_data(data)
            while (message := parser.get_next_message()) is not None:
                fields = jeepney.HeaderFields
                self.asked.append((message.header.fields[fields.member], message.body))
                if message.header.fields[fields.member] == "Hello":
                    reply = jeepney.new_method_return(message, "s", (":1.1",))
                else:
                    reply = jeepney.new_method_return(message, "v", (("s", WHERE),))
                client.sendall(reply.serialise(serial=len(self.asked)))

    def close(self) -> None:
        self.thread.join(20)
        self.listener.close()


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    environment = {b"XDG_RUNTIME_DIR": str(tmp_path).encode()}
    monkeypatch.setattr(userbus.posix, "environ", environment)
    return tmp_path


@pytest.mark.parametrize("named", [True, False])
def test_where_units_are_made(directory, named):
    path = directory / ("other" if named else "bus")
    if named:
        userbus.posix.environ[b"DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={path}".encode()
    bus = Bus(path)
    assert systemd.user_cgroup() == WHERE
    bus.close()
    assert bus.auth == b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n"
    assert bus.asked == [("Hello", ()), ("Get", ("org.freedesktop.systemd1.Manager", "ControlGroup"))]


def test_who_is_not_taken(directory):
    bus = Bus(directory / "bus", takes=False)
    with pytest.raises(UnsupportedError, match="does not take us"):
        systemd.user_cgroup()
    bus.close()


def test_without_a_bus(directory):
    with pytest.raises(UnsupportedError, match="neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR"):
        systemd.user_cgroup()
    userbus.posix.environ[b"DBUS_SESSION_BUS_ADDRESS"] = b"nonsense"
    with pytest.raises(UnsupportedError, match='"nonsense" is no address of a bus'):
        systemd.user_cgroup()
    userbus.posix.environ[b"DBUS_SESSION_BUS_ADDRESS"] = b"unix:path=/no/such/socket"
    with pytest.raises(UnsupportedError, match="no such file or directory"):
        systemd.user_cgroup()


@pytest.mark.parametrize(
    ("uid", "mapping", "outside"),
    [
        (0, "         0       1000          1\n", 1000),
        (0, "         0          0 4294967295\n", 0),
        (5, "0 1000 1\n1 100000 65536\n", 100004),
        (1000, "         0          0 4294967295\n", 1000),
        (7, "0 1000 1\n", 7),
    ],
)
def test_who_we_are_to_the_bus(uid, mapping, outside):
    assert userbus.user(uid, mapping) == outside
