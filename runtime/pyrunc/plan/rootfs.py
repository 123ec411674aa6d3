"""/root and /linux/rootfsPropagation: from a directory of the host to `/`."""

from __future__ import annotations

from pyrunc.errors import UnsupportedError
from pyrunc.linux import caps
from pyrunc.linux import mount as m
from pyrunc.plan import masks
from pyrunc.plan.mountopts import PROPAGATION, RECURSIVE_PROPAGATION
from pyrunc.plan.namespaces import has, is_new
from pyrunc.plan.op import PROC, ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.request import Request

OLD_ROOT = Slot("old-root")
DIRECTORY = Slot("rootfs")
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
COPY = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | m.AT_RECURSIVE
AT = "/root/path"
PREPARING = 'error preparing rootfs "{}"'
# What a rootfs in the caller's mount namespace gets at first, where it is not to be private; the rest follows in `finish`.
OUTSIDE = {"shared": 0, "slave": m.MS_SLAVE}


def host(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops about the rootfs before the fork.

    It becomes a mount of its own in the caller's mount namespace, if the container is in that; or it is copied, where
    what is mounted in it is to stay a peer of the host's.
    """
    doing = PREPARING.format(request.rootfs)
    if _is_with_caller(config, request):
        _refuse_masks_outside(config)
        flag = OUTSIDE.get((config.linux.rootfsPropagation or "").removeprefix("r"), m.MS_PRIVATE)
        yield Op("bind_rootfs", (request.rootfs, flag), AT, ROOT, doing)
    elif _spreads(config):
        yield Op("open_tree", (m.AT_FDCWD, request.rootfs, COPY), AT, ROOT, doing)
        yield Op("mount_setattr", (ROOT, "", m.AT_EMPTY_PATH, 0, 0, m.MS_PRIVATE, 0), AT, doing=doing)


def _refuse_masks_outside(config: Config) -> None:
    """Raise UnsupportedError for what would hide the host's own files."""
    for name in ("maskedPaths", "readonlyPaths"):
        if getattr(config.linux, name) and not has(config.linux, "mount"):
            text = "unable to restrict sys entries without a private MNT namespace"
            hint = 'add {"type": "mount"} to /linux/namespaces, or remove the setting'
            raise UnsupportedError(text, pointer=f"/linux/{name}", hint=hint)


def _is_with_caller(config: Config, request: Request) -> bool:
    """Return whether the container is in the caller's own mount namespace: without one, or with a path that leads there.

    The caller's root must not become the container's.
    """
    return request.own_mounts or not has(config.linux, "mount")


def _spreads(config: Config) -> bool:
    """Return whether mounts of the container's are to show up on the host; with a user namespace none can."""
    shared = (config.linux.rootfsPropagation or "") in ("shared", "rshared")
    return shared and is_new(config.linux, "mount") and not has(config.linux, "user")


def prepare(config: Config, request: Request) -> Iterator[Op]:
    """Yield the ops that make the rootfs a mount of its own, cut off from the host's, unless `host` has done so."""
    if _is_with_caller(config, request):
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


def enter(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops that make it `/`, and give it its propagation and its mode."""
    doing = "error changing to the rootfs"
    if _is_with_caller(config, request):
        yield Op("fchdir", (ROOT,), AT, doing=doing)
        yield Op("chroot", (".",), AT, doing=doing)
    elif request.no_pivot:
        if config.linux.rootfsPropagation in ("private", "rprivate"):
            text = "rootfsPropagation of [r]private is not safe without pivot_root"
            hint = "the host could not unmount what stays below the root: leave --no-pivot out"
            raise UnsupportedError(text, pointer="/linux/rootfsPropagation", hint=hint)
        yield Op("move_to_root", (ROOT, PROC), AT, doing=doing)
    else:
        if facts.capabilities >> caps.CAP_SYS_CHROOT & 1:
            # In a chroot pivot_root(2) puts another in the place of that, and who enters the namespace is outside of it.
            yield Op("enter_namespace_root", (PROC,), AT, doing=doing)
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

