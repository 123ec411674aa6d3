"""Steps that move network devices into a container's network namespace, by the host side.

Loaded only for linux.netDevices.  A device that was moved goes back if the
container then cannot be made; after that the namespace decides what becomes of
it (config-linux.md, "Network Devices").
"""

from __future__ import annotations

import errno
import posix
from itertools import count

from pyrunc.errors import OpError
from pyrunc.linux import rtnetlink as rt
from pyrunc.plan.netdevices import TEMPLATE
from pyrunc.plan.op import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from pyrunc.run.context import Context

# What is the address's own, beside what the kernel works out again: NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE.
KEPT_FLAGS = 0x02 | 0x10 | 0x100 | 0x200
IFA_LABEL, IFA_CACHEINFO = 3, 6


class Moved:
    """The devices that have been moved into the namespace behind descriptor `namespace`, out of that behind `own`."""

    def __init__(self, own: int, namespace: int) -> None:
        """Open a socket in each.  Raises OSError."""
        self.own, self.namespace = own, namespace
        self.here, self.there = rt.open_socket(), rt.open_socket(namespace)
        self.names: list[tuple[str, str]] = []

    def move(self, name: str, new: str) -> None:
        """Move device NAME, to be called NEW (its first free number; if empty, as it is), with its lasting global addresses.

        Bring it up.  Raises OpError if there is none, or if NEW is taken there.
        """
        link = _find(self.here, name)
        if link is None:
            raise OpError(
                f"there is no network device {name} in the runtime's network namespace",
                errno=errno.ENODEV,
                hint="name one that `ip link` shows",
            )
        new = new or link.name
        same = _find(self.here, new) if new != link.name else None
        if same is not None and same.index == link.index:
            text = f"{new} is an alternative name of network device {link.name}, which cannot have it twice"
            raise OpError(f"{text}: it keeps both names where none is given", errno=errno.EEXIST, hint="leave the name out")
        if TEMPLATE in new:
            new = next(found for number in count() if _find(self.there, found := new.replace(TEMPLATE, str(number), 1)) is None)
        elif _find(self.there, new) is not None:
            raise OpError(
                f"the container has a network device {new} already", errno=errno.EEXIST, hint="give it another name there"
            )
        addresses = [
            address
            for address in rt.get_addresses(self.here, link.index)
            if address.flags & rt.IFA_F_PERMANENT and address.scope == rt.RT_SCOPE_UNIVERSE
        ]
        self.names.append((link.name, new))  # first: the kernel may have moved it, and then refuse the name
        rt.move_link(self.here, link.index, self.namespace, new)
        _restore_addresses(self.there, new, addresses)

    def give_back(self, name: str) -> None:
        """Move the device that was called NAME back, with its name and its addresses; one that is gone is left out."""
        new = dict(self.names).get(name, name)
        if _find(self.here, name) is not None:
            return
        link = _find(self.there, new) or _find(self.there, name)
        if link is not None:
            addresses = rt.get_addresses(self.there, link.index)
            rt.move_link(self.there, link.index, self.own, name)
            kept = [address for address in addresses if address.scope == rt.RT_SCOPE_UNIVERSE]
            _restore_addresses(self.here, name, kept)

    def close(self) -> None:
        """Be done: what has been moved stays."""
        self.here.close()
        self.there.close()


def move_device(context: Context, pid: int, name: str, new: str) -> None:
    """Move network device NAME into the network namespace of process PID, as NEW, or by its own name if that is empty."""
    if context.devices is None:
        slots = context.slots
        for slot, who in (("own-net", "thread-self"), ("net", str(pid))):
            slots[slot] = posix.open(f"/proc/{who}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
        context.devices = Moved(slots["own-net"], slots["net"])
    context.record(Token("move_device", (name,)))
    context.devices.move(name, new)


def _find(sock: socket, name: str) -> rt.Link | None:
    """Return the device called NAME, if there is one."""
    try:
        return rt.get_link(sock, name)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _restore_addresses(sock: socket, name: str, addresses: list[rt.Address]) -> None:
    """Give device NAME its ADDRESSES again, which it loses on its way, and bring it up."""
    index = rt.get_link(sock, name).index
    for address in addresses:
        attributes = tuple((kind, value) for kind, value in address.attributes if kind not in (IFA_LABEL, IFA_CACHEINFO))
        rt.add_address(sock, address.replace(index=index, flags=address.flags & KEPT_FLAGS, attributes=attributes))
    rt.set_up(sock, index)
