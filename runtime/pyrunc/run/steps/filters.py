"""Steps about seccomp: the filter is laid out in memory before the fork, and only loaded after it."""

from __future__ import annotations

from _struct import pack

from pyrunc.linux import process
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


def load_filter(context: Context, seccomp: Seccomp, directory: str, wait: bool) -> None:
    """Take the compiled filter from the cache in DIRECTORY, or compile it and keep it there.

    WAIT says that the process will wait for `start` under it.
    """
    program = cache.load(seccomp, directory, context.warn)
    bpf = program.bpf
    if wait:
        from pyrunc.seccomp import waiting

        bpf = waiting.allowed() + bpf
    context.filter = Filter(bpf, program.flags)


def apply_filter(context: Context) -> None:
    """Load the filter, if there is one and it is not on yet, and hand its notification descriptor over."""
    if context.filter is None or context.filtered:
        return
    fd = process.seccomp_set_mode_filter(context.filter.address, context.filter.flags)
    context.filtered = True
    if context.listener is not None:
        context.listener.offer(fd)


def release_listener(context: Context) -> None:
    """Let the process go on that has offered its descriptor."""
    if context.listener is not None:
        context.listener.release()
        context.listener = None
