"""Give mounts of a restored container the attributes that the configuration takes from it.

CRIU gives several mounts of the same files the flags of none but the first (seen with 3.17), and an image
could leave them out.  Entering a mount namespace changes a process for good, so
it is a process of its own.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals

from pyrunc.errors import OpError
from pyrunc.linux import mount, process
from pyrunc.linux.fs import AT_FDCWD, O_PATH, RESOLVE_NO_SYMLINKS, openat2
from pyrunc.run.seal import seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.host.mounted import Row

REPORT_MAX = 4096


def protect(pid: int, lacking: list[tuple[Row, int]]) -> None:
    """Add to each mount in LACKING its attributes, in the mount namespace of process PID, which must not run meanwhile.

    Raises OpError, for example for a mount that files are open through for writing.
    """
    if not lacking:
        return
    read, write = posix.pipe2(posix.O_CLOEXEC)
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        child = process.clone3(0)
        if child == 0:
            _serve(pid, lacking, write)
    finally:
        pthread_sigmask(SIG_SETMASK, before)
        posix.close(write)
    said = posix.read(read, REPORT_MAX)
    posix.close(read)
    status = posix.waitpid(child, 0)[1]
    if said or status:
        hint = "the image is damaged, has been changed, or belongs to another configuration"
        raise OpError(f"cannot protect the mounts of the container: {str(said, 'utf-8', 'replace')}", hint=hint)


def _serve(pid: int, lacking: list[tuple[Row, int]], report: int) -> NoReturn:
    """Be that process; write to REPORT what goes wrong."""
    point = ""
    try:
        seal()
        own = posix.open("/proc/self/fdinfo", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        target = posix.pidfd_open(pid)
        root = posix.open(f"/proc/{pid}/root", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        process.setns(target, process.CLONE_NEWNS)
        posix.fchdir(root)  # which is less than all of the namespace where we are in a chroot
        posix.chroot(".")
        for row, attributes in lacking:
            point = row.point
            fd = openat2(AT_FDCWD, point, O_PATH | posix.O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS)
            if f"mnt_id:\t{row.id}\n".encode() not in posix.read(posix.open(str(fd), posix.O_RDONLY, dir_fd=own), REPORT_MAX):
                raise RuntimeError("another mount lies over it")
            mount.mount_setattr(fd, "", mount.AT_EMPTY_PATH, attributes, 0, 0, 0)
        posix._exit(0)
    except OSError as error:
        posix.write(report, f"{point}: {(error.strerror or '').lower()}".encode())
    except BaseException as error:  # noqa: BLE001 - nothing may leave this process but a report
        posix.write(report, f"{point}: {error}".encode())
    posix._exit(1)
