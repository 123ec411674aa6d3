"""The bus of a user's own systemd: $DBUS_SESSION_BUS_ADDRESS, or the socket in $XDG_RUNTIME_DIR."""

from __future__ import annotations

import posix

from pyrunc.errors import UnsupportedError
from pyrunc.host.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from jeepney.io.blocking import DBusConnection

SOCKET = "bus"
SECONDS = 5.0
LINE_MAX = 1024
HINT = "log in by a session of systemd's (loginctl enable-linger makes one last), or leave --systemd-cgroup out"


def address() -> str:
    """Return the address of the bus.  Raises UnsupportedError if nothing names one."""
    named = str(posix.environ.get(b"DBUS_SESSION_BUS_ADDRESS", b""), "utf-8", "surrogateescape")
    if named:
        return named
    runtime = str(posix.environ.get(b"XDG_RUNTIME_DIR", b""), "utf-8", "surrogateescape")
    if runtime and posix.access(f"{runtime}/{SOCKET}", posix.F_OK):
        return f"unix:path={runtime}/{SOCKET}"
    raise UnsupportedError("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR leads to the user's bus", hint=HINT)


def connect() -> DBusConnection:
    """Return a connection to the bus, as the user that we are to it.  Raises OSError, UnsupportedError."""
    import socket

    from jeepney.bus import get_bus
    from jeepney.io.blocking import DBusConnection

    where = address()
    try:
        path = get_bus(where)
    except (ValueError, RuntimeError, StopIteration):
        raise UnsupportedError(f'"{where}" is no address of a bus', hint=HINT) from None
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(SECONDS)
    try:
        sock.connect(path)
        _authenticate(sock, user(posix.geteuid(), read("/proc/self/uid_map")))
        sock.settimeout(None)
        return DBusConnection(sock)
    except BaseException:
        sock.close()
        raise


def _authenticate(sock: socket.socket, uid: int) -> None:
    """Tell the bus that we are UID, which it knows from the socket (D-Bus specification, "EXTERNAL")."""
    sock.sendall(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n")
    said = b""
    while not said.endswith(b"\r\n"):
        part = sock.recv(LINE_MAX)
        if not part or len(said) > LINE_MAX:
            break
        said += part
    if not said.startswith(b"OK "):
        raise UnsupportedError(f"the user's bus does not take us for user {uid}", hint=HINT)
    sock.sendall(b"BEGIN\r\n")


def user(uid: int, mapping: str) -> int:
    """Return what UID is outside of our user namespace, whose MAPPING is the text of uid_map: so the bus knows it."""
    for line in mapping.splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= uid < inside + count:
            return outside + uid - inside
    return uid
