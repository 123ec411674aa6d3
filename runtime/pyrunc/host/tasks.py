"""Whether a process lives, and is the one that is meant (proc(5), pidfd_open(2))."""

from __future__ import annotations

import posix
from _signal import SIGKILL, pidfd_send_signal
from select import POLLIN, poll

TICKS = 100  # in a second, for every program (USER_HZ)
_shifts: list[int] = []  # once it is known: who has begun in a time namespace stays there
FIRST = "time:[4026531834]"  # the machine's own time namespace, whose number is fixed (PROC_TIME_INIT_INO)


def start_time(pid: int) -> int:
    """Return when process PID started, in clock ticks since the machine's boot; 0 if it has ended with all of its threads.

    A first thread that has ended shows as a zombie although others live on; the kernel's descriptor of
    the process tells both apart.
    """
    try:
        fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return 0  # nothing else says that it has ended
    try:
        text = posix.read(fd, 4096)
    except ProcessLookupError:
        return 0
    finally:
        posix.close(fd)
    fields = text[text.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X") and has_ended(pid):
        return 0
    return int(fields[19]) - _shift()


def _shift() -> int:
    """Return by how many clock ticks the kernel shifts what it tells us of the time since boot (time_namespaces(7)).

    Commands of different time namespaces must know a process by the same start.
    """
    if not _shifts:
        _shifts.append(_look())
    return _shifts[0]


def _look() -> int:
    """Look up what `_shift` returns."""
    try:
        if posix.readlink("/proc/self/ns/time") == FIRST:
            return 0
        with open("/proc/self/timens_offsets", "rb") as file:
            words = file.read().split()
    except FileNotFoundError:
        return 0  # this kernel has no time namespaces
    at = words.index(b"boottime")
    return int(words[at + 1]) * TICKS + int(words[at + 2]) * TICKS // 1_000_000_000


def has_ended(pid: int) -> bool:
    """Return whether process PID has ended, with all of its threads."""
    try:
        fd = posix.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return ends_within(fd, 0)
    finally:
        posix.close(fd)


def ends_within(pidfd: int, milliseconds: int) -> bool:
    """Wait at most so many MILLISECONDS for the process behind PIDFD to end, with all of its threads; return whether it has."""
    watch = poll()
    watch.register(pidfd, POLLIN)
    return bool(watch.poll(milliseconds))


def is_killed(pid: int) -> bool:
    """Return whether SIGKILL is on its way to process PID (proc_pid_status(5), SigPnd and ShdPnd), or it has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return True
    pending = (int(line.split()[1], 16) for line in lines if line.startswith((b"SigPnd:", b"ShdPnd:")))
    return any(each >> (SIGKILL - 1) & 1 for each in pending)


def end(pid: int, start: int) -> None:
    """Kill process PID if it is the one that began at START, with the process group that it leads."""
    if not pid:
        return
    try:
        pidfd = posix.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if start_time(pid) == start:
            if posix.getpgid(pid) == pid:
                posix.killpg(pid, SIGKILL)
            pidfd_send_signal(pidfd, SIGKILL)
    except ProcessLookupError:
        return
    finally:
        posix.close(pidfd)


def parents(pid: int) -> list[int]:
    """Return the parent of process PID, its parent, and so on."""
    found: list[int] = []
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read()
        except OSError:
            break  # it has ended meanwhile
        pid = int(text[text.rindex(b")") + 2 :].split()[1])
        found.append(pid)
    return found
