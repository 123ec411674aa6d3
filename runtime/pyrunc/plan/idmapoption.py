"""idmap=uids=0-1-10#10-11-10;gids=0-100-10: mappings of a mount in its option, as crun has them (crun(1), "idmap mount options").

Each triple is first id in the source, first id as it is seen through the mount, and how many.  With an `@` before it, the
second is an id of the container's: the user namespace's own mapping says which of the host's that is.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci import check
from pyrunc.oci.mounts import IDMapping
from pyrunc.plan import idmap, mountopts
from pyrunc.plan.namespaces import has, is_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount

ID_MAX = 0xFFFFFFFF
FORM = "such as idmap=uids=0-1000-10#10-5000-1;gids=0-1000-10"
KINDS = {"uids": "uidMappings", "gids": "gidMappings"}


def read(config: Config) -> Config:
    """Return CONFIG with what options say of mappings as the mappings of their mounts.  Raises ConfigError."""
    return config.replace(mounts=tuple(_mount(config, mount, index) for index, mount in enumerate(config.mounts)))


def _mount(config: Config, mount: Mount, number: int) -> Mount:
    """Return MOUNT, which is NUMBER in CONFIG, with the mappings that its option has."""
    for word, index in mountopts.split(mount.options):
        if not word.startswith(idmap.VALUED):
            continue
        at = f"/mounts/{number}/options/{index}"
        found: dict[str, tuple[IDMapping, ...]] = {}
        for part in filter(None, word.partition("=")[2].split(";")):
            kind, _, rows = part.partition("=")
            if kind not in KINDS or KINDS[kind] in found or not rows:
                raise ConfigError(f'"{part}" is neither uids= nor gids= with mappings, or comes twice', pointer=at, hint=FORM)
            found[KINDS[kind]] = _rows(config, kind, rows, at)
        if not found:
            raise ConfigError(f"{word} has no mappings", pointer=at, hint=FORM)
        own = mount.uidMappings or mount.gidMappings
        if own and (mount.uidMappings, mount.gidMappings) != tuple(found.get(name, ()) for name in KINDS.values()):
            raise ConfigError("the mount has other mappings already", pointer=at, hint="leave one of both out")
        mount = mount.replace(uidMappings=(), gidMappings=()).replace(**found)
    return mount


def _rows(config: Config, kind: str, text: str, at: str) -> tuple[IDMapping, ...]:
    """Return the mappings of KIND in TEXT, which stands AT."""
    rows: list[IDMapping] = []
    for triple in text.split("#"):
        numbers = triple.removeprefix("@").split("-")
        if len(numbers) != 3 or not all(each.isascii() and each.isdigit() and int(each) <= ID_MAX for each in numbers):
            raise ConfigError(f'"{triple}" is no mapping of three numbers', pointer=at, hint=FORM)
        row = IDMapping(*map(int, numbers))
        if not row.size:
            raise ConfigError(f'"{triple}" maps no id', pointer=at, hint="the third number says how many: from 1")
        rows += _absolute(config, kind, row, at) if triple.startswith("@") else [row]
    for error in check.mapping_errors(tuple(rows), at):
        raise ConfigError(error.message, pointer=at, hint=error.hint)
    return tuple(rows)


def _absolute(config: Config, kind: str, row: IDMapping, at: str) -> list[IDMapping]:
    """Return ROW of KIND, whose second number is an id of the container's, in ids of the host: a row for each range in which
    that lies.
    """
    if not has(config.linux, "user"):
        raise ConfigError("a relative mapping in a container without a user namespace", pointer=at, hint="remove the @")
    if not is_new(config.linux, "user"):
        text = "a relative mapping where the user namespace is joined, whose mappings nobody says"
        raise UnsupportedError(text, pointer=at, hint="write ids of the host, without @")
    rows: list[IDMapping] = []
    first, last = row.hostID, row.hostID + row.size
    for each in sorted(getattr(config.linux, KINDS[kind]), key=lambda known: known.containerID):
        low, high = max(first, each.containerID), min(last, each.containerID + each.size)
        if low < high:
            rows.append(IDMapping(row.containerID + low - first, each.hostID + low - each.containerID, high - low))
    if sum(each.size for each in rows) != row.size:
        text = f"ids {first} to {last - 1} are not all mapped in the container's user namespace"
        raise ConfigError(text, pointer=at, hint="make the range smaller, or add them to linux." + KINDS[kind])
    return rows
