"""`update` of what resctrl gives a container: caches and memory bandwidth (config-linux.md, "IntelRdt").

Loaded only for that.
"""

from __future__ import annotations

import posix

from pyrunc.cgroup import fs, resctrl
from pyrunc.container.statefile import SavedState, save
from pyrunc.errors import OpError
from pyrunc.host import facts
from pyrunc.oci.linux import IntelRdt
from pyrunc.plan import rdt
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.host.facts import HostFacts


class Schemata(Record):
    """What is asked for: lines of schemata, "" for what is to stay; `facts` are what a caller knows already (None: look)."""

    cache: str = ""
    bandwidth: str = ""
    facts: HostFacts | None = None


class Change:
    """A change of the schemata of one container's class, which can be taken back."""

    def __init__(self, directory: str, saved: SavedState, asked: Schemata) -> None:
        """Change the class of container SAVED, in DIRECTORY, to what is ASKED; give it one of its own if it has none.

        Raises UnsupportedError without resctrl, ConfigError and OpError for what is no schemata; then nothing is changed.
        """
        wanted = IntelRdt(l3CacheSchema=asked.cache, memBwSchema=asked.bandwidth)
        self._directory, self._saved = directory, saved
        groups = rdt.groups(wanted, asked.facts or facts.probe(), saved.id)
        writes = tuple(rdt.lines_of(wanted))
        self._made = () if saved.resctrl_joins else groups.joins
        if not self._made:
            self._class = saved.resctrl_joins[0]
            self._before = resctrl.change(self._class, writes)
            return
        # Written down first: whatever happens then, `delete` removes it.  Unless it is somebody else's already.
        if not posix.access(self._made[0], posix.F_OK):
            save(directory, saved.replace(resctrl_joins=groups.joins, resctrl_owns=groups.owns))
        try:
            resctrl.make_class(self._made[0], writes)
        except BaseException:
            save(directory, saved)
            raise
        try:
            self._fill()
        except BaseException:
            self.undo()
            raise

    def _fill(self) -> None:
        """Move every process of the container into its new class, and what they start meanwhile."""
        seen: set[int] = set()
        while fresh := [pid for pid in fs.pids(fs.main_directory(self._saved.places)) if pid not in seen]:
            for pid in fresh:
                seen.add(pid)
                try:
                    resctrl.join(self._made, pid)
                except ProcessLookupError:
                    continue
                except OSError as error:
                    reason = (error.strerror or "").lower()
                    text = f"error joining resctrl group {self._made[0]}: {reason}"
                    raise OpError(
                        text,
                        errno=error.errno or 0,
                        pointer=resctrl.AT,
                        hint="see info/last_cmd_status of the resctrl file system",
                    ) from None

    def undo(self) -> None:
        """Take it back."""
        if self._made:
            resctrl.remove(self._made)  # the kernel moves who is in it to the root's class
            save(self._directory, self._saved)
        else:
            resctrl.restore(self._class, self._before)


def document(old: object, asked: Schemata) -> dict[str, object]:
    """Return /linux/intelRdt, which was OLD, with what is ASKED."""
    made = dict(old) if isinstance(old, dict) else {}
    for name, value in (("l3CacheSchema", asked.cache), ("memBwSchema", asked.bandwidth)):
        if value:
            made[name] = value
    return made
