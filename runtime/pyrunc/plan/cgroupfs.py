"""Mounts of type cgroup: the container's view of its own cgroups.

Version 1 gets a tmpfs with one directory for each hierarchy, version 2 one
mount.  Without a cgroup namespace the container's own subtree is bound, never
the host's whole tree.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.linux import mount as m
from pyrunc.plan import cgroups, mountopts
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount
    from pyrunc.plan.request import Request

ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
CLONE = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC
SAFE = m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC


def wanted(mount: Mount, facts: HostFacts) -> bool:
    """Return whether MOUNT is to show the container's cgroups; cgroup2 says the same where there is no other."""
    return mount.type == "cgroup" or (mount.type == "cgroup2" and facts.cgroups.unified)


def mounts(
    config: Config, facts: HostFacts, request: Request, mount: Mount, options: mountopts.Options, index: int
) -> Iterator[Op]:
    """Yield the ops of the cgroup mount at /mounts/INDEX."""
    at = f"/mounts/{index}"
    doing = f'error mounting "cgroup" to rootfs at "{mount.destination}"'
    _refuse(mount, options, at)
    own_namespace = has(config.linux, "cgroup")
    where = cgroups.joined(config, facts, request)
    if facts.cgroups.unified:
        yield Op("mount_point", (ROOT, mount.destination, "directory"), at, Slot(f"point{index}"), doing)
        yield from _one("cgroup2", (), where[-1].directory, own_namespace, options, index, "", doing)
        yield from _spread(Slot(f"mount{index}"), options, at, doing)
        return
    top, point = Slot(f"mount{index}"), Slot(f"point{index}")
    yield Op("mount_point", (ROOT, mount.destination, "directory"), at, point, doing)
    yield from _tmpfs(index, top, doing)
    yield Op("move_mount", (top, "", point, "", ON_ROOT), at, doing=doing)
    for place in where:
        if place.is_v2:
            continue  # version 2 of a hybrid host is not the container's to see
        name = place.mount.rpartition("/")[2]
        yield Op("mount_point", (ROOT, f"{mount.destination}/{name}", "directory"), at, Slot(f"point{index}/{name}"), doing)
        yield from _one("cgroup", place.controllers, place.directory, own_namespace, options, index, f"/{name}", doing)
        for controller in place.controllers if len(place.controllers) > 1 else ():
            yield Op("symlink", (ROOT, f"{mount.destination}/{controller}", name), at, doing=doing)
    if options.attributes & m.MOUNT_ATTR_RDONLY:
        yield Op("mount_setattr", (top, "", m.AT_EMPTY_PATH, m.MOUNT_ATTR_RDONLY, 0, 0, 0), at, doing=doing)
    yield from _spread(top, options, at, doing)


def _refuse(mount: Mount, options: mountopts.Options, at: str) -> None:
    """Refuse options that no cgroup mount of ours passes on."""
    words = [*options.superblock, *(option for option, _ in options.data)]
    for word in words:
        raise ConfigError(
            f'mount option "{word}" means nothing for a cgroup mount',
            pointer=f"{at}/options/{mount.options.index(word)}",
            hint="remove it: the runtime chooses controllers and hierarchy",
        )


def _spread(top: Slot, options: mountopts.Options, at: str, doing: str) -> Iterator[Op]:
    """Yield the ops that give the mount, and all below it, the propagation that it asks for."""
    for flag, recursive in options.propagation:
        flags = m.AT_EMPTY_PATH | (m.AT_RECURSIVE if recursive else 0)
        yield Op("mount_setattr", (top, "", flags, 0, 0, flag, 0), at, doing=doing)


def _tmpfs(index: int, top: Slot, doing: str) -> Iterator[Op]:
    """Yield the ops that make the directory of hierarchies."""
    at, context = f"/mounts/{index}", Slot(f"fs{index}")
    yield Op("fsopen", ("tmpfs", m.FSOPEN_CLOEXEC), at, context, doing)
    yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "source", "tmpfs", 0), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "mode", "755", 0), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at, doing=doing)
    yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, SAFE), at, top, doing)


def _one(
    fstype: str,
    controllers: tuple[str, ...],
    directory: str,
    own_namespace: bool,
    options: mountopts.Options,
    index: int,
    name: str,
    doing: str,
) -> Iterator[Op]:
    """Yield the ops of one hierarchy: mounted anew in a cgroup namespace, else bound."""
    at = f"/mounts/{index}"
    tree, point = Slot(f"mount{index}{name}"), Slot(f"point{index}{name}")
    attributes = options.attributes | (SAFE if fstype == "cgroup" else 0)
    if own_namespace:
        context = Slot(f"fs{index}{name}")
        yield Op("fsopen", (fstype, m.FSOPEN_CLOEXEC), at, context, doing)
        yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "source", "cgroup", 0), at, doing=doing)
        for controller in controllers:
            key, equals, value = controller.partition("=")
            command = m.FSCONFIG_SET_STRING if equals else m.FSCONFIG_SET_FLAG
            yield Op("fsconfig", (context, command, key, value if equals else None, 0), at, doing=doing)
        yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at, doing=doing)
        yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, attributes), at, tree, doing)
    else:
        yield Op("open_tree", (m.AT_FDCWD, directory, CLONE), at, tree, doing)
        yield Op("mount_setattr", (tree, "", m.AT_EMPTY_PATH, attributes, 0, 0, 0), at, doing=doing)
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)
