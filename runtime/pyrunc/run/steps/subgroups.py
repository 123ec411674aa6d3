"""Steps about cgroups of version 2 below a scope: make them, and give them its controllers (cgroups(7)).

They go with the scope: systemd removes what is below one that has ended.
"""

from __future__ import annotations

import posix

from pyrunc.cgroup import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

MODE = 0o755


def make_subgroups(context: Context, directories: tuple[str, ...]) -> None:
    """Make the cgroups at DIRECTORIES."""
    for directory in directories:
        posix.mkdir(directory, MODE)
        context.ours.add(directory)


def hand_down(_: Context, directory: str) -> None:
    """Let what is below the cgroup at DIRECTORY, in which no process is any more, have its controllers."""
    fs.hand_down(directory)
