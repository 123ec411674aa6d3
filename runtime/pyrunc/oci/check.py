"""What types alone cannot say about a configuration: one small check after the other.

A check yields an error for each thing that is wrong.  Parsing raises the
first; the slow path (pyrunc.oci.explain) tells about all.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci import entries, lists
from pyrunc.oci.convert import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import IDMapping
    from pyrunc.oci.process import Process

# Settings that need a new namespace, with what they are.
CLOCKS = ("monotonic", "boottime")
MAPPINGS_MAX, IDS = 340, (1 << 32) - 1  # lines of /proc/PID/uid_map; 2**32-1 is no id
HOSTNAME_MAX, GROUPS_MAX = 64, 65536  # sethostname(2), setgroups(2)


def _namespaces(config: Config) -> Iterator[ConfigError]:
    """Each type at most once."""
    seen = set()
    for index, namespace in enumerate(config.linux.namespaces):
        if namespace.type in seen:
            at = f"/linux/namespaces/{index}/type"
            yield ConfigError(f"namespace {namespace.type} is listed twice", pointer=at, hint="remove one")
        seen.add(namespace.type)


def _need_namespaces(config: Config) -> Iterator[ConfigError]:
    """Settings that belong to a namespace need it."""
    linux = config.linux
    present = {namespace.type for namespace in linux.namespaces}
    new = {namespace.type for namespace in linux.namespaces if not namespace.path}
    for pointer, value, kind, kinds in (
        ("/hostname", config.hostname, "uts", present),
        ("/domainname", config.domainname, "uts", present),
        ("/linux/uidMappings", linux.uidMappings, "user", present),
        ("/linux/gidMappings", linux.gidMappings, "user", present),
        ("/linux/timeOffsets", linux.timeOffsets, "time", new),
    ):
        if value and kind not in kinds:
            yield ConfigError(
                f"{pointer.rpartition('/')[2]} needs a {kind} namespace",
                pointer=pointer,
                hint=f'add {{"type": "{kind}"}} to /linux/namespaces',
            )
    if "user" in new and not (linux.uidMappings and linux.gidMappings):
        missing = "uidMappings" if not linux.uidMappings else "gidMappings"
        hint = f"add linux.{missing}, or nobody is root in the container"
        yield ConfigError("a new user namespace needs mappings", pointer=f"/linux/{missing}", hint=hint)
    for clock in linux.timeOffsets:
        if clock not in CLOCKS:
            at = f"/linux/timeOffsets/{escape(clock)}"
            yield ConfigError(f'unknown clock "{clock}"', pointer=at, hint="one of " + ", ".join(CLOCKS))


def _mappings(config: Config) -> Iterator[ConfigError]:
    """Ids are mapped once on each side, in as many lines as the kernel takes (user_namespaces(7))."""
    lists = {"/linux/uidMappings": config.linux.uidMappings, "/linux/gidMappings": config.linux.gidMappings}
    for index, mount in enumerate(config.mounts):
        lists[f"/mounts/{index}/uidMappings"] = mount.uidMappings
        lists[f"/mounts/{index}/gidMappings"] = mount.gidMappings
    new = any(each.type == "user" and not each.path for each in config.linux.namespaces)
    for at, rows in lists.items():
        if rows and new and at.startswith("/linux/") and all(row.containerID for row in rows):
            hint = "add a mapping with containerID 0: the container is set up as root of its user namespace"
            yield ConfigError("id 0 is not mapped", pointer=at, hint=hint)
        yield from mapping_errors(rows, at)


def mapping_errors(rows: tuple[IDMapping, ...], at: str) -> Iterator[ConfigError]:
    """Yield what is wrong with ROWS, found AT: too many, or one that overlaps another or goes beyond all ids."""
    if len(rows) > MAPPINGS_MAX:
        hint = "the kernel takes no more: join ranges"
        yield ConfigError(f"more than {MAPPINGS_MAX} mappings", pointer=f"{at}/{MAPPINGS_MAX}", hint=hint)
    for side in ("containerID", "hostID") if rows else ():
        yield from _ranges(rows[:MAPPINGS_MAX], side, at)


def _ranges(rows: tuple[IDMapping, ...], side: str, at: str) -> Iterator[ConfigError]:
    """Yield an error for each range of ROWS, found AT, that on this SIDE goes beyond all ids, or into another one."""
    taken: list[tuple[int, int]] = []
    for index, row in enumerate(rows):
        first = getattr(row, side)
        if first + row.size > IDS:
            text, hint = f"{side} {first} and size {row.size} go too far", f"ids end at {IDS - 1}: make size smaller"
            yield ConfigError(text, pointer=f"{at}/{index}/size", hint=hint)
        other = next((n for n, (low, high) in enumerate(taken) if first < high and low < first + row.size), -1)
        if other >= 0:
            hint = "let it begin behind that, or make that one's size smaller"
            yield ConfigError(f"{side} overlaps that of mapping {other}", pointer=f"{at}/{index}/{side}", hint=hint)
        taken.append((first, first + row.size))


def _names(config: Config) -> Iterator[ConfigError]:
    """Host and domain name fit the kernel's (uname(2))."""
    for pointer, name in (("/hostname", config.hostname), ("/domainname", config.domainname)):
        if len(name.encode()) > HOSTNAME_MAX:
            yield ConfigError(f"longer than {HOSTNAME_MAX} bytes", pointer=pointer, hint="the kernel takes no more")


def process_errors(made: Process, at: str) -> Iterator[ConfigError]:
    """Check what a process document means; AT is its pointer."""
    if not made.args or not made.args[0]:
        yield ConfigError("args[0] is missing", pointer=f"{at}/args", hint="name the program to run")
    for index, entry in enumerate(made.env):
        if "=" not in entry[1:]:
            hint = 'write it as "NAME=value"'
            lacks = 'name before the "="' if entry[:1] == "=" else '"="'
            yield ConfigError(f'environment entry "{entry}" has no {lacks}', pointer=f"{at}/env/{index}", hint=hint)
    if len(made.user.additionalGids) > GROUPS_MAX:
        text = f"more than {GROUPS_MAX} groups"
        yield ConfigError(text, pointer=f"{at}/user/additionalGids/{GROUPS_MAX}", hint="the kernel takes no more")
    seen = set()
    for index, limit in enumerate(made.rlimits):
        where = f"{at}/rlimits/{index}"
        if limit.type in seen:
            yield ConfigError(f"{limit.type} is listed twice", pointer=f"{where}/type", hint="remove one")
        seen.add(limit.type)
        if limit.soft > limit.hard:
            hint = "lower it, or raise hard"
            yield ConfigError(f"soft limit {limit.soft} is above hard {limit.hard}", pointer=f"{where}/soft", hint=hint)
    if made.execCPUAffinity is not None:
        for name, value in made.execCPUAffinity.items():
            yield from lists.errors(value, f"{at}/execCPUAffinity/{name}")


def _process(config: Config) -> Iterator[ConfigError]:
    """Check the container's own process, if it has one."""
    if config.process is not None:
        yield from process_errors(config.process, "/process")


def _devices(config: Config) -> Iterator[ConfigError]:
    """Nodes other than fifos need their numbers."""
    for index, device in enumerate(config.linux.devices):
        if device.type != "p" and (device.major is None or device.minor is None):
            missing = "major" if device.major is None else "minor"
            at = f"/linux/devices/{index}/{missing}"
            yield ConfigError(f"{missing} is missing", pointer=at, hint="only a fifo (p) has no numbers")


def _seccomp(config: Config) -> Iterator[ConfigError]:
    """Data for a listener needs the listener (config-linux.md, "Seccomp")."""
    filters = config.linux.seccomp
    if filters is not None and filters.listenerMetadata and not filters.listenerPath:
        at = "/linux/seccomp/listenerMetadata"
        yield ConfigError("listenerMetadata without listenerPath", pointer=at, hint="remove it")


def _memory_policy(config: Config) -> Iterator[ConfigError]:
    """The nodes are numbers of nodes."""
    if config.linux.memoryPolicy is not None:
        yield from lists.errors(config.linux.memoryPolicy.nodes, "/linux/memoryPolicy/nodes")


CHECKS = (_namespaces, _need_namespaces, _mappings, _names, _process, _devices, _seccomp, _memory_policy, entries.errors)


def config_errors(made: Config) -> Iterator[ConfigError]:
    """Check what a configuration means."""
    for test in CHECKS:
        yield from test(made)


def config(made: Config) -> None:
    """Raise the first error of a configuration, if it has one."""
    for error in config_errors(made):
        raise error


def process(made: Process, at: str) -> None:
    """Raise the first error of the process document at pointer AT, if it has one."""
    for error in process_errors(made, at):
        raise error
