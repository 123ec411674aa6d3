"""/mounts and /root (config.md, "Mounts", "Root")."""

from __future__ import annotations

from pyrunc.oci.convert import UINT32, array, boolean, integer, record, string, strings
from pyrunc.record import Record


class Root(Record):
    """The container's root file system."""

    path: str
    readonly: bool = False


class IDMapping(Record):
    """SIZE ids from containerID on are the host's from hostID on."""

    containerID: int
    hostID: int
    size: int


class Mount(Record):
    """One mount, in the order of the configuration."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uidMappings: tuple[IDMapping, ...] = ()
    gidMappings: tuple[IDMapping, ...] = ()


_uint32 = integer(UINT32)
id_mappings = array(
    record(IDMapping, "containerID hostID size", containerID=_uint32, hostID=_uint32, size=integer((1, UINT32[1])))
)
root = record(Root, "path", path=string, readonly=boolean)
mounts = array(
    record(
        Mount,
        "destination",
        destination=string,
        type=string,
        source=string,
        options=strings,
        uidMappings=id_mappings,
        gidMappings=id_mappings,
    )
)
