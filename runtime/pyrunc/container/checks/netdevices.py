"""Network devices that cannot be moved: they are not here, or their name is taken there (config-linux.md, "Network Devices")."""

from __future__ import annotations

import errno

from pyrunc.errors import UnsupportedError
from pyrunc.linux import rtnetlink as rt
from pyrunc.oci.convert import escape
from pyrunc.plan.netdevices import AT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

OWN = "lo"  # what every network namespace has
HERE = "name one that `ip link` shows"
OTHERWISE = "give it another name there"


def errors(config: Config) -> Iterator[UnsupportedError]:
    """Yield an error for each network device of CONFIG that cannot be moved, as far as that is seen from here."""
    for name, device in config.linux.netDevices.items():
        text, hint = "", HERE
        if not _is_there(name):
            text = f"there is no network device {name} in the runtime's network namespace"
        elif (device.name or name) == OWN:
            text, hint = f"the container has a network device {OWN} already", OTHERWISE
        if text:
            yield UnsupportedError(f"error moving network device: {text}", pointer=f"{AT}/{escape(name)}", hint=hint)


def _is_there(name: str) -> bool:
    """Return whether there is a device called NAME, or nobody lets us look."""
    sock = rt.open_socket()
    try:
        rt.get_link(sock, name)
    except OSError as error:
        return error.errno != errno.ENODEV
    finally:
        sock.close()
    return True
