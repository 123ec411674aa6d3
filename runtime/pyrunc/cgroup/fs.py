"""The cgroup directories of a container: make, list pids, signal, remove (cgroups(7)).

Parents that are made on the way carry a mark, so that whoever removes the last
container below them can remove them too, and nobody removes what pyrunc did not
make.  The mark is the sticky bit: mkdir(2) sets it, so there is no moment
without it in which we could be killed.
"""

from __future__ import annotations

import errno
import posix
from time import monotonic, sleep

from pyrunc.cgroup.freezer import is_frozen, set_frozen
from pyrunc.errors import OpError, UnsupportedError
from pyrunc.host.files import read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place

MARK = 0o1000
PROCS, CPUSET = "cgroup.procs", ("cpuset.cpus", "cpuset.mems")
REMOVE_SECONDS = 10.0
SIGKILL = 9
LEFT = (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT)  # in use, or gone already
# Why a controller may not be handed down: the kernel's reasons, and that the parent is somebody else's.
NOT_ENABLED = (errno.EBUSY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)


def make_directories(places: tuple[Place, ...], made: list[str]) -> None:
    """Make the directories of PLACES, and add each to MADE that was not there: whose mkdir(2) worked has it."""
    made.extend(place.directory for place in places if _make(place.directory, place.mount))


def prepare(places: tuple[Place, ...], *, enable: bool = True) -> None:
    """Make the cgroups at PLACES fit for processes; ENABLE: hand the controllers of version 2 down to them."""
    for place in places:
        if "" in place.controllers:
            refuse_threaded(place.directory)
        if enable and "" in place.controllers:
            _enable(place)
        if "cpuset" in place.controllers:
            _inherit(place.directory, place.mount)


def _make(directory: str, mount: str, mode: int = 0o755) -> bool:
    """Make DIRECTORY with MODE, and the parents that are missing, with the mark; return whether it was not there."""
    while True:
        try:
            posix.mkdir(directory, mode)
            return True
        except FileExistsError:
            return False
        except FileNotFoundError:
            parent = directory.rpartition("/")[0]
            if len(parent) < len(mount):
                raise
            # Again if it is gone by now: somebody may have removed the last container below it.
            _make(parent, mount, 0o755 | MARK)
        except OSError:
            remove_parents(directory.rpartition("/")[0], mount)  # what was made on the way here
            raise


def refuse_threaded(directory: str) -> None:
    """Raise UnsupportedError if the cgroup at DIRECTORY is of threads (cgroups(7), "Thread mode").

    No process with more of its own than threads could live there, memory would
    have no limit, and below a threaded parent a new cgroup is not even valid.
    """
    try:
        kind = read(f"{directory}/cgroup.type").strip()
    except FileNotFoundError:
        return  # the root has no type
    if kind == "domain":
        return
    parent = directory.rpartition("/")[0]
    where = f"cgroup {directory} is {kind}" if kind != "domain invalid" else f"the parent cgroup {parent} is threaded"
    raise UnsupportedError(
        f"a container cannot be in a threaded cgroup: {where}",
        pointer="/linux/cgroupsPath",
        hint="name a cgroup whose cgroup.type, and whose parent's, is domain",
    )


def _enable(place: Place) -> None:
    """Hand the controllers of version 2 down to PLACE, as far as each parent has them."""
    directory = place.mount
    for part in place.directory[len(place.mount) :].strip("/").split("/"):
        hand_down(directory)
        directory = f"{directory}/{part}"


def hand_down(directory: str) -> None:
    """Hand the controllers of the cgroup of version 2 at DIRECTORY down to those below it."""
    available = read(f"{directory}/cgroup.controllers").split()
    enabled = read(f"{directory}/cgroup.subtree_control").split()
    for controller in available:
        if controller not in enabled:
            try:
                write(f"{directory}/cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                # One controller that cannot be had (as cpu with realtime processes) is no
                # reason to go without the others; a limit that needs it will say so.
                if error.errno not in NOT_ENABLED:
                    raise


def _inherit(directory: str, mount: str) -> None:
    """Copy cpuset's cpus and mems down to DIRECTORY where they are empty, or no process could join (v1)."""
    if directory == mount:
        return
    for file in CPUSET:
        if not read(f"{directory}/{file}").strip():
            parent = directory.rpartition("/")[0]
            _inherit(parent, mount)
            write(f"{directory}/{file}", read(f"{parent}/{file}").strip())


def pids(directory: str) -> list[int]:
    """Return the processes in the cgroup at DIRECTORY and below it; none if it is gone.

    One that our pid namespace does not have reads as 0 (cgroups(7)), which kill(2) takes for our own group.
    """
    found: list[int] = []
    try:
        # 0 is a process of a pid namespace that we do not see; as a pid to signal it would be our own group.
        found += filter(None, map(int, read(f"{directory}/{PROCS}").split()))
        for entry in posix.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                found += pids(entry.path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
    return found


def is_there(places: tuple[Place, ...]) -> bool:
    """Return whether there is a cgroup at PLACES whose processes are the container's."""
    return posix.access(f"{main_directory(places)}/{PROCS}", posix.F_OK)


def remove(directory: str, mount: str, until: float) -> None:
    """Remove the cgroup at DIRECTORY, what its container made below it, and marked parents left empty, up to MOUNT.

    Raises OpError if processes hold it UNTIL then, by monotonic(3).
    """
    remove_tree(directory, until)
    remove_parents(directory.rpartition("/")[0], mount)


def remove_tree(directory: str, until: float) -> None:
    """Remove the cgroup at DIRECTORY and all below it.  Raises OpError if processes hold it UNTIL then.

    The last process may take a moment to leave.
    """
    while True:
        try:
            posix.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
        try:
            for entry in posix.scandir(directory):
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path, until)
        except FileNotFoundError:
            return
        if monotonic() > until:
            left = len(pids(directory))
            text, hint = f"cannot remove cgroup {directory}: {left} process(es) are still in it", f"see {directory}/{PROCS}"
            raise OpError(text, errno=errno.EBUSY, hint=hint)
        sleep(0.001)


def remove_empty(directory: str, mount: str) -> None:
    """Remove the cgroup at DIRECTORY if nothing is in it or below it, and marked parents left empty, up to MOUNT."""
    try:
        posix.rmdir(directory)
    except FileNotFoundError:
        pass  # a command that was killed in between has made its parents only
    except OSError as error:
        if error.errno not in LEFT:
            raise
        return
    remove_parents(directory.rpartition("/")[0], mount)


def remove_parents(directory: str, mount: str) -> None:
    """Remove DIRECTORY and its parents, as long as they are marked and empty."""
    while len(directory) > len(mount):
        try:
            if not posix.stat(directory).st_mode & MARK:
                return
            posix.rmdir(directory)
        except OSError as error:
            if error.errno in LEFT:
                return
            raise
        directory = directory.rpartition("/")[0]


def signal_all(places: tuple[Place, ...], number: int) -> None:
    """Send signal NUMBER to every process of the container; a kill reaches frozen and forking ones too.

    Raises OpError if they are born faster than they are killed, for ten seconds.
    """
    directory = main_directory(places)
    if number == SIGKILL and (at_once := _killer(places)):
        write(at_once, "1")
        if at_once.startswith(f"{directory}/"):
            return
    seen: set[int] = set()
    deadline = monotonic() + REMOVE_SECONDS
    while fresh := [pid for pid in pids(directory) if pid not in seen]:
        for pid in fresh:
            seen.add(pid)
            try:
                posix.kill(pid, number)
            except ProcessLookupError:
                continue
        if number != SIGKILL:
            break  # what a process starts in answer to the signal is not to be hit by it
        if monotonic() > deadline:
            raise OpError(
                f"the processes in {directory} are born faster than they can be killed",
                errno=errno.EBUSY,
                hint="limit pids for it, or freeze it before",
            )
    if number == SIGKILL and is_frozen(places):
        set_frozen(places, frozen=False)


def _killer(places: tuple[Place, ...]) -> str:
    """Return the file that kills all that is in version 2's cgroup at once, "" where there is none (Linux 5.14)."""
    files = (f"{place.directory}/cgroup.kill" for place in places if "" in place.controllers)
    return next((file for file in files if posix.access(file, posix.W_OK)), "")


def main_directory(places: tuple[Place, ...]) -> str:
    """Return the directory whose processes are the container's."""
    for wanted in ("devices", "freezer", "pids", "memory", ""):
        for place in places:
            if wanted in place.controllers:
                return place.directory
    return places[0].directory if places else ""
