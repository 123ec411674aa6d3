"""What types alone cannot say about a configuration: one small check after the other."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.config import Config
    from pyrunc.oci.process import Process

# Settings that need a new namespace, with what they are.
CLOCKS = ("monotonic", "boottime")
HOSTNAME_MAX = 64


def _namespaces(config: Config) -> None:
    """Each type at most once."""
    seen = set()
    for index, namespace in enumerate(config.linux.namespaces):
        if namespace.type in seen:
            at = f"/linux/namespaces/{index}/type"
            raise ConfigError(f"namespace {namespace.type} is listed twice", pointer=at, hint="remove one")
        seen.add(namespace.type)


def _need_namespaces(config: Config) -> None:
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
            raise ConfigError(
                f"{pointer.rpartition('/')[2]} needs a {kind} namespace",
                pointer=pointer,
                hint=f'add {{"type": "{kind}"}} to /linux/namespaces',
            )
    if "user" in new and not (linux.uidMappings and linux.gidMappings):
        missing = "uidMappings" if not linux.uidMappings else "gidMappings"
        hint = f"add linux.{missing}, or nobody is root in the container"
        raise ConfigError("a new user namespace needs mappings", pointer=f"/linux/{missing}", hint=hint)
    for clock in linux.timeOffsets:
        if clock not in CLOCKS:
            raise ConfigError(
                f'unknown clock "{clock}"', pointer=f"/linux/timeOffsets/{clock}", hint="one of " + ", ".join(CLOCKS)
            )


def _names(config: Config) -> None:
    """Host and domain name fit the kernel's (uname(2))."""
    for pointer, name in (("/hostname", config.hostname), ("/domainname", config.domainname)):
        if len(name.encode()) > HOSTNAME_MAX:
            raise ConfigError(f"longer than {HOSTNAME_MAX} bytes", pointer=pointer, hint="the kernel takes no more")


def process(made: Process, at: str) -> None:
    """Check what a process document means; AT is its pointer."""
    if not made.args or not made.args[0]:
        raise ConfigError("args[0] is missing", pointer=f"{at}/args", hint="name the program to run")
    for index, entry in enumerate(made.env):
        if "=" not in entry[1:]:
            hint = 'write it as "NAME=value"'
            raise ConfigError(f'environment entry "{entry}" has no "="', pointer=f"{at}/env/{index}", hint=hint)
    seen = set()
    for index, limit in enumerate(made.rlimits):
        where = f"{at}/rlimits/{index}"
        if limit.type in seen:
            raise ConfigError(f"{limit.type} is listed twice", pointer=f"{where}/type", hint="remove one")
        seen.add(limit.type)
        if limit.soft > limit.hard:
            hint = "lower it, or raise hard"
            raise ConfigError(f"soft limit {limit.soft} is above hard {limit.hard}", pointer=f"{where}/soft", hint=hint)


def _process(config: Config) -> None:
    """Check the container's own process, if it has one."""
    if config.process is not None:
        process(config.process, "/process")


def _devices(config: Config) -> None:
    """Nodes other than fifos need their numbers."""
    for index, device in enumerate(config.linux.devices):
        if device.type != "p" and (device.major is None or device.minor is None):
            missing = "major" if device.major is None else "minor"
            at = f"/linux/devices/{index}/{missing}"
            raise ConfigError(f"{missing} is missing", pointer=at, hint="only a fifo (p) has no numbers")


def _entries(config: Config) -> None:
    """Entries of lists and maps say something."""
    for error in entries.errors(config):
        raise error


CHECKS = (_namespaces, _need_namespaces, _names, _process, _devices, _entries)
