"""cgroupsPath -> the directories of a container, one in each hierarchy (config-linux.md, "Cgroups Path").

As runc resolves it: an absolute path from the hierarchy's root, a relative one
(and none: the container's id) below the runtime's own cgroup; in version 2
beside that, as a cgroup with processes can have no children with controllers.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.host.cgroups import Cgroups

AT = "/linux/cgroupsPath"


class Place(Record):
    """One directory, and the controllers it has ("" for version 2)."""

    directory: str
    mount: str
    controllers: tuple[str, ...]

    @property
    def is_v2(self) -> bool:
        """Say whether this is of version 2."""
        return self.controllers == ("",)


def places(cgroups: Cgroups, cgroups_path: str, container: str) -> tuple[Place, ...]:
    """Return where the container lives, each directory once.

    Raises ConfigError for a path that leads out of the hierarchy.
    """
    path = cgroups_path or container
    if ".." in path.split("/"):
        raise ConfigError(f'cgroupsPath "{path}" leads upwards', pointer=AT, hint='remove ".."')
    path = ("/" if path.startswith("/") else "") + "/".join(p for p in path.split("/") if p not in ("", "."))
    if path in ("", "/"):
        raise ConfigError("cgroupsPath is the root of the hierarchy", pointer=AT, hint="name a cgroup below it")
    return below(cgroups, path)


def below(cgroups: Cgroups, path: str) -> tuple[Place, ...]:
    """Return the places of cgroup PATH, which is absolute, or relative to our own."""
    found: dict[str, Place] = {}
    for controller, hierarchy in cgroups.v1.items():
        directory = hierarchy.directory(path)
        controllers = found[directory].controllers if directory in found else ()
        found[directory] = Place(directory, hierarchy.mount, (*controllers, controller))
    if cgroups.v2 is not None:
        own = cgroups.v2
        if cgroups.unified:
            own = own.replace(own=own.beside)
        found[own.directory(path)] = Place(own.directory(path), own.mount, ("",))
    return tuple(found.values())


def writable(cgroups: Cgroups, where: tuple[Place, ...]) -> tuple[Place, ...]:
    """Return those of the places WHERE at which this process may make its cgroups."""
    mounts = {hierarchy.mount for hierarchy in cgroups.v1.values() if hierarchy.writable}
    if cgroups.v2 is not None and cgroups.v2.writable:
        mounts.add(cgroups.v2.mount)
    return tuple(place for place in where if place.mount in mounts)


def own(cgroups: Cgroups, mount: str) -> str:
    """Return the directory of this process's own cgroup in the hierarchy at MOUNT."""
    hierarchies = (*cgroups.v1.values(), *([cgroups.v2] if cgroups.v2 is not None else []))
    return next(each.directory(each.own) for each in hierarchies if each.mount == mount)
