"""The name that a program has in /proc/PID/comm: its own, or that of the link or script that leads to it.

The kernel names a process after the last part of the path that is executed.  A
path in the container may lead elsewhere by the time it is executed, and a
descriptor has no name but its number (or, from Linux 6.14 on, its file's).  So the
program is executed by a path that is ours alone: a symbolic link of the wanted
name, in a tmpfs that is attached nowhere, which leads by the host's procfs, bound
beside it, to the descriptor of the file that was checked.
"""

from __future__ import annotations

import posix

from pyrunc.linux import fs, process
from pyrunc.linux import mount as m
from pyrunc.run.steps import nsroot, rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context
    from pyrunc.run.steps.executable import Program

COPY = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC
WHOLE = COPY | m.AT_EMPTY_PATH | m.AT_RECURSIVE
OWN = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_XDEV | fs.RESOLVE_NO_SYMLINKS


def open_own_proc(_: Context) -> int:
    """Return our own directory of the host's procfs as a mount that is attached nowhere; -1 where we may not have it.

    To be called before the host's mounts are left behind, and after the last fork.
    """
    try:
        return m.open_tree(m.AT_FDCWD, "/proc/self", COPY)
    except OSError:
        return -1  # a mount namespace over which we have no privileges: `name_program` goes without


def open_childs_proc(_: Context, pid: int) -> int:
    """Return the same for the new process, which is PID here, and cannot see the host's procfs any more."""
    return m.open_tree(m.AT_FDCWD, f"/proc/{pid}", COPY)


def name_program(context: Context, proc: int, name: str, of_file: bool, detached: bool) -> None:
    """Prepare that the program will be called NAME, and close PROC, which `open_own_proc` returned.

    OF_FILE says whether the kernel gives a program the name of its file, DETACHED
    whether it mounts on what is attached nowhere.  Where the tmpfs cannot be
    made the program goes without: what is executed is the same file.
    """
    if proc < 0:
        return
    programs = [found for found in context.programs if found.error is None]
    try:
        if programs and not (of_file and all(_is_called(context.root, found, name) for found in programs)):
            context.name, context.number = name, programs[0].fd
            context.names = _directory(context.root, proc, name, context.number, detached=detached)
    except OSError:
        pass  # a name is no reason to fail: an LSM, or a limit of mount namespaces, may stand against it
    finally:
        posix.close(proc)


def _is_called(root: int, found: Program, name: str) -> bool:
    """Return whether the file that FOUND executes has NAME: it is no script, no link, and no mount of another file.

    And whether that is enough: binfmt_misc may go by how a name ends, and sees no file's.
    """
    if len(found.checked) > 1 or found.trampoline is not None:
        return False
    parent = fd = -1
    try:
        parent = rootpath.open_path(root, rootpath.split(found.path)[0], posix.O_DIRECTORY)
        fd = fs.openat2(parent, name, fs.O_PATH | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0, OWN)
        ours, there = posix.fstat(found.fd), posix.fstat(fd)
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
    except OSError:
        return False
    finally:
        for each in (parent, fd):
            if each >= 0:
                posix.close(each)


def _directory(root: int, proc: int, name: str, number: int, *, detached: bool) -> int:
    """Return a directory in which link NAME leads to our descriptor NUMBER."""
    point = "proc" if name != "proc" else "procfs"
    context = m.fsopen("tmpfs", m.FSOPEN_CLOEXEC)
    try:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, "mode", "0755", 0)
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE, None, None, 0)
        made = m.fsmount(context, m.FSMOUNT_CLOEXEC, 0)
    finally:
        posix.close(context)
    try:
        posix.mkdir(point, 0o755, dir_fd=made)
        posix.symlink(f"{point}/fd/{number}", name, dir_fd=made)
        if not detached:
            return _joined(root, proc, made, point)
        m.move_mount(proc, "", made, point, m.MOVE_MOUNT_F_EMPTY_PATH)
        made, result = -1, made
        return result
    finally:
        if made >= 0:
            posix.close(made)


def _joined(root: int, proc: int, made: int, point: str) -> int:
    """Return a copy of the mount MADE with PROC on POINT in it, for kernels that join only what is attached.

    They are attached in a mount namespace that nobody else sees, a copy of the
    present one; only the copy of both leaves it.
    """
    cwd = posix.open(".", fs.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    here = posix.open("ns/mnt", posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=proc)
    process.unshare(process.CLONE_NEWNS)
    try:
        nsroot.enter_whole(proc, "ns/mnt")  # the root of a chroot need not be a mount
        m.mount(None, "/", None, m.MS_PRIVATE, None)
        m.move_mount(made, "", m.AT_FDCWD, "/", m.MOVE_MOUNT_F_EMPTY_PATH)
        m.move_mount(proc, "", made, point, m.MOVE_MOUNT_F_EMPTY_PATH)
        return m.open_tree(made, "", WHOLE)
    finally:
        process.setns(here, process.CLONE_NEWNS)
        nsroot.take_root(root)
        posix.fchdir(cwd)
        posix.close(here)
        posix.close(cwd)
