"""/root and /linux/rootfsPropagation: from a directory of the host to `/`."""

from __future__ import annotations

from pyrunc.errors import UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import masks
from pyrunc.plan.mountopts import PROPAGATION, RECURSIVE_PROPAGATION
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.plan.request import Request

OLD_ROOT = Slot("old-root")
DIRECTORY = Slot("rootfs")
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
AT = "/root/path"
# What a rootfs in the caller's mount namespace gets at first, where it is not to be private; the rest follows in `finish`.
OUTSIDE = {"shared": 0, "slave": m.MS_SLAVE}


def host(config: Config, request: Request) -> Iterator[Op]:
    """Yield the op that makes the rootfs a mount of its own in the caller's mount namespace, if the container is in that."""
    if not _is_with_caller(config, request):
        return
    for name in ("maskedPaths", "readonlyPaths"):
        if getattr(config.linux, name) and not has(config.linux, "mount"):
            text = "unable to restrict sys entries without a private MNT namespace"
            hint = 'add {"type": "mount"} to /linux/namespaces, or remove the setting'
            raise UnsupportedError(text, pointer=f"/linux/{name}", hint=hint)
    flag = OUTSIDE.get((config.linux.rootfsPropagation or "").removeprefix("r"), m.MS_PRIVATE)
    yield Op("bind_rootfs", (request.rootfs, flag), AT, ROOT, f'error preparing rootfs "{request.rootfs}"')


def _is_with_caller(config: Config, request: Request) -> bool:
    """Return whether the container is in the caller's own mount namespace: without one, or with a path that leads there.

    The caller's root must not become the container's.
    """
    return request.own_mounts or not has(config.linux, "mount")


def prepare(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that make the rootfs a mount of its own, cut off from the host's, unless `host` has done so."""
    if _is_with_caller(config, request):
        return
    wanted = config.linux.rootfsPropagation or ""
    first = m.MS_PRIVATE if wanted in ("private", "rprivate") else m.MS_SLAVE
    yield Op("mount", (None, "/", None, m.MS_REC | first, None), "/linux/rootfsPropagation")
    doing = f'error preparing rootfs "{request.rootfs}"'
    yield Op("open_directory", (request.rootfs,), AT, DIRECTORY, doing)
    flags = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | m.AT_RECURSIVE | m.AT_EMPTY_PATH
    yield Op("open_tree", (DIRECTORY, "", flags), AT, ROOT, doing)
    yield Op("move_mount", (ROOT, "", DIRECTORY, "", ON_ROOT), AT, doing=doing)


def enter(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that make it `/`, and give it its propagation and its mode."""
    doing = "error changing to the rootfs"
    if _is_with_caller(config, request):
        yield Op("fchdir", (ROOT,), AT, doing=doing)
        yield Op("chroot", (".",), AT, doing=doing)
    elif request.no_pivot:
        yield Op("move_to_root", (ROOT,), AT, doing=doing)
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

