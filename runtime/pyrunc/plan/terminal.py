"""/process/terminal: a pseudo-terminal of the container's own devpts.

The slave comes from TIOCGPTPEER, so no path to it is resolved at all
(CVE-2025-52565), and the console is bound by descriptor.
"""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.plan.op import PTY, ROOT, Op, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.process import Process

MASTER = Slot("master")
CONSOLE, POINT = Slot("console"), Slot("point/dev/console")
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH


def child(process: Process, at: str, *, console: bool) -> Iterator[Op]:
    """Yield the ops that open the terminal, send its master out, and make it controlling.

    CONSOLE says whether it also becomes /dev/console, as it does for an init.
    """
    if not process.terminal:
        return
    where, doing = f"{at}/terminal", "error setting up the terminal"
    yield Op("open_pty", (ROOT,), where, MASTER, doing)
    yield Op("pty_slave", (MASTER,), where, PTY, doing)
    if process.consoleSize is not None:
        args = (PTY, process.consoleSize.height, process.consoleSize.width)
        yield Op("set_window_size", args, f"{at}/consoleSize", doing=doing)
    if console:
        flags = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | m.AT_EMPTY_PATH
        yield Op("open_tree", (PTY, "", flags), where, CONSOLE, doing)
        yield Op("mount_point", (ROOT, "/dev/console", CONSOLE), where, POINT, doing)
        yield Op("move_mount", (CONSOLE, "", POINT, "", ON_ROOT), where, doing=doing)
    yield Op("barrier", ("console", MASTER))
    yield Op("take_terminal", (PTY,), where, doing=doing)


def host(process: Process, at: str) -> list[Op]:
    """Return the host's side: the master arrives and is handed to whoever waits for it."""
    if not process.terminal:
        return []
    return barrier("console", Op("hand_over_terminal", (), f"{at}/terminal"))
