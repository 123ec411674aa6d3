"""/root and /linux/rootfsPropagation: from a directory of the host to `/`."""

from __future__ import annotations

from pyrunc.errors import UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import masks
from pyrunc.plan.mountopts import PROPAGATION, RECURSIVE_PROPAGATION
from pyrunc.plan.namespaces import has, is_new
from pyrunc.plan.op import PROC, ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.plan.request import Request

OLD_ROOT = Slot("old-root")
DIRECTORY = Slot("rootfs")
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
COPY = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | m.AT_RECURSIVE
AT = "/root/path"
PREPARING = 'error preparing rootfs "{}"'


def host(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that copy the rootfs before the fork, where what is mounted in it is to stay a peer of the host's."""
    if _spreads(config):
        doing = PREPARING.format(request.rootfs)
        yield Op("open_tree", (m.AT_FDCWD, request.rootfs, COPY), AT, ROOT, doing)
        yield Op("mount_setattr", (ROOT, "", m.AT_EMPTY_PATH, 0, 0, m.MS_PRIVATE, 0), AT, doing=doing)


def _spreads(config: Config) -> bool:
    """Return whether mounts of the container's are to show up on the host; with a user namespace none can."""
    shared = (config.linux.rootfsPropagation or "") in ("shared", "rshared")
    return shared and is_new(config.linux, "mount") and not has(config.linux, "user")


def prepare(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that make the rootfs a mount of its own, cut off from the host's."""
    if not is_new(config.linux, "mount"):
        _refuse_without_namespace(config)
        yield Op("open_directory", (request.rootfs,), AT, ROOT, "error preparing rootfs")
        return
    wanted = config.linux.rootfsPropagation or ""
    first = m.MS_PRIVATE if wanted == "rprivate" else m.MS_SLAVE
    yield Op("mount", (None, "/", None, m.MS_REC | first, None), "/linux/rootfsPropagation")
    doing = PREPARING.format(request.rootfs)
    yield Op("open_directory", (request.rootfs,), AT, DIRECTORY, doing)
    # What the host mounts later below the rootfs, or elsewhere on that mount, is not for the container.
    yield Op("make_holder_private", (DIRECTORY,), AT, doing=doing)
    if not _spreads(config):
        yield Op("open_tree", (DIRECTORY, "", COPY | m.AT_EMPTY_PATH), AT, ROOT, doing)
    yield Op("move_mount", (ROOT, "", DIRECTORY, "", ON_ROOT), AT, doing=doing)


def enter(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that make it `/`, and give it its propagation and its mode."""
    doing = "error changing to the rootfs"
    if not is_new(config.linux, "mount"):
        yield Op("fchdir", (ROOT,), AT, doing=doing)
        yield Op("chroot", (".",), AT, doing=doing)
    elif request.no_pivot:
        if config.linux.rootfsPropagation in ("private", "rprivate"):
            text = "rootfsPropagation of [r]private is not safe without pivot_root"
            hint = "the host could not unmount what stays below the root: leave --no-pivot out"
            raise UnsupportedError(text, pointer="/linux/rootfsPropagation", hint=hint)
        yield Op("move_to_root", (ROOT, PROC), AT, doing=doing)
    else:
        yield Op("open_directory", ("/",), AT, OLD_ROOT, doing)
        yield Op("fchdir", (ROOT,), AT, doing=doing)
        yield Op("pivot_root", (".", "."), AT, doing=doing)
        # The old root now lies over the new one.  Slave first: or the unmount would reach the host.
        yield Op("fchdir", (OLD_ROOT,), AT, doing=doing)
        yield Op("mount", (None, ".", None, m.MS_REC | m.MS_SLAVE, None), AT, doing=doing)
        yield Op("umount2", (".", m.MNT_DETACH), AT, doing=doing)
    yield Op("chdir", ("/",), AT, doing=doing)


def finish(config: Config) -> Iterator[Op]:
    """Yield the ops that set the propagation of `/` and make it read-only."""
    wanted = config.linux.rootfsPropagation or ""
    recursive = wanted in RECURSIVE_PROPAGATION
    flag = RECURSIVE_PROPAGATION[wanted] if recursive else PROPAGATION.get(wanted, 0)
    if flag and flag != m.MS_PRIVATE:
        flags = m.AT_EMPTY_PATH | (m.AT_RECURSIVE if recursive else 0)
        yield Op("mount_setattr", (ROOT, "", flags, 0, 0, flag, 0), "/linux/rootfsPropagation")
    asked = "/root/readonly" if config.root is not None and config.root.readonly else masks.protects_root(config)
    if asked:
        args = (ROOT, "", m.AT_EMPTY_PATH, m.MOUNT_ATTR_RDONLY, 0, 0, 0)
        yield Op("mount_setattr", args, asked)


def _refuse_without_namespace(config: Config) -> None:
    """Refuse what would change the host's own mounts."""
    linux = config.linux
    asked = (
        ("/mounts", config.mounts),
        ("/linux/maskedPaths", linux.maskedPaths),
        ("/linux/readonlyPaths", linux.readonlyPaths),
        ("/root/readonly", config.root is not None and config.root.readonly),
        ("/linux/rootfsPropagation", linux.rootfsPropagation),
    )
    for pointer, value in asked:
        if value:
            joined = "joins one by path" if has(linux, "mount") else "has none"
            raise UnsupportedError(
                f"this setting needs a new mount namespace, and the container {joined}",
                pointer=pointer,
                hint='add {"type": "mount"} to /linux/namespaces, or remove the setting',
            )
