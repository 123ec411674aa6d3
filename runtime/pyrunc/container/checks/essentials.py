"""System calls that a filter refuses, and without which hardly any program comes as far as its first line."""

from __future__ import annotations

from pyrunc.plan import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

# What a C library does before main() and to end, whether it is linked statically or not.
NEEDED = ("brk", "exit_group", "mmap", "mprotect", "read")


def refused(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield pointer, message and hint for each call that every program needs and the filter of CONFIG surely refuses."""
    filters = config.linux.seccomp
    if filters is None:
        return
    for name in NEEDED:
        action, pointer = seccomp.answer(filters, name)
        if action not in (*seccomp.LETTING, seccomp.NOTIFY, "SCMP_ACT_TRACE", ""):
            text = f"the filter has {action} for {name}(2), without which hardly any program starts"
            yield pointer, text, f"allow {name}"
