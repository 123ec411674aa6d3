"""Network devices and their addresses over rtnetlink(7).

Loaded only for linux.netDevices.  A socket belongs for ever to the network
namespace in which it was made, so one for another namespace can be kept.
"""

from __future__ import annotations

import posix
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from _struct import pack, unpack_from

from pyrunc.linux.abi import failure
from pyrunc.linux.process import CLONE_NEWNET, setns
from pyrunc.record import Record

NETLINK_ROUTE = 0
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE_EXCL = 0x1, 0x4, 0x300, 0x600
IFLA_IFNAME, IFLA_NET_NS_FD, IFLA_ALT_IFNAME = 3, 28, 53
IFNAME_MAX = 15  # IFNAMSIZ without its NUL; an alternative name may be longer
IFF_UP = 0x1
IFA_FLAGS, IFA_F_PERMANENT = 8, 0x80
RT_SCOPE_UNIVERSE = 0
HEADER, LINK, ADDRESS, ATTRIBUTE = "=IHHII", "=BBHiII", "=BBBBI", "=HH"
HEADER_SIZE, LINK_SIZE, ADDRESS_SIZE, ATTRIBUTE_SIZE = 16, 16, 8, 4
CHUNK = 1 << 16


class Link(Record):
    """One network device."""

    index: int
    flags: int
    name: str


class Address(Record):
    """One address of a device; `attributes` are (IFA_ number, value)."""

    index: int
    family: int
    prefix: int
    flags: int
    scope: int
    attributes: tuple[tuple[int, bytes], ...]


def open_socket(namespace: int = -1) -> socket:
    """Return a socket of the network namespace behind descriptor NAMESPACE, or of our own.  Raises OSError."""
    if namespace < 0:
        return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
    own = posix.open("/proc/thread-self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        setns(namespace, CLONE_NEWNET)
        try:
            return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
        finally:
            setns(own, CLONE_NEWNET)
    finally:
        posix.close(own)


def get_link(sock: socket, name: str) -> Link:
    """RTM_GETLINK: return the device called NAME, or that has it as an alternative.  Raises OSError (ENODEV if there is none)."""
    word = name.encode("utf-8", "surrogateescape")
    kind = IFLA_IFNAME if len(word) <= IFNAME_MAX else IFLA_ALT_IFNAME
    answer = _ask(sock, RTM_GETLINK, 0, pack(LINK, 0, 0, 0, 0, 0, 0) + _attribute(kind, word + b"\0"))[0]
    _, _, _, index, flags, _ = unpack_from(LINK, answer)
    own = dict(_attributes(answer[LINK_SIZE:]))[IFLA_IFNAME].rstrip(b"\0")
    return Link(index, flags, str(own, "utf-8", "surrogateescape"))


def move_link(sock: socket, index: int, namespace: int, name: str) -> None:
    """RTM_NEWLINK: move device INDEX into the network namespace behind descriptor NAMESPACE, as NAME."""
    body = pack(LINK, 0, 0, 0, index, 0, 0) + _attribute(IFLA_NET_NS_FD, pack("=I", namespace))
    _ask(sock, RTM_NEWLINK, NLM_F_ACK, body + _attribute(IFLA_IFNAME, name.encode("utf-8", "surrogateescape") + b"\0"))


def set_up(sock: socket, index: int) -> None:
    """RTM_NEWLINK: bring device INDEX up."""
    _ask(sock, RTM_NEWLINK, NLM_F_ACK, pack(LINK, 0, 0, 0, index, IFF_UP, IFF_UP))


def get_addresses(sock: socket, index: int) -> list[Address]:
    """RTM_GETADDR: return the addresses of device INDEX."""
    found = []
    for message in _ask(sock, RTM_GETADDR, NLM_F_DUMP, pack(ADDRESS, 0, 0, 0, 0, 0)):
        family, prefix, flags, scope, of = unpack_from(ADDRESS, message)
        attributes = _attributes(message[ADDRESS_SIZE:])
        more = dict(attributes).get(IFA_FLAGS)
        if of == index:
            wide = unpack_from("=I", more)[0] if more is not None else flags
            found.append(Address(of, family, prefix, wide, scope, attributes))
    return found


def add_address(sock: socket, address: Address) -> None:
    """RTM_NEWADDR: add ADDRESS."""
    body = pack(ADDRESS, address.family, address.prefix, address.flags & 0xFF, address.scope, address.index)
    body += b"".join(_attribute(kind, value) for kind, value in address.attributes if kind != IFA_FLAGS)
    _ask(sock, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE_EXCL, body + _attribute(IFA_FLAGS, pack("=I", address.flags)))


def _attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return pack(ATTRIBUTE, ATTRIBUTE_SIZE + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Return the attributes in DATA."""
    found = []
    while len(data) >= ATTRIBUTE_SIZE:
        size, kind = unpack_from(ATTRIBUTE, data)
        found.append((kind, data[ATTRIBUTE_SIZE:size]))
        data = data[size + -size % 4 :]
    return tuple(found)


def _ask(sock: socket, kind: int, flags: int, body: bytes) -> list[bytes]:
    """Send one request and return the bodies of the answer.  Raises OSError for an error that the kernel answers."""
    sock.send(pack(HEADER, HEADER_SIZE + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)
    found: list[bytes] = []
    while True:
        data = sock.recv(CHUNK)
        while data:
            size, answer, _, _, _ = unpack_from(HEADER, data)
            message, data = data[HEADER_SIZE:size], data[size + -size % 4 :]
            if answer == NLMSG_ERROR:
                (number,) = unpack_from("=i", message)
                if number:
                    raise failure(-number)
                return found
            if answer == NLMSG_DONE:
                return found
            found.append(message)
        if not flags:
            return found
