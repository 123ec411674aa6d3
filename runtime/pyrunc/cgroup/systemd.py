"""The systemd driver: a transient scope, asked for over D-Bus (org.freedesktop.systemd1(5)).

The slow path of cgroups: jeepney is loaded only here.  A scope takes three
round trips (Hello, AddMatch, StartTransientUnit) and a signal that it is done.
"""

from __future__ import annotations

from pyrunc.errors import OpError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jeepney import Message
    from jeepney.io.blocking import DBusConnection

    from pyrunc.cgroup.paths import Place
    from pyrunc.cgroup.units import Unit

    # name, D-Bus signature, value
    Property = tuple[str, str, Any]

MANAGER = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager")
SECONDS = 30.0
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"


class Manager:
    """A connection to systemd: the machine's, or with USER the user's own."""

    def __init__(self, *, user: bool = False) -> None:
        """Connect to its bus.  Raises UnsupportedError if systemd cannot be reached there."""
        from jeepney import DBusAddress
        from jeepney.io.blocking import open_dbus_connection

        try:
            if user:
                from pyrunc.cgroup import userbus

                self.bus: DBusConnection = userbus.connect()
            else:
                self.bus = open_dbus_connection("SYSTEM")
        except (OSError, KeyError) as error:
            reason = (getattr(error, "strerror", "") or str(error)).lower()
            hint = "leave --systemd-cgroup out, or start D-Bus and systemd"
            raise UnsupportedError(f"systemd cannot be reached over D-Bus: {reason}", hint=hint) from None
        path, name, interface = MANAGER
        self.address = DBusAddress(path, name, interface)

    def close(self) -> None:
        """End the connection."""
        self.bus.close()

    def call(self, method: str, signature: str, *body: object) -> Any:
        """Call METHOD of the manager and return its results.  Raises OpError with what systemd says."""
        from jeepney import new_method_call

        return self._send(method, new_method_call(self.address, method, signature, body))

    def control_group(self) -> str:
        """Return the path of the manager's own cgroup.  Raises OpError."""
        from jeepney import Properties

        return str(self._send("ControlGroup", Properties(self.address).get("ControlGroup"))[0][1]).rstrip("/")

    def _send(self, method: str, message: Message) -> Any:
        """Send MESSAGE, which is about METHOD, and return what comes back."""
        from jeepney import HeaderFields, MessageType

        reply = self.bus.send_and_get_reply(message, timeout=SECONDS)
        if reply.header.message_type == MessageType.error:
            kind = str(reply.header.fields.get(HeaderFields.error_name, ""))
            said = str(reply.body[0]) if reply.body else kind
            raise BusError(f"systemd refuses {method}: {said}", kind)
        return reply.body

    def finish(self, method: str, signature: str, *body: object) -> None:
        """Call METHOD, which starts a job, and wait until that is done.  Raises OpError unless it is."""
        from jeepney import MatchRule, message_bus

        path, name, interface = MANAGER
        wanted = {"type": "signal", "interface": interface, "member": "JobRemoved", "path": path}
        # The bus knows who owns the well-known name; what arrives bears a unique one.
        with self.bus.filter(MatchRule(**wanted), bufsize=64) as removed:
            self.bus.send_and_get_reply(message_bus.AddMatch(MatchRule(sender=name, **wanted)), timeout=SECONDS)
            job = self.call(method, signature, *body)[0]
            while True:
                _, ended, unit, result = self.bus.recv_until_filtered(removed, timeout=SECONDS).body
                if ended == job:
                    break
        if result not in ("done", "skipped"):
            raise OpError(f"systemd could not do {method} for {unit}: {result}", hint=f"see journalctl -u {unit}")

    def refuse_active(self, name: str) -> None:
        """Raise OpError if unit NAME is active.

        To systemd a slice without a unit file is free even then: it would take our properties, and end with the container.
        """
        from jeepney import DBusAddress, Properties

        try:
            path = self.call("GetUnit", "s", name)[0]
        except BusError as error:
            if error.kind == NO_SUCH_UNIT:
                return
            raise
        unit = Properties(DBusAddress(path, MANAGER[1], "org.freedesktop.systemd1.Unit"))
        state = self._send("ActiveState", unit.get("ActiveState"))[0][1]
        if state not in ("inactive", "failed"):
            hint = "give every container a unit of its own, or stop it"
            raise OpError(f"systemd has {name} already, and it is {state}", hint=hint)

    def forget(self, name: str) -> None:
        """Forget that unit NAME has failed; one that systemd does not know is no error.  Raises OpError."""
        try:
            self.call("ResetFailedUnit", "s", name)
        except BusError as error:
            if error.kind != NO_SUCH_UNIT:
                raise


class BusError(OpError):
    """systemd refused a call; `kind` is the name of its error."""

    def __init__(self, message: str, kind: str) -> None:
        """Keep the KIND beside the message."""
        super().__init__(message)
        self.kind = kind


def start(unit: Unit, pid: int, properties: tuple[Property, ...]) -> None:
    """Start UNIT, a scope with process PID in it, or a slice.

    One that has failed is forgotten, and does not stand in its way.  Raises OpError, also if there is such a unit.
    """
    from pyrunc.errors import PyruncError

    scope = unit.name.endswith(".scope")
    given: list[tuple[str, tuple[str, Any]]] = [
        ("Description", ("s", f"pyrunc container {unit.name}")),
        ("Wants" if not scope else "Slice", ("as", [unit.slice]) if not scope else ("s", unit.slice)),
        ("DefaultDependencies", ("b", False)),
        *((name, (signature, value)) for name, signature, value in properties),
    ]
    if scope:
        given += [("Delegate", ("b", True)), ("PIDs", ("au", [pid]))]
    manager = Manager(user=unit.user)
    try:
        if not scope:
            manager.refuse_active(unit.name)
        try:
            manager.finish("StartTransientUnit", "ssa(sv)a(sa(sv))", unit.name, "replace", given, [])
        except BusError as error:
            if error.kind != UNIT_EXISTS:
                raise
            manager.forget(unit.name)
            manager.finish("StartTransientUnit", "ssa(sv)a(sa(sv))", unit.name, "replace", given, [])
    except TimeoutError:
        raise PyruncError(
            f"systemd has not started {unit.name} within {SECONDS:g} s", hint=f"see `systemctl status {unit.name}`"
        ) from None
    finally:
        manager.close()


def cgroup_of(places: tuple[Place, ...]) -> str:
    """Return that of the directories of PLACES, which are of one unit, by which systemd tells who is in it."""
    for wanted in ("", "name=systemd"):
        for place in places:
            if wanted in place.controllers:
                return place.directory
    return places[0].directory


def user_cgroup() -> str:
    """Return the path of the cgroup in which the user's own systemd makes its units.  Raises OpError."""
    manager = Manager(user=True)
    try:
        return manager.control_group()
    finally:
        manager.close()


def attach(name: str, pid: int) -> None:
    """Move process PID into unit NAME of the user's own systemd.  Raises OpError."""
    manager = Manager(user=True)
    try:
        manager.call("AttachProcessesToUnit", "ssau", name, "", [pid])
    finally:
        manager.close()


def change(name: str, properties: tuple[Property, ...], *, user: bool) -> None:
    """Set PROPERTIES of unit NAME, until it stops.  Raises OpError."""
    manager = Manager(user=user)
    try:
        given = [(key, (signature, value)) for key, signature, value in properties]
        manager.call("SetUnitProperties", "sba(sv)", name, True, given)
    finally:
        manager.close()


def stop(name: str, *, user: bool) -> None:
    """Stop unit NAME and forget that it failed; one that systemd does not know is no error.  Raises OpError."""
    manager = Manager(user=user)
    try:
        try:
            manager.finish("StopUnit", "ss", name, "replace")
        except BusError as error:
            if error.kind != NO_SUCH_UNIT:
                raise
        manager.forget(name)
    finally:
        manager.close()
