"""What is to be mounted, and where: sources that are missing, and mount points that cannot be."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks import copyup
from pyrunc.container.checks.view import Hidden
from pyrunc.errors import UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.linux.fs import RESOLVE_NO_SYMLINKS
from pyrunc.plan import mountopts
from pyrunc.plan.namespaces import has
from pyrunc.plan.newfs import ON_DEVICES
from pyrunc.plan.op import Slot
from pyrunc.run import hints
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.container.checks.view import View
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Op, Plan

OPENING = ("open_tree", "open_tree_by_helper")
# What no privilege helps against.  Others may lie in who is asking.
CERTAIN = (errno.ENOTBLK, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
S_IFBLK = 0o060000
WITHOUT_PROGRAMS = ("cgroup", "cgroup2", "devpts", "mqueue", "ramfs", "sysfs", "tmpfs")
MADE_BY_THE_KERNEL = {"proc": "/proc", "sysfs": "/sys", "devpts": "/dev/pts"}  # nothing else can be made there
LAYERS = ("lowerdir", "upperdir", "workdir")
# From Linux 6.5 on, overlay looks at each directory when it is named, and no more only when all is mounted.
NAMED_AT_ONCE = (6, 5)


def sources(config: Config, plan: Plan, facts: HostFacts, rootfs: str, view: View | None) -> Iterator[UnsupportedError]:
    """Yield an error for each source in PLAN, that of CONFIG, which is not there.

    Earlier mounts may bring, or make, what lies in ROOTFS, of which there is a VIEW.
    """
    places = [view.place(each.destination) if view else "/" for each in config.mounts]
    if any(each.type == "mount" and each.path for each in config.linux.namespaces):
        return  # what is in a mount namespace that is joined cannot be seen from here
    same = not facts.user or has(config.linux, "user")  # whoever asks is who would make the container
    certain = (*CERTAIN, errno.EACCES) if same else CERTAIN
    types = {op.into: str(op.args[0]) for op in (*plan.host, *plan.child) if op.call == "fsopen"}
    for op in (*plan.host, *plan.child):
        for path, at in _paths(op, types, facts):
            code = _missing(path, follow=not _is_for_link(op)) or (errno.ENOTBLK if _is_no_disk(op, path) else 0)
            earlier = places[: int(at.split("/")[2])]
            if code in certain and not _may_be_brought(path, rootfs, earlier):
                text = f"{op.doing}: {path}: {posix.strerror(code).lower()}"
                hint = hints.hint("open_tree", code) or "correct the path, or open the directories on the way"
                yield UnsupportedError(text, pointer=at, hint=hint)


def _is_no_disk(op: Op, path: str) -> bool:
    """Return whether OP mounts what is on a disk, and PATH is none."""
    return op.call == "fsconfig" and op.args[2] == "source" and posix.stat(path).st_mode & rootpath.S_IFMT != S_IFBLK


def _paths(op: Op, types: dict[str, str], facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield each path of the host that OP mounts, and the place in the configuration that `create` would name for it.

    TYPES are those of the file systems behind slots.
    """
    if op.call in OPENING and op.at.endswith("/source"):
        yield str(op.args[1]), op.at
    elif op.call == "fsconfig":
        kind, key, value = types.get(str(op.args[0]), ""), op.args[2], str(op.args[3] or "")
        mount = "/".join(op.at.split("/")[:3])
        if key == "source" and kind in ON_DEVICES and value.startswith("/"):
            yield value, mount
        elif kind == "overlay" and key in LAYERS:
            yield from ((path, op.at if facts.kernel >= NAMED_AT_ONCE else mount) for path in _layers(value))
    elif op.call == "mount_on" and op.args[2] == "overlay":
        for option in str(op.args[4]).split(","):
            key, _, value = option.partition("=")
            yield from ((path, op.at) for path in (_layers(value) if key in LAYERS else ()))


def _layers(value: str) -> list[str]:
    """Return the absolute paths in VALUE, which colons separate; none if something is escaped there."""
    return [path for path in value.split(":") if path.startswith("/")] if "\\" not in value else []


def _is_for_link(op: Op) -> bool:
    """Return whether OP opens a link itself (option src-nofollow)."""
    return op.call in OPENING and bool(op.args[2] & m.AT_SYMLINK_NOFOLLOW)  # type: ignore[operator]


def _missing(path: str, *, follow: bool) -> int:
    """Return the errno of looking for PATH, 0 if it is there; FOLLOW a link that it ends in."""
    try:
        posix.stat(path, follow_symlinks=follow)
    except OSError as error:
        return error.errno or 0
    except ValueError:
        return 0
    return 0


def _may_be_brought(path: str, rootfs: str, earlier: list[str]) -> bool:
    """Return whether PATH leads into ROOTFS, and a mount at one of the EARLIER places in that may bring what is there."""
    from os.path import realpath

    try:
        root, found = realpath(rootfs), f"{realpath(path)}/"
    except OSError:
        return False  # a link of procfs's own that we may not follow, which leads out of every root
    if not found.startswith(f"{root}/"):
        return False
    inner = found[len(root) :]
    return any(inner.startswith(f"{place.rstrip('/')}/") or f"{place}/".startswith(inner) for place in earlier)


def points(config: Config, plan: Plan, view: View) -> Iterator[UnsupportedError]:
    """Yield an error for each mount point of PLAN, that of CONFIG, that the image in VIEW makes impossible; note them in VIEW."""
    opening = [op for op in (*plan.host, *plan.child) if op.call in OPENING and op.into]
    where = {op.into: "/dev/null" if _is_for_link(op) else str(op.args[1]) for op in opening}
    kernels: dict[str, str] = {}
    directories: dict[str, bool | None] = {}
    for op in plan.child:
        if op.call == "open_mount":
            yield from _unmounted(plan, op, view)
        if op.call == "copy_up":
            yield from _overflowing(config, op, view)
        if op.call != "mount_point" or not op.at.startswith("/mounts/"):
            continue
        place, like = str(op.args[1]), op.args[2]
        text, wanted = "", None
        if len(op.args) == 3:  # else a link itself: nobody has looked behind it
            wanted = _is_directory(where.get(str(like), "")) if isinstance(like, Slot) else True
            text = _refused(view, place, like, wanted, directories) or _cannot_be_made(view, place, kernels)
        if text:
            hint = "mount elsewhere, or change the image"
            yield UnsupportedError(f"{op.doing}: {text}", pointer=op.at, hint=hint)
        kind = config.mounts[int(op.at.split("/")[2])].type
        if kind in MADE_BY_THE_KERNEL:
            kernels[view.place(place)] = MADE_BY_THE_KERNEL[kind]
        directories[view.place(place)] = wanted
        view.cover((place,), _content(config, op.at))


def _overflowing(config: Config, op: Op, view: View) -> Iterator[UnsupportedError]:
    """Yield an error if what OP copies, from the image in VIEW, into a mount of CONFIG does not fit."""
    index = int(op.at.split("/")[2])
    mount, earlier = config.mounts[index], [view.place(each.destination) for each in config.mounts[:index]]
    place = view.place(mount.destination)
    if any(f"{place}/".startswith(f"{each.rstrip('/')}/") for each in earlier):
        return  # what is copied is not the image's
    if copyup.is_too_small(mount.options, view, place):
        text = f'{op.doing}: cannot copy what the image has at "{place}": {posix.strerror(errno.ENOSPC).lower()}'
        yield UnsupportedError(text, pointer=op.at, hint=hints.hint("copy_up", errno.ENOSPC))


def _cannot_be_made(view: View, place: str, kernels: dict[str, str]) -> str:
    """Return why nothing can be mounted at PLACE of VIEW, if that is below one of KERNELS, places where the kernel makes what is
    there, and the host has nothing like it; "" otherwise.
    """
    above = max((each for each in view.covered if place.startswith(f"{each}/")), key=len, default="")
    rest = place[len(above) + 1 :]
    if above not in kernels or rest[:1].isdigit() or _missing(f"{kernels[above]}/{rest}", follow=True) != errno.ENOENT:
        return ""
    return f"{place}: {posix.strerror(errno.ENOENT).lower()}"


def _unmounted(plan: Plan, op: Op, view: View) -> Iterator[UnsupportedError]:
    """Yield an error if OP of PLAN is to change a mount in VIEW where nothing is or was mounted."""
    path = str(op.args[1])
    view.through = True  # of what is new nothing is there yet, but what an earlier mount needs
    try:
        mode = view.find(path)
        if mode and view.place(path) == "/":
            return
        code = errno.EINVAL if mode else errno.ENOENT
    except NotADirectoryError:
        mode, code = 0, errno.ENOTDIR
    except (Hidden, OSError):
        return
    finally:
        view.through = False
    changing = next((each for each in plan.child if each.args and each.args[0] == op.into), op) if mode else op
    text = f"{op.doing}: {path}: {posix.strerror(code).lower()}"
    yield UnsupportedError(text, pointer=changing.at, hint=hints.hint("mount_setattr", errno.EINVAL))


def _content(config: Config, at: str) -> str | None:
    """Return the host's directory that the mount of CONFIG at pointer AT shows; "" if it shows none, None if nobody knows."""
    mount = config.mounts[int(at.split("/")[2])]
    if mount.type in WITHOUT_PROGRAMS and not mountopts.of(mount).ours:
        return ""
    if mount.type == "proc" and not mountopts.of(mount).ours:
        return "/proc"  # as ours shows what others have: links of processes are programs, too
    return mount.source if mountopts.of(mount).bind and mount.source.startswith("/") else None


def _refused(view: View, place: str, like: object, wanted: bool | None, directories: dict[str, bool | None]) -> str:
    """Return why nothing LIKE that can be mounted at PLACE of VIEW, "" if nothing is known to stand against it.

    WANTED says whether that needs a directory (None: nobody knows), DIRECTORIES whether what is mounted at a place is one.
    """
    try:
        if view.place(place) == "/":
            return f'cannot mount on "{place}": it leads to the root, which is mounted already'
        mode = view.find(place)
        if like == "directory!":
            posix.close(rootpath.open_path(view.root, place, 0, RESOLVE_NO_SYMLINKS))
    except Hidden:
        here = directories.get(view.place(place))
        mode = 0 if here is None else rootpath.S_IFDIR if here else rootpath.S_IFREG
    except OSError as error:
        if error.errno == errno.ELOOP:
            return f"{place} must be mounted on ordinary directory: it is a symbolic link in the image"
        return f"{place}: {posix.strerror(errno.ENOTDIR).lower()}" if error.errno == errno.ENOTDIR else ""
    if not mode or wanted is None or wanted == (mode & rootpath.S_IFMT == rootpath.S_IFDIR):
        return ""
    found, needed = ("a file", "a directory") if wanted else ("a directory", "a file")
    return f"{place} is {found} in the image, and {needed} is to be mounted there: not a directory"


def _is_directory(path: str) -> bool | None:
    """Return whether PATH of the host is a directory; None if that cannot be told."""
    try:
        return posix.stat(path).st_mode & rootpath.S_IFMT == rootpath.S_IFDIR
    except OSError:
        return None
