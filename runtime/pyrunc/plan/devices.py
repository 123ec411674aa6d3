"""/linux/devices and the devices and links that every container gets (config-linux.md, "Devices")."""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.plan import mountopts
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config

# config-linux.md, "Default Devices": path, major, minor.
DEFAULT = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
PTMX = "/dev/ptmx"
# config-linux.md, "Default symbolic links" (dev/ptmx: config.md, "devpts").
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    (PTMX, "pts/ptmx"),
)
DEFAULT_MODE = 0o666
PERMISSIONS = 0o7777  # docker sends fileMode with the bits of the file's type
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH


def child(config: Config, facts: HostFacts) -> Iterator[Op]:
    """Yield the ops that fill /dev, unless it is somebody else's directory."""
    if _bound(config):
        return
    bind = has(config.linux, "user") or facts.nested  # mknod(2) is refused in a user namespace
    chosen = {device.path for device in config.linux.devices}
    for path, major, minor in DEFAULT:
        if path not in chosen:
            yield from _device(path, "c", DEFAULT_MODE, major, minor, 0, 0, at="", bind=bind)
    for index, device in enumerate(config.linux.devices):
        if device.path == PTMX:
            continue  # a link to the container's own, as with runc
        mode = DEFAULT_MODE if device.fileMode is None else device.fileMode & PERMISSIONS
        numbers = (device.major or 0, device.minor or 0)
        owner = (device.uid or 0, device.gid or 0)
        at = f"/linux/devices/{index}"
        yield from _device(device.path, device.type, mode, *numbers, *owner, at=at, bind=bind)
    for path, target in LINKS:
        yield Op("symlink", (ROOT, path, target))


def _bound(config: Config) -> bool:
    """Return whether /dev is bound from the host, where nothing may be made."""
    at_dev = [mountopts.of(mount) for mount in config.mounts if mount.destination == "/dev"]
    return any(options.bind and "remount" not in options.ours for options in at_dev)


def _device(
    path: str, kind: str, mode: int, major: int, minor: int, uid: int, gid: int, *, at: str, bind: bool
) -> Iterator[Op]:
    """Yield the ops that make one device node, or bind the host's."""
    doing = f'error creating device node "{path}"'
    if not bind or kind == "p":
        args = (ROOT, path, kind, mode, major, minor, uid, gid)
        yield Op("make_node", args, at, doing=doing)
        return
    tree, point = Slot(f"device{path}"), Slot(f"point{path}")
    flags = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC
    yield Op("open_tree", (m.AT_FDCWD, path, flags), at, tree, doing)
    yield Op("mount_point", (ROOT, path, tree), at, point, doing)
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)
