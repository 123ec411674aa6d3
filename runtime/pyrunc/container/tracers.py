"""Whether processes of a container may trace others (ptrace(2), CAP_SYS_PTRACE), and so whoever enters it."""

from __future__ import annotations

import posix

from pyrunc import handover
from pyrunc.errors import OpError
from pyrunc.linux import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.config import Config
    from pyrunc.oci.process import Process

NAME = "CAP_SYS_PTRACE"
MARK = "traces"  # in the container's directory, once an exec has given it to a process whose config has it not


def may_trace(directory: str, config: Config, added: Process) -> bool:
    """Return whether a process of the container of CONFIG, with state in DIRECTORY, may have the capability, or ADDED.

    A pid namespace by path is others' too, and theirs may.
    """
    shared = any(each.type == "pid" and each.path for each in config.linux.namespaces)
    return shared or _has(config.process) or _has(added) or posix.access(f"{directory}/{MARK}", posix.F_OK)


def note(directory: str, config: Config, added: Process) -> None:
    """Remember that ADDED has the capability, if the process of CONFIG has it not.  Raises OpError."""
    if not _has(added) or _has(config.process):
        return
    try:
        posix.close(posix.open(f"{directory}/{MARK}", posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC, 0o600))
    except OSError as error:
        text = f"cannot write {directory}/{MARK}: {(error.strerror or '').lower()}"
        raise OpError(text, errno=error.errno or 0, hint="see whether the file system of --root is full, or read-only") from None


def seal_program() -> None:
    """Begin again as a program whose file nobody can open for writing by way of /proc/PID/exe: on a mount of its own.

    That is read-only, attached nowhere, and gone but for us once it is executed. Nothing happens if our file is on a
    read-only mount anyway, or if we are a script. To be called before anything has been done.  Raises OSError.
    """
    if not handover.NATIVE or posix.statvfs("/proc/self/exe").f_flag & posix.ST_RDONLY:
        return
    import _pyrunc

    tree = mount.open_tree(mount.AT_FDCWD, "/proc/self/exe", mount.OPEN_TREE_CLONE | mount.OPEN_TREE_CLOEXEC)
    mount.mount_setattr(tree, "", mount.AT_EMPTY_PATH, mount.MOUNT_ATTR_RDONLY, 0, 0, 0)
    _pyrunc.execute(tree)


def _has(process: Process | None) -> bool:
    """Return whether PROCESS has the capability in any set."""
    sets = process.capabilities if process is not None else None
    return sets is not None and any(NAME in names for _, names in sets.items())
