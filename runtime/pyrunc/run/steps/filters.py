"""Steps about seccomp: the filter is laid out in memory before the fork, and only loaded after it."""

from __future__ import annotations

from _struct import pack

from pyrunc.errors import ConfigError
from pyrunc.linux import process
from pyrunc.linux.abi import Buffer
from pyrunc.oci.crun import UNKNOWN_CALLS
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


def load_filter(context: Context, seccomp: Seccomp, directory: str, wait: bool, unknown: str = "") -> None:
    """Take the compiled filter from the cache in DIRECTORY, or compile it and keep it there.

    WAIT says that the process will wait for `start` under it, UNKNOWN what is to be done about rules for system calls that
    nobody knows: to refuse them, or to WARN of them.
    """
    program = cache.load(seccomp, directory, (lambda _: None) if unknown else context.warn)
    if unknown and program.unknown:
        raise _unknown(seccomp, program.unknown[0])
    bpf = program.bpf
    if wait:
        from pyrunc.seccomp import waiting

        bpf = waiting.allowed() + bpf
    context.filter = Filter(bpf, program.flags)


def _unknown(seccomp: Seccomp, name: str) -> ConfigError:
    """Return the error for a rule of SECCOMP about system call NAME, which nobody knows."""
    places = ((i, rule.names.index(name)) for i, rule in enumerate(seccomp.syscalls) if name in rule.names)
    at = next((f"/linux/seccomp/syscalls/{i}/names/{j}" for i, j in places), "/linux/seccomp")
    hint = f"correct the name, or remove it, or annotation {UNKNOWN_CALLS}"
    return ConfigError(f"no such system call is known: {name}", pointer=at, hint=hint)


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
