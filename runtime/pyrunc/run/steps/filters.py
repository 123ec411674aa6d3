"""Steps about seccomp: the filter is laid out in memory before the fork, and only loaded after it."""

from __future__ import annotations

from _struct import pack

from pyrunc.linux.abi import Buffer
from pyrunc.seccomp import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.seccomp import Seccomp
    from pyrunc.run.context import Context

INSTRUCTION = 8  # sizeof(struct sock_filter)


class Filter:
    """A struct sock_fprog in memory: its `address`, and the `flags` for seccomp(2)."""

    def __init__(self, program: bytes, flags: int) -> None:
        """Lay out PROGRAM."""
        self._program = Buffer(program)
        self._fprog = Buffer(pack("=H6xQ", len(program) // INSTRUCTION, self._program.address))
        self.address = self._fprog.address
        self.flags = flags


def load_filter(context: Context, seccomp: Seccomp, directory: str) -> None:
    """Take the compiled filter from the cache in DIRECTORY, or compile it and keep it there."""
    program = cache.load(seccomp, directory)
    context.filter = Filter(program.bpf, program.flags)


def share_listener(context: Context, memory: int, path: str, metadata: str) -> None:
    """Prepare to hand the notification descriptor over, through file MEMORY."""
    from pyrunc.run.steps.listener import Listener

    context.listener = Listener(memory, path, metadata, {"status": "creating", **context.state})
