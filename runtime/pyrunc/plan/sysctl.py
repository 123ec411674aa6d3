"""/linux/sysctl: kernel settings of the container's own namespaces (config-linux.md, "Sysctl")."""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci.check import HOSTNAME_MAX
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import PROC, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config

# sysctl(8) names that belong to a namespace, by its type (sysctl(2), namespaces(7)).
IPC = frozenset(
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced kernel.auto_msgmni kernel.msg_next_id kernel.sem_next_id "
    "kernel.shm_next_id".split()
)
# Those of which a pid namespace has its own, since this kernel (pid_namespaces(7), memfd_create(2)).
PID = {"kernel.pid_max": (6, 14), "vm.memfd_noexec": (6, 3)}


def child(config: Config, facts: HostFacts) -> Iterator[Op]:
    """Yield the ops that write the settings, through the host's procfs."""
    for name, value in config.linux.sysctl.items():
        at = "/linux/sysctl/" + name.replace("~", "~0").replace("/", "~1")
        _check(config, facts, name, at)
        if _kind(name) == "uts" and len(value.encode()) > HOSTNAME_MAX:
            raise ConfigError(f"longer than {HOSTNAME_MAX} bytes", pointer=at, hint="the kernel would cut it off")
        doing = f'error setting sysctl "{name}" to "{value}"'
        yield Op("write_at", (PROC, f"sys/{_path(name)}", value), at, doing=doing)


def kinds(config: Config) -> frozenset[str]:
    """Return the types of the namespaces that settings are written to: one that is joined must not be the host's."""
    return frozenset(_kind(name) for name in config.linux.sysctl)


def _path(name: str) -> str:
    """Return NAME as a path; the first separator says which of the two is one (sysctl.d(5))."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name if first == "/" else name.translate({ord("."): "/", ord("/"): "."})


def _kind(name: str) -> str:
    """Return the type of the namespace that setting NAME belongs to; "" if it is the whole machine's."""
    dotted = _dotted(name)
    if dotted in IPC or dotted.startswith("fs.mqueue."):
        return "ipc"
    if dotted.startswith("net."):
        return "network"
    if dotted in ("kernel.domainname", "kernel.hostname"):
        return "uts"
    if dotted in PID:
        return "pid"
    return "user" if dotted.startswith("user.") else ""


def _dotted(name: str) -> str:
    """Return NAME with a dot between all its parts."""
    return _path(name).replace("/", ".")


def _check(config: Config, facts: HostFacts, name: str, at: str) -> None:
    """Refuse a setting that is not the container's own."""
    kind = _kind(name)
    if not kind or ".." in _path(name).split("/"):
        hint = "only settings that belong to a namespace may be changed"
        raise ConfigError(f'sysctl "{name}" is not in a separate kernel namespace', pointer=at, hint=hint)
    if not has(config.linux, kind):
        hint = f'add {{"type": "{kind}"}} to /linux/namespaces'
        raise ConfigError(
            f'sysctl "{name}" is not allowed as it is the host\'s: no {kind} namespace', pointer=at, hint=hint
        )
    if facts.kernel < (since := PID.get(_dotted(name), facts.kernel)):
        hint = f"a pid namespace has its own since Linux {since[0]}.{since[1]}"
        raise UnsupportedError(f'sysctl "{name}" is not in a separate kernel namespace', pointer=at, hint=hint)
    if config.hostname and _dotted(name) == "kernel.hostname":
        text = f'sysctl "{name}" is not allowed as it conflicts with the OCI "hostname" field'
        raise ConfigError(text, pointer=at, hint="remove one of both")
