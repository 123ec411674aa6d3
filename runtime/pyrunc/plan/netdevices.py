"""/linux/netDevices: devices of the runtime's network namespace that become the container's (config-linux.md).

The host moves them while the new process waits, as it may reach both namespaces.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import escape
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import CHILD, Op, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.linux import Linux

AT = "/linux/netDevices"
NAME_MAX, ALTERNATIVE_MAX = 15, 127  # IFNAMSIZ and ALTIFNAMSIZ without their NUL
TEMPLATE = "%d"  # in a name: the first number that is free


def host(linux: Linux) -> list[Op]:
    """Return the host's side of barrier network: what has a fixed name is moved first."""
    _check(linux)
    ops = [
        Op("move_device", (CHILD, name, device.name), f"{AT}/{escape(name)}", doing="error moving network device")
        for name, device in sorted(linux.netDevices.items(), key=lambda item: TEMPLATE in item[1].name)
    ]
    return barrier("network", *ops)


def child() -> list[Op]:
    """Return the child's side of barrier network."""
    return [Op("barrier", ("network",))]


def _check(linux: Linux) -> None:
    """Refuse devices without a namespace to go to, and names that are none or are given twice."""
    if not has(linux, "network"):
        hint = 'add {"type": "network"} to /linux/namespaces'
        raise ConfigError("netDevices need a network namespace", pointer=AT, hint=hint)
    taken: set[str] = set()
    for name, device in linux.netDevices.items():
        at = f"{AT}/{escape(name)}"
        for each, where, longest in ((name, at, ALTERNATIVE_MAX), (device.name or "eth", f"{at}/name", NAME_MAX)):
            bad = each in ("", ".", "..") or len(each.encode()) > longest or any(c in "/:" or c.isspace() for c in each)
            if bad:
                hint = f"1 to {longest} bytes without space, / and :"
                raise ConfigError(f'"{each}" is no name of a network device', pointer=where, hint=hint)
        new = device.name or name
        if new in taken and TEMPLATE not in new:
            raise ConfigError(f"two devices would be called {new}", pointer=f"{at}/name", hint="name one otherwise")
        taken.add(new)
