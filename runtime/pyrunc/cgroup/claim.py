"""Who may begin to use a cgroup: nobody is in it, below it, or about to be (cgroups(7), flock(2)).

Whoever makes the directory has it; a directory that is there already is for the first who locks it.  The
lock ends with its holder, so a command that was killed keeps nobody out.
"""

from __future__ import annotations

import errno
import posix
from fcntl import LOCK_EX, LOCK_NB, flock

from pyrunc.cgroup.fs import PROCS, refuse_threaded
from pyrunc.errors import StateError
from pyrunc.host.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place

AT, HINT = "/linux/cgroupsPath", "give every container a cgroup of its own"


def refuse_used(places: tuple[Place, ...]) -> tuple[str, ...]:
    """Return the directories of PLACES that are there.  Raises StateError if processes, another's, are in or below one."""
    there = []
    for place in places:
        try:
            count = _processes(place.directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                refuse_threaded(place.directory)
            raise
        if count:
            text = f"container's cgroup is not empty: {count} process(es) found in {place.directory}"
            raise StateError(text, pointer=AT, hint=HINT)
        there.append(place.directory)
    return tuple(there)


def _processes(directory: str) -> int:
    """Return how many processes are in the cgroup at DIRECTORY and below it, those of other pid namespaces too."""
    count = len(read(f"{directory}/{PROCS}").split())
    for entry in posix.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            try:
                count += _processes(entry.path)
            except OSError as error:
                # Gone by now, or of threads, whose processes their domain has listed.
                if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                    raise
    return count


def take(directory: str) -> int:
    """Claim the cgroup at DIRECTORY until the descriptor that is returned is closed.

    Raises StateError if another has claimed it, FileNotFoundError if it is gone.
    """
    fd = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        if inode(directory) == posix.fstat(fd).st_ino:
            return fd
        raise FileNotFoundError(errno.ENOENT, "no such file or directory", directory)
    except BlockingIOError:
        posix.close(fd)
        text = f"container's cgroup is not empty: another container is being created in {directory}"
        raise StateError(text, pointer=AT, hint=HINT) from None
    except OSError:
        posix.close(fd)
        raise


def inode(directory: str) -> int:
    """Return the inode of the cgroup at DIRECTORY, 0 if there is none.  The kernel gives none to a second cgroup.

    Raises OSError where that cannot be told: who took that for none would leave what is there.
    """
    try:
        return posix.stat(directory).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return 0
