"""Memory that will be written to, had at once (madvise(2), MADV_POPULATE_WRITE)."""

from __future__ import annotations

import sys

if "_pyrunc" in sys.builtin_module_names:
    from _pyrunc import populate
else:

    def populate() -> None:
        """Have the pages of the dump that a command that forks writes to, in one call instead of some 290 faults; no error.

        Without the native program there is no dump, and nothing to do.
        """


__all__ = ["populate"]
