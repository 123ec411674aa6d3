"""Steps that give a process its identity: streams, directory, ids, capabilities, keyring."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError
from pyrunc.linux import caps
from pyrunc.linux import process as p
from pyrunc.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_XDEV, openat2
from pyrunc.run.steps import rootpath
from pyrunc.run.steps.files import NULL_DEVICE, is_device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

# keyctl(2): what the possessor may do stays, the user may search too.
KEY_POSSESSOR_ALL, KEY_USER_SEARCH = 0x3F000000, 0x00080000
# A stream on a read-only or foreign file system, or of an unmapped owner, stays as it is.
UNOWNABLE = (errno.EINVAL, errno.EPERM, errno.EROFS, errno.EBADF)


def join_keyring(_: Context, name: str) -> None:
    """Join session keyring NAME, so that the container sees none of the caller's keys."""
    try:
        serial = p.keyctl_join_session_keyring(name)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return  # a kernel without keyrings has nothing to hide
        raise
    p.keyctl_setperm(serial, KEY_POSSESSOR_ALL | KEY_USER_SEARCH)


def make_cwd(_: Context, root: int, path: str) -> None:
    """Make directory PATH inside ROOT, if it is missing."""
    posix.close(_cwd(root, path, make=True))


def enter_cwd(_: Context, root: int, path: str) -> None:
    """Change to PATH inside ROOT."""
    fd = _cwd(root, path, make=False)
    posix.fchdir(fd)
    posix.close(fd)


def _cwd(root: int, path: str, *, make: bool) -> int:
    """Open PATH inside ROOT; links into /proc/PID/fd are not followed (CVE-2024-21626)."""
    try:
        return rootpath.directory(root, path) if make else rootpath.open_path(root, path, posix.O_DIRECTORY)
    except OSError as error:
        text = f'chdir to cwd ("{path}") set in config.json failed: {(error.strerror or "").lower()}'
        raise OpError(text, errno=error.errno or 0, hint="name a directory, or one that can be made") from None


def own_stdio(_: Context, uid: int) -> None:
    """Give the standard streams to the container's user, but never /dev/null (CVE-2026-88265): that becomes the container's."""
    null = []
    for fd in (0, 1, 2):
        try:
            found = posix.fstat(fd)
            if is_device(found, "c", NULL_DEVICE):
                null.append(fd)
            elif found.st_uid != uid:
                posix.fchown(fd, uid, -1)
        except OSError as error:
            if error.errno not in UNOWNABLE:
                raise
    if null:
        _own_null(null)


def _own_null(streams: list[int]) -> None:
    """Put the container's /dev/null, if it has a real one that can be opened, in the place of the host's at STREAMS.

    The host's is on a mount that the container has not, and CRIU could not bring it back.
    """
    try:
        own = posix.open("/dev/null", posix.O_RDWR | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC)
    except OSError:
        return  # there is none, or it is on a nodev mount, or the device rules forbid it
    try:
        if is_device(posix.fstat(own), "c", NULL_DEVICE):
            posix.set_blocking(own, True)
            for fd in streams:
                posix.dup2(own, fd)
    finally:
        posix.close(own)


BOUND = "name them in the bounding set too (capabilities(7))"


def drop_bounding(_: Context, keep: int, last_cap: int) -> None:
    """Drop every capability that is not in KEEP from the bounding set, and clear the ambient one."""
    for number in range(last_cap + 1):
        if not keep >> number & 1:
            p.prctl(p.PR_CAPBSET_DROP, number)
    p.prctl(p.PR_CAP_AMBIENT, p.PR_CAP_AMBIENT_CLEAR_ALL)


def set_groups(_: Context, proc: int, groups: tuple[int, ...]) -> None:
    """Set the supplementary groups to GROUPS, so that the container has none of the caller's.

    A user namespace may deny this to everybody in it (user_namespaces(7), "setgroups"), which
    procfs PROC says (-1: there is none): then no GROUPS can be given, and to ask for none changes nothing.  Raises OpError.
    """
    try:
        posix.setgroups(groups)
    except PermissionError:
        if proc < 0 or not _denies_groups(proc):
            text = "setgroups: operation not permitted: the caller's groups would stay: the runtime lacks CAP_SETGID"
            raise OpError(text, errno=errno.EPERM, hint="give it CAP_SETGID") from None
        if groups:
            raise OpError(
                "setgroups is denied in this user namespace",
                errno=errno.EPERM,
                hint="remove additionalGids, or map the gids with newgidmap(1)",
            ) from None


def _denies_groups(proc: int) -> bool:
    """Return whether this process's user namespace denies setgroups(2), by procfs PROC of the host's."""
    try:
        fd = openat2(proc, "self/setgroups", posix.O_RDONLY | posix.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV)
    except FileNotFoundError:
        return False  # a kernel without user namespaces
    try:
        return posix.read(fd, 16).strip() == b"deny"
    finally:
        posix.close(fd)


def capset(_: Context, effective: int, permitted: int, inheritable: int) -> None:
    """Set the three sets, and say by name what could not be had."""
    try:
        p.capset(effective, permitted, inheritable)
    except PermissionError:
        # A thread may always drop: so what cannot be kept is what it never had.
        names = [name for name, number in caps.NUMBER.items() if permitted >> number & 1 and not _has(number)]
        if names:
            text, hint = f"the runtime itself lacks {', '.join(names)}", "ask for no more, or give them to the runtime"
            raise OpError(text, errno=errno.EPERM, hint=hint) from None
        dropped = [name for name, number in caps.NUMBER.items() if inheritable >> number & 1 and not _may_have(number)]
        raise OpError(unbounded(dropped), errno=errno.EPERM, hint=BOUND) from None


def unbounded(names: list[str]) -> str:
    """Return what is wrong with inheritable capabilities NAMES that are not in the bounding set (capset(2))."""
    return f"operation not permitted: inheritable, but not bounding: {', '.join(names)}"


def _may_have(number: int) -> bool:
    """Return whether capability NUMBER is in this process's bounding set."""
    return bool(p.prctl(p.PR_CAPBSET_READ, number))


def _has(number: int) -> bool:
    """Return whether capability NUMBER is in this process's permitted set."""
    data = p.capget()
    return bool(data >> number & 1)


def raise_ambient(_: Context, mask: int) -> None:
    """Raise the ambient capabilities in MASK."""
    for number in range(64):
        if mask >> number & 1:
            p.prctl(p.PR_CAP_AMBIENT, p.PR_CAP_AMBIENT_RAISE, number)
