"""Steps that make and mount on places in the container's root: mount points, mount(2), device nodes, links, masks."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError
from pyrunc.linux import mount as m
from pyrunc.linux.fs import O_PATH, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from pyrunc.plan.mounts import PROC_FILES
from pyrunc.plan.op import PROC
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

S_IFBLK, S_IFIFO = 0o060000, 0o010000
KINDS = {"c": rootpath.S_IFCHR, "u": rootpath.S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
NULL_DEVICE = posix.makedev(1, 3)
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
COPY = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | m.AT_EMPTY_PATH
ABSENT = (errno.ENOENT, errno.ENOTDIR)


def open_directory(_: Context, path: str) -> int:
    """Open directory PATH of the host."""
    return posix.open(path, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)


def mount_point(context: Context, root: int, path: str, like: int | str, links: str = "follow") -> int:
    """Resolve, or make, what will be mounted on: where LINKS is "nofollow", a link that PATH ends in itself."""
    fd = rootpath.mount_point(root, path, like, context.made, posix.O_NOFOLLOW if links == "nofollow" else 0)
    real = _place(context, root, fd)
    if real == "/":
        raise OpError(
            f'cannot mount on "{path}": it leads to the root, which is mounted already',
            errno=errno.EBUSY,
            hint="mount elsewhere, or mend the link in the image",
        )
    inside = real.startswith("/proc/") and real[6:] not in PROC_FILES
    if inside or (real == "/proc" and like != "directory!" and path.strip("/") != "proc"):
        raise OpError(
            f'cannot mount on "{path}": it leads to {real}, inside /proc',
            errno=errno.EPERM,
            hint="mount elsewhere, or mend the link in the image",
        )
    return fd


def _place(context: Context, root: int, fd: int) -> str:
    """Return where FD is in ROOT, as the kernel names it: without links and `..`."""
    return _name(context, fd)[len(_name(context, root).rstrip("/")) :] or "/"


def _name(context: Context, fd: int) -> str:
    """Return what the kernel calls the file behind FD."""
    path, proc = descriptor(context, fd)
    return posix.readlink(path, dir_fd=proc)


def descriptor(context: Context, fd: int) -> tuple[str, int | None]:
    """Return the path of FD in procfs, and what that begins at: the host's procfs where a plan has opened it.

    What a container that is there already has at /proc may be anything.
    """
    proc = context.slots.get(PROC)
    return (f"/proc/self/fd/{fd}", None) if proc is None else (f"self/fd/{fd}", proc)


def close(context: Context, *fds: int) -> None:
    """Close FDS, which no later op needs."""
    for fd in fds:
        context.made.discard(fd)  # the number will be another file's
        posix.close(fd)


def open_mount(_: Context, root: int, path: str) -> int:
    """Open what is mounted on PATH already; a link of the image's must not choose another mount."""
    try:
        return rootpath.open_path(root, path, 0, RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OpError(
            f"{path} is a symbolic link in the image, and no mount", errno=errno.ELOOP, hint="name the mount itself"
        ) from None


def tmpfs_mode(context: Context, fs: int, point: int) -> None:
    """Give a tmpfs the mode of the directory below it, if the image has that directory."""
    if point not in context.made:
        mode = posix.fstat(point).st_mode & 0o7777
        m.fsconfig(fs, m.FSCONFIG_SET_STRING, "mode", f"{mode:o}", 0)


def mount_on(context: Context, point: int, source: str, fstype: str, flags: int, data: str, take_mode: bool) -> int:
    """mount(2) on a descriptor's directory, through the current one; return the new mount's root.

    TAKE_MODE says that it gets the mode of the directory, as in `tmpfs_mode`.
    """
    if take_mode and point not in context.made:
        data += f"{',' if data else ''}mode={posix.fstat(point).st_mode & 0o7777:o}"
    posix.fchdir(point)
    m.mount(source, ".", fstype, flags, data)
    # `point` stays what lies below.  Its name, looked up in its parent, leads onto the new mount.
    name = _name(context, point).rpartition("/")[2]
    posix.chdir("..")
    return m.open_tree(m.AT_FDCWD, name, m.OPEN_TREE_CLOEXEC)


def make_node(
    _: Context, root: int, path: str, kind: str, mode: int, major: int, minor: int, uid: int, gid: int
) -> None:
    """Make device node PATH below ROOT; one that stands there already must be the same device, and is left as it is.

    Where that is forbidden, as by the device rules of a parent cgroup, the host's is bound, as by runc.
    """
    head, tail = rootpath.split(path)
    parent = rootpath.directory(root, head)
    try:
        device = posix.makedev(major, minor)
        try:
            posix.mknod(tail, KINDS[kind] | mode, device, dir_fd=parent)
        except FileExistsError:
            if not is_device(posix.stat(tail, dir_fd=parent, follow_symlinks=False), kind, device):
                wanted = "no fifo" if kind == "p" else f"not the device {kind} {major}:{minor}"
                raise OpError(
                    f"file exists: the image has something at {path} that is {wanted}",
                    errno=errno.EEXIST,
                    hint="remove it from the image, or give the device another path",
                ) from None
            return
        except PermissionError:
            if kind == "p" or not _bind_node(root, path, kind, device):
                raise
            return
        if uid or gid:
            posix.chown(tail, uid, gid, dir_fd=parent, follow_symlinks=False)
    finally:
        posix.close(parent)


def is_device(found: posix.stat_result, kind: str, device: int) -> bool:
    """Return whether what stat(2) has FOUND is of KIND, and DEVICE unless it is a fifo."""
    return found.st_mode & rootpath.S_IFMT == KINDS[kind] and (kind == "p" or found.st_rdev == device)


def _bind_node(root: int, path: str, kind: str, device: int) -> bool:
    """Bind the host's node at PATH below ROOT; return whether there is one of this KIND and DEVICE."""
    try:
        node = m.open_tree(m.AT_FDCWD, path, COPY)
    except FileNotFoundError:
        return False
    try:
        if not is_device(posix.fstat(node), kind, device):
            return False
        point = rootpath.mount_point(root, path, node, set())
        m.move_mount(node, "", point, "", m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH)
        posix.close(point)
        return True
    finally:
        posix.close(node)


def symlink(_: Context, root: int, path: str, target: str) -> None:
    """Make link PATH below ROOT, unless the image has something there."""
    head, tail = rootpath.split(path)
    parent = rootpath.directory(root, head)
    try:
        posix.symlink(target, tail, dir_fd=parent)
    except FileExistsError:
        return  # the image, or one of the mounts, brought its own
    finally:
        posix.close(parent)


def copy_link(_: Context, root: int, path: str, target: str) -> None:
    """Make link PATH to TARGET below ROOT; what stands there already must be the same link."""
    head, tail = rootpath.split(path)
    parent = rootpath.directory(root, head)
    try:
        posix.symlink(target, tail, dir_fd=parent)
    except FileExistsError:
        try:
            found = posix.readlink(tail, dir_fd=parent)
        except OSError:
            found = ""
        if found != target:
            what = f"a link to {found}" if found else "no link"
            raise OpError(
                f"file exists: the image has something at {path} that is {what}, and not a link to {target}",
                errno=errno.EEXIST,
                hint="remove it from the image, or leave copy-symlink out",
            ) from None
    finally:
        posix.close(parent)


def open_null(_: Context) -> int:
    """Open the host's /dev/null, and make sure that it is that."""
    fd = posix.open("/dev/null", O_PATH | posix.O_CLOEXEC)
    found = posix.fstat(fd)
    if not is_device(found, "c", NULL_DEVICE):
        raise OpError("/dev/null of this host is not character device 1:3", hint="make it again: mknod -m 666 /dev/null c 1 3")
    return fd


def _open_present(root: int, path: str) -> int:
    """Open PATH below ROOT as a place to mount on; -1 if there is no such thing."""
    try:
        return rootpath.open_path(root, path)
    except OSError as error:
        if error.errno in ABSENT:
            return -1
        raise


def mask(context: Context, root: int, path: str, null: int, empty: int) -> None:
    """Hide PATH: a directory below one shared, empty, read-only tmpfs, a file below /dev/null.

    What another path has hidden already is left as it is.  Raises OpError if PATH leads to the root.
    """
    point = _open_present(root, path)
    if point < 0:
        return
    try:
        place = _place(context, root, point)
        if place == "/":
            raise OpError(
                f'cannot mask "{path}": it leads to the root, which holds the program',
                errno=errno.EINVAL,
                hint="name what is in it",
            )
        if place in context.masked:
            return
        context.masked.add(place)
        if not rootpath.is_directory(point):
            cover = m.open_tree(null, "", COPY)
            # It is the host's file: a container's chmod or chown must not reach it.
            m.mount_setattr(cover, "", m.AT_EMPTY_PATH, m.MOUNT_ATTR_RDONLY, 0, 0, 0)
        elif context.empty_attached:
            cover = m.open_tree(empty, "", COPY)
        else:
            cover = empty  # only an attached mount can be copied: the first one is the original
            context.empty_attached = True
        m.move_mount(cover, "", point, "", ON_ROOT)
        if cover != empty:
            posix.close(cover)
    finally:
        posix.close(point)


def make_readonly(context: Context, root: int, path: str) -> None:
    """Put a read-only view of PATH over it, if there is none yet; a path that is missing is none to protect.

    Nothing can be put over the root: that is made read-only itself.
    """
    point = _open_present(root, path)
    if point < 0:
        return
    try:
        place = _place(context, root, point)
        if place == "/":
            m.mount_setattr(root, "", m.AT_EMPTY_PATH, m.MOUNT_ATTR_RDONLY, 0, 0, 0)
            return
        if place in context.protected:
            return
        context.protected.add(place)
        view = m.open_tree(point, "", COPY | m.AT_RECURSIVE)
        m.mount_setattr(view, "", m.AT_EMPTY_PATH, m.MOUNT_ATTR_RDONLY, 0, 0, 0)
        m.move_mount(view, "", point, "", ON_ROOT)
        posix.close(view)
    finally:
        posix.close(point)


def write_at(_: Context, directory: int, path: str, text: str) -> None:
    """Write TEXT to PATH below DIRECTORY, by one write(2); no link and no mount leads elsewhere."""
    resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | (0 if path.startswith("self/") else RESOLVE_NO_SYMLINKS)
    fd = openat2(directory, path, posix.O_WRONLY | posix.O_CLOEXEC, 0, resolve)
    try:
        posix.write(fd, text.encode())
    finally:
        posix.close(fd)
