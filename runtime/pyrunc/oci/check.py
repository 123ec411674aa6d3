"""What types alone cannot say about a configuration: one small check after the other."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.config import Config
    from pyrunc.oci.process import Process

# Settings that need a new namespace, with what they are.
CLOCKS = ("monotonic", "boottime")
HOSTNAME_MAX = 64
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


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


def _annotations(config: Config) -> None:
    """Every annotation has a name."""
    if "" in config.annotations:
        raise ConfigError("an annotation has no name", pointer="/annotations/", hint="such as com.example.name")


def _pairs(config: Config) -> None:
    """Entries that limit two things limit one of them at least."""
    resources = config.linux.resources
    if resources is None:
        return
    for index, row in enumerate(resources.blockIO.weightDevice if resources.blockIO is not None else ()):
        if row.weight is None and row.leafWeight is None:
            at = f"/linux/resources/blockIO/weightDevice/{index}"
            raise ConfigError("neither weight nor leafWeight is set", pointer=at, hint="set one, or remove the entry")
    for name, limit in resources.rdma.items():
        if limit.hcaHandles is None and limit.hcaObjects is None:
            at = f"/linux/resources/rdma/{escape(name)}"
            raise ConfigError("neither hcaHandles nor hcaObjects is set", pointer=at, hint="set one, or remove the entry")


def _seccomp(config: Config) -> None:
    """Rules name system calls, only some actions take an errno, and metadata is for a listener."""
    profile = config.linux.seccomp
    if profile is None:
        return
    at = "/linux/seccomp"
    rows = [(profile.defaultAction, profile.defaultErrnoRet, f"{at}/defaultErrnoRet")]
    for index, rule in enumerate(profile.syscalls):
        where = f"{at}/syscalls/{index}"
        if not rule.names:
            raise ConfigError("names is empty", pointer=f"{where}/names", hint="name a system call, or remove the rule")
        rows.append((rule.action, rule.errnoRet, f"{where}/errnoRet"))
    for action, number, where in rows:
        if number is not None and action not in WITH_ERRNO:
            hint = "only " + " and ".join(WITH_ERRNO) + " take one"
            raise ConfigError(f"{action} takes no errno", pointer=where, hint=hint)
    if profile.listenerMetadata and not profile.listenerPath:
        where = f"{at}/listenerMetadata"
        raise ConfigError("listenerMetadata needs a listenerPath", pointer=where, hint="set it, or remove this")


CHECKS = (_namespaces, _need_namespaces, _names, _process, _devices, _annotations, _pairs, _seccomp)
