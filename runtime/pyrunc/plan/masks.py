"""/linux/maskedPaths, readonlyPaths and sysctl: what of the kernel's files a container sees."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.linux import mount as m
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import PROC, ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

NULL, EMPTY = Slot("null"), Slot("empty")
# sysctl(8) names that belong to a namespace, by its type (sysctl(2), namespaces(7)).
IPC = frozenset(
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced kernel.auto_msgmni kernel.msg_next_id kernel.sem_next_id "
    "kernel.shm_next_id".split()
)


def prepare(config: Config) -> Iterator[Op]:
    """Yield the ops that make what masks are made of, while the host's files are in sight."""
    if config.linux.maskedPaths:
        at = "/linux/maskedPaths"
        # The host's /dev/null, and checked: the image's could be anything (CVE-2025-31133).
        yield Op("open_null", (), at, NULL)
        context = Slot("empty-fs")
        yield Op("fsopen", ("tmpfs", m.FSOPEN_CLOEXEC), at, context)
        yield Op("fsconfig", (context, m.FSCONFIG_SET_FLAG, "ro", None, 0), at)
        yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "nr_inodes", "1", 0), at)
        yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at)
        attributes = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC
        yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, attributes), at, EMPTY)


def child(config: Config) -> Iterator[Op]:
    """Yield the ops that write settings, then make paths read-only or hide them."""
    for name, value in config.linux.sysctl.items():
        at = "/linux/sysctl/" + name.replace("~", "~0").replace("/", "~1")
        _check_sysctl(config, name, at)
        doing = f'error setting sysctl "{name}" to "{value}"'
        yield Op("write_at", (PROC, f"sys/{_path(name)}", value), at, doing=doing)
    for index, path in enumerate(config.linux.readonlyPaths):
        yield Op("make_readonly", (ROOT, path), f"/linux/readonlyPaths/{index}")
    for index, path in enumerate(config.linux.maskedPaths):
        yield Op("mask", (ROOT, path, NULL, EMPTY), f"/linux/maskedPaths/{index}")


def _path(name: str) -> str:
    """Return NAME as a path; the first separator says which of the two is one (sysctl.d(5))."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name if first == "/" else name.translate({ord("."): "/", ord("/"): "."})


def _check_sysctl(config: Config, name: str, at: str) -> None:
    """Refuse a setting that is not the container's own."""
    dotted = _path(name).replace("/", ".")
    kind = ""
    if dotted in IPC or dotted.startswith("fs.mqueue."):
        kind = "ipc"
    elif dotted.startswith("net."):
        kind = "network"
    elif dotted == "kernel.domainname" or (dotted == "kernel.hostname" and not config.hostname):
        kind = "uts"
    elif dotted.startswith("user."):
        kind = "user"
    if not kind or ".." in _path(name).split("/"):
        hint = "only settings that belong to a namespace may be changed"
        raise ConfigError(f'sysctl "{name}" is not in a separate kernel namespace', pointer=at, hint=hint)
    if not has(config.linux, kind):
        hint = f'add {{"type": "{kind}"}} to /linux/namespaces'
        raise ConfigError(
            f'sysctl "{name}" is not allowed as it is the host\'s: no {kind} namespace', pointer=at, hint=hint
        )
