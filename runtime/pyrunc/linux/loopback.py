"""Network devices: the two ioctls that bring loopback up (netdevice(7))."""

from __future__ import annotations

from _struct import pack, unpack_from
from fcntl import ioctl

from pyrunc.linux.socket import internet

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def bring_up(name: str) -> None:
    """Set IFF_UP on interface NAME of this network namespace."""
    control = internet()
    try:
        request = pack("16sh22x", name.encode(), 0)
        (flags,) = unpack_from("h", ioctl(control.fileno(), SIOCGIFFLAGS, request), 16)
        ioctl(control.fileno(), SIOCSIFFLAGS, pack("16sh22x", name.encode(), flags | IFF_UP))
    finally:
        control.close()
