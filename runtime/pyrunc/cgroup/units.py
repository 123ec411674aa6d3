"""cgroupsPath for systemd -> a slice and a scope, and where these lie in the hierarchies.

`slice:prefix:name`, as runc reads it: the scope is prefix-name.scope in that
slice.  Pure; cgroup/systemd.py talks to systemd.
"""

from __future__ import annotations

from pyrunc.cgroup.paths import AT, Place, below
from pyrunc.errors import ConfigError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.host.cgroups import Cgroups

DEFAULT_SLICE, USER_SLICE, DEFAULT_PREFIX = "system.slice", "user.slice", "pyrunc"
HINT = "write it as slice:prefix:name, such as system.slice:pyrunc:web"


class Unit(Record):
    """A transient scope: its name, the slice that it is in, and whether it is one of the user's own systemd."""

    name: str
    slice: str
    user: bool = False


def unit(cgroups_path: str, container: str, *, user: bool = False) -> Unit:
    """Return the scope that CGROUPS_PATH names; without one, pyrunc-CONTAINER.scope in system.slice.

    For USER's own systemd that is user.slice.  Raises ConfigError.
    """
    default = USER_SLICE if user else DEFAULT_SLICE
    if not cgroups_path:
        return Unit(f"{DEFAULT_PREFIX}-{container}.scope", default, user)
    parts = cgroups_path.split(":")
    if len(parts) != 3:
        text = f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, found "{cgroups_path}"'
        raise ConfigError(text, pointer=AT, hint=HINT)
    where, prefix, name = parts
    if not name or "/" in cgroups_path or "\0" in cgroups_path:
        raise ConfigError(f'"{cgroups_path}" names no unit of systemd', pointer=AT, hint=HINT)
    made = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    where = where or default
    slice_path(where)
    return Unit(made, where, user)


def slice_path(name: str) -> str:
    """Return the path of slice NAME: a-b.slice lies in a.slice (systemd.slice(5)).  Raises ConfigError."""
    stem = name.removesuffix(".slice")
    if stem == name or "/" in name or (stem != "-" and not all(stem.split("-"))):
        raise ConfigError(f'invalid slice name "{name}"', pointer=AT, hint="such as machine.slice or a-b.slice")
    if stem == "-":
        return ""
    words = stem.split("-")
    return "".join(f"/{'-'.join(words[: count + 1])}.slice" for count in range(len(words)))


def places(cgroups: Cgroups, found: Unit, manager: str) -> tuple[Place, ...]:
    """Return where the cgroups of scope FOUND are, each directory once; MANAGER is the cgroup of a user's systemd."""
    return below(cgroups, f"{manager if found.user else ''}{slice_path(found.slice)}/{found.name}")
