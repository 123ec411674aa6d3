"""Learn that a cgroup ran out of memory: an eventfd in version 1, a poll of memory.events in version 2."""

from __future__ import annotations

import posix
from select import POLLIN, POLLPRI

from pyrunc.host.files import read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroup.paths import Place

FILE_MAX = 4096


class Watch:
    """One cgroup that is watched: poll `fd` for `events`, then ask `happened`.  `close` ends it."""

    def __init__(self, directory: str, *, v2: bool) -> None:
        """Watch the cgroup at DIRECTORY.  Raises OSError."""
        self._directory, self._v2 = directory, v2
        self.events = POLLPRI if v2 else POLLIN
        if v2:
            self.fd = posix.open(f"{directory}/memory.events", posix.O_RDONLY | posix.O_CLOEXEC)
            self._killed = self._count()
            return
        self.fd = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
        control = posix.open(f"{directory}/memory.oom_control", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            write(f"{directory}/cgroup.event_control", f"{self.fd} {control}")
        finally:
            posix.close(control)

    def _count(self) -> int:
        """Return how many processes were killed for lack of memory (version 2); reading arms the poll again."""
        words = posix.pread(self.fd, FILE_MAX, 0).split()
        return int(words[words.index(b"oom_kill") + 1]) if b"oom_kill" in words else 0

    def happened(self) -> bool:
        """Return whether memory ran out since it was asked last."""
        try:
            if self._v2:
                before, self._killed = self._killed, self._count()
                return self._killed > before
            posix.eventfd_read(self.fd)
        except OSError:
            return False  # nothing to read, or the cgroup is gone
        return posix.access(f"{self._directory}/memory.oom_control", posix.F_OK)  # the end of a cgroup wakes too

    def close(self) -> None:
        """Stop watching."""
        posix.close(self.fd)


def watch(places: tuple[Place, ...]) -> Watch | None:
    """Return the watch of the container at PLACES, None where memory is not controlled."""
    for place in places:
        if "memory" in place.controllers:
            return Watch(place.directory, v2=False)
    directory = next((place.directory for place in places if "" in place.controllers), "")
    if directory and posix.access(f"{directory}/memory.events", posix.F_OK):
        return Watch(directory, v2=True)
    return None


def kills(places: tuple[Place, ...]) -> int:
    """Return how many processes the kernel has killed for lack of memory in the container at PLACES."""
    for place in places:
        for controller, file in (("memory", "memory.oom_control"), ("", "memory.events")):
            if controller in place.controllers and posix.access(f"{place.directory}/{file}", posix.R_OK):
                words = read(f"{place.directory}/{file}").split()
                return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
    return 0
