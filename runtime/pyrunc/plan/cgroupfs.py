"""Mounts of type cgroup: the container's view of its own cgroups.

Version 1 gets a tmpfs with one directory for each hierarchy, version 2 one
mount.  Without a cgroup namespace the container's own subtree is bound, never
the host's whole tree.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.linux import mount as m
from pyrunc.plan import bindflags, cgroups, mountopts, newfs
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


def read_only_later(mount: Mount, options: mountopts.Options, facts: HostFacts) -> bool:
    """Return whether MOUNT, of a cgroup, has a directory of hierarchies that is made read-only at the end, as a tmpfs is."""
    return not facts.cgroups.unified and wanted(mount, facts) and bool(options.attributes & m.MOUNT_ATTR_RDONLY)


def mounts(
    config: Config, facts: HostFacts, request: Request, mount: Mount, options: mountopts.Options, index: int
) -> Iterator[Op]:
    """Yield the ops of the cgroup mount at /mounts/INDEX."""
    at = f"/mounts/{index}"
    doing = f'error mounting "cgroup" to rootfs at "{mount.destination}"'
    _refuse(mount, options, at)
    where = cgroups.joined(config, facts, request)
    if facts.cgroups.unified:
        yield Op("mount_point", (ROOT, mount.destination, "directory"), at, Slot(f"point{index}"), doing)
        yield from _one(config, facts, "cgroup2", (), where[-1].directory, options, index, "", doing)
        yield from newfs.propagation(Slot(f"mount{index}"), options, index, doing)
        return
    top, point = Slot(f"mount{index}"), Slot(f"point{index}")
    yield Op("mount_point", (ROOT, mount.destination, "directory"), at, point, doing)
    yield from _tmpfs(index, top, options, doing)
    yield Op("move_mount", (top, "", point, "", ON_ROOT), at, doing=doing)
    for place in where:
        if place.is_v2:
            continue  # version 2 of a hybrid host is not the container's to see
        name = place.mount.rpartition("/")[2]
        yield Op("mount_point", (ROOT, f"{mount.destination}/{name}", "directory"), at, Slot(f"point{index}/{name}"), doing)
        yield from _one(config, facts, "cgroup", place.controllers, place.directory, options, index, f"/{name}", doing)
        for controller in place.controllers if len(place.controllers) > 1 else ():
            yield Op("symlink", (ROOT, f"{mount.destination}/{controller}", name), at, doing=doing)
    yield from newfs.propagation(top, options, index, doing)


def _refuse(mount: Mount, options: mountopts.Options, at: str) -> None:
    """Refuse options that no cgroup mount of ours passes on."""
    words = [*options.superblock, *(option for option, _ in options.data)]
    for word in words:
        raise ConfigError(
            f'mount option "{word}" means nothing for a cgroup mount',
            pointer=f"{at}/options/{mountopts.place(mount, word)}",
            hint="remove it: the runtime chooses controllers and hierarchy",
        )


def _tmpfs(index: int, top: Slot, options: mountopts.Options, doing: str) -> Iterator[Op]:
    """Yield the ops that make the directory of hierarchies."""
    at, context = f"/mounts/{index}", Slot(f"fs{index}")
    yield Op("fsopen", ("tmpfs", m.FSOPEN_CLOEXEC), at, context, doing)
    yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "source", "tmpfs", 0), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "mode", "755", 0), at, doing=doing)
    yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at, doing=doing)
    attributes = options.attributes & ~m.MOUNT_ATTR_RDONLY | SAFE
    yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, attributes), at, top, doing)


def _one(
    config: Config,
    facts: HostFacts,
    fstype: str,
    controllers: tuple[str, ...],
    directory: str,
    options: mountopts.Options,
    index: int,
    name: str,
    doing: str,
) -> Iterator[Op]:
    """Yield the ops of one hierarchy: mounted anew in a cgroup namespace, else bound."""
    at = f"/mounts/{index}"
    tree, point = Slot(f"mount{index}{name}"), Slot(f"point{index}{name}")
    attributes = options.attributes | (SAFE if fstype == "cgroup" else 0)
    if has(config.linux, "cgroup"):
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
        asked = options.replace(attr_set=attributes, attr_clr=options.attr_clr | options.rec_clr)
        yield from bindflags.add(config, facts, tree, asked, at, doing)
    yield Op("move_mount", (tree, "", point, "", ON_ROOT), at, doing=doing)
