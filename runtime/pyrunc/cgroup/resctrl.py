"""The directories of resctrl: classes of service and groups that are monitored (Documentation/filesystems/resctrl.rst).

Like cgroups made of directories, but beside them: one tree, and each task is in
one class and in one monitored group of it.  Loaded only for linux.intelRdt.
"""

from __future__ import annotations

import errno
import posix
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from pyrunc.errors import ConfigError, OpError
from pyrunc.host.files import read, write

TASKS, SCHEMATA, MONITORS = "tasks", "schemata", "mon_groups"
AT = "/linux/intelRdt"


class Lock:
    """The lock of the whole file system that DIRECTORY is in, which the kernel's document asks for (resctrl.rst, "Locking")."""

    def __init__(self, directory: str) -> None:
        """Name the file system by a DIRECTORY in it."""
        self.path, self.fd = root(directory), -1

    def __enter__(self) -> None:
        """Wait for the lock: nobody keeps it for long."""
        self.fd = posix.open(self.path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        flock(self.fd, LOCK_EX)

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        posix.close(self.fd)


def root(directory: str) -> str:
    """Return the root of the file system that a class, or a monitored group, at DIRECTORY is in, or is itself."""
    place = directory.partition(f"/{MONITORS}/")[0]
    parent = place.rpartition("/")[0]
    return parent if posix.access(f"{parent}/{TASKS}", posix.F_OK) or not posix.access(place, posix.F_OK) else place


def use_class(directory: str, writes: tuple[tuple[str, ...], ...]) -> tuple[bool, int]:
    """Find the class at DIRECTORY, or make it with the lines of WRITES, if there are any.

    One that is there must have these lines already (config-linux.md, "IntelRdt").
    Return whether it was made, and a descriptor: until that is closed nobody of us removes it.
    Raises ConfigError if it differs, or is missing and there is nothing to make it by.
    """
    with Lock(directory):
        made = _find_or_make(directory, writes)
        # The root's class never goes, and its lock is the one that we have.
        return made, -1 if directory == root(directory) else _hold(directory)


def _hold(directory: str) -> int:
    """Return a descriptor by which the class at DIRECTORY is in use before a process is in it."""
    fd = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    flock(fd, LOCK_SH)
    return fd


def _find_or_make(directory: str, writes: tuple[tuple[str, ...], ...]) -> bool:
    """Do what `use_class` does, under the lock; return whether the class was made."""
    name = directory.rpartition("/")[2]
    if writes:
        try:
            make_class(directory, writes)
        except OpError as error:
            if error.errno != errno.EEXIST:
                raise
        else:
            return True
    elif not posix.access(f"{directory}/{TASKS}", posix.F_OK):
        hint = "make it, or add schemata"
        raise ConfigError(f"there is no class of service {name}", pointer=f"{AT}/closID", hint=hint)
    found = parse(read(f"{directory}/{SCHEMATA}")) if writes else {}
    for line in (line for lines in writes for line in lines):
        for domain, value in parse(line).items():
            if found.get(domain) != value:
                text = f'the class of service {name} exists, and has not "{line}"'
                raise ConfigError(text, pointer=f"{AT}/closID", hint="use another closID, or the same schemata")
    return False


def make_class(directory: str, writes: tuple[tuple[str, ...], ...]) -> None:
    """Make the class at DIRECTORY, and write to its schemata; if that is refused, nothing of it stays.

    Each of WRITES is one write(2): the kernel takes a domain only once in each.
    """
    make_group(directory)
    try:
        for lines in writes:
            _set(directory, lines)
    except BaseException:
        posix.rmdir(directory)
        raise


def change(directory: str, writes: tuple[tuple[str, ...], ...]) -> str:
    """Write to the schemata of the class at DIRECTORY, all of WRITES or none; return the text that takes them back.

    Raises OpError.
    """
    before = read(f"{directory}/{SCHEMATA}")
    try:
        for lines in writes:
            _set(directory, lines)
    except OpError:
        restore(directory, before)
        raise
    return before


def restore(directory: str, text: str) -> None:
    """Write TEXT, which is what the schemata of DIRECTORY were, line by line: some resources take no write."""
    for line in text.splitlines():
        try:
            write(f"{directory}/{SCHEMATA}", f"{line.strip()}\n")
        except OSError:
            continue  # as far as may be: the first error is the one to tell


def _set(directory: str, lines: tuple[str, ...]) -> None:
    """Write LINES, and say what the kernel had against them."""
    try:
        write(f"{directory}/{SCHEMATA}", "".join(f"{line}\n" for line in lines))
    except OSError as error:
        reason = (error.strerror or "").lower()
        text = f'error setting schemata: write "{" ".join(lines)}" to {directory}/{SCHEMATA}: {reason}{_said(directory)}'
        raise OpError(
            text, errno=error.errno or 0, pointer=AT, hint="see info/last_cmd_status of the resctrl file system"
        ) from None


def _said(directory: str) -> str:
    """Return what the kernel says of the last refusal, which info/last_cmd_status in the root keeps."""
    try:
        return ": " + read(f"{directory.rpartition('/')[0]}/info/last_cmd_status").strip()
    except OSError:
        return ""


def make_group(directory: str) -> None:
    """Make DIRECTORY, which must be nobody else's: it goes with the container."""
    try:
        posix.mkdir(directory, 0o755)
    except OSError as error:
        reason = (error.strerror or "").lower()
        hints = {
            errno.EEXIST: "it is somebody else's, or was left behind: remove it, or use another closID",
            errno.ENOSPC: "the processor has no more classes or monitors: remove one",
            errno.ENOENT: "this processor cannot monitor",
        }
        hint = hints.get(error.errno or 0, "")
        text = f"error making resctrl group: mkdir {directory}: {reason}"
        raise OpError(text, errno=error.errno or 0, pointer=AT, hint=hint) from None


def join(directories: tuple[str, ...], pid: int) -> None:
    """Move process PID into DIRECTORIES: the class first, which takes it out of any monitored group."""
    for directory in directories:
        write(f"{directory}/{TASKS}", str(pid))


def remove(directories: tuple[str, ...]) -> None:
    """Remove DIRECTORIES, as far as they are there."""
    for directory in directories:
        try:
            posix.rmdir(directory)
        except FileNotFoundError:
            continue


def remove_unused(directory: str) -> None:
    """Remove the class at DIRECTORY unless a process is in it, or is about to be: `use_class` of another holds it."""
    with Lock(directory):
        fd = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            flock(fd, LOCK_EX | LOCK_NB)
            if not read(f"{directory}/{TASKS}").strip():
                posix.rmdir(directory)
        except BlockingIOError:
            return
        finally:
            posix.close(fd)


def parse(text: str) -> dict[tuple[str, str], int]:
    """Return the schemata in TEXT: the value of each (resource, domain), whose masks are hexadecimal."""
    found = {}
    for line in text.splitlines():
        resource, colon, rest = line.strip().partition(":")
        for part in rest.split(";") if colon else ():
            domain, _, value = part.partition("=")
            try:
                found[resource.strip(), str(int(domain))] = int(value, 10 if resource.strip() == "MB" else 16)
            except ValueError:
                message = f'"{line.strip()}" is no line of schemata'
                raise ConfigError(message, pointer=AT, hint="such as L3:0=7f0;1=1f or MB:0=20;1=70") from None
    return found
