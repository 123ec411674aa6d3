"""/linux/intelRdt: a class of service for caches and memory bandwidth (config-linux.md, "IntelRdt")."""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.plan.op import CHILD, Op
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.linux import IntelRdt

AT = "/linux/intelRdt"
ROOT_CLASS = "/"
RESERVED = ("", ".", "..", "info", "mon_groups", "mon_data")
MONITORS = "mon_groups"


class Groups(Record):
    """The directories that a container's processes join, in order, and those that go with the container."""

    joins: tuple[str, ...]
    owns: tuple[str, ...]


def groups(wanted: IntelRdt, facts: HostFacts, container: str) -> Groups:
    """Return the directories of CONTAINER.  Raises UnsupportedError without resctrl, ConfigError for a name that is none."""
    if not facts.resctrl:
        hint = "remove it, or mount resctrl, on a processor and a kernel that have it"
        raise UnsupportedError("there is no resctrl file system on this host", pointer=AT, hint=hint)
    name = wanted.closID or container
    if name != ROOT_CLASS and (name in RESERVED or "/" in name or "\n" in name):
        at = f"{AT}/closID"
        raise ConfigError(f'"{name}" is no name of a class of service', pointer=at, hint='one word, or "/"')
    where = facts.resctrl if name == ROOT_CLASS else f"{facts.resctrl}/{name}"
    own = () if wanted.closID else (where,)
    if not (wanted.enableMonitoring or wanted.enableCMT or wanted.enableMBM):
        return Groups((where,), own)
    monitor = f"{where}/{MONITORS}/{container}"
    return Groups((where, monitor), (monitor, *own))


def make(wanted: IntelRdt, facts: HostFacts, container: str) -> Iterator[Op]:
    """Yield the ops that make the directories, or check those that are there."""
    where, doing = groups(wanted, facts, container), "error making resctrl group"
    writes = tuple(lines_of(wanted))
    if not wanted.closID:
        yield Op("make_resctrl_class", (where.joins[0], writes), AT, doing=doing)
    else:
        yield Op("use_resctrl_class", (where.joins[0], writes), f"{AT}/closID", doing=doing)
    for monitor in where.joins[1:]:
        yield Op("make_resctrl_group", (monitor,), AT, doing=doing)


def join(directories: tuple[str, ...]) -> list[Op]:
    """Return the op by which the host moves the waiting process into DIRECTORIES."""
    return [Op("join_resctrl", (directories, CHILD), AT, doing="error joining resctrl group")]


def lines_of(wanted: IntelRdt) -> Iterator[tuple[str, ...]]:
    """Yield the lines of each write to schemata: those of the older fields, then those of `schemata`.

    A memBwSchema replaces the MB lines of l3CacheSchema.
    """
    old = wanted.l3CacheSchema.splitlines()
    if wanted.memBwSchema:
        if not wanted.memBwSchema.startswith("MB:") or "\n" in wanted.memBwSchema:
            at = f"{AT}/memBwSchema"
            raise ConfigError("not one line that begins with MB:", pointer=at, hint='such as "MB:0=20;1=70"')
        old = [line for line in old if not line.startswith("MB:")] + [wanted.memBwSchema]
    if old:
        yield tuple(old)
    for index, line in enumerate(wanted.schemata):
        if "\n" in line:
            raise ConfigError("a line with a newline", pointer=f"{AT}/schemata/{index}", hint="one entry for each line")
    if wanted.schemata:
        yield wanted.schemata
