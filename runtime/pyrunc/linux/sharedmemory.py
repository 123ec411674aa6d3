"""Memory that processes share (mmap(2)).

A module of its own, as without the native program it loads another: whoever needs it imports it before the fork.
"""

from __future__ import annotations

import sys

if "_pyrunc" in sys.builtin_module_names:
    from _pyrunc import shared_memory
else:
    from mmap import mmap

    def shared_memory(fd: int, size: int) -> memoryview:
        """Return SIZE bytes of file FD (-1: of none), shared with whoever else maps it or inherits it; for good."""
        return memoryview(mmap(fd, size))


__all__ = ["shared_memory"]
