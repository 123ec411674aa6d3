"""The seal: past the fork, nothing is imported any more.

After pivot_root(2) an import would run the container's files with the host's
privileges: a poisoned /usr/lib/python3 in an image would own the machine.  So
the child switches the machinery off before it does anything else.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class _Refusal:
    """The only finder left: it finds nothing, loudly."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> NoReturn:
        """Refuse to look for module NAME."""
        raise ImportError(f"import of {name} after the fork into a container")


def seal() -> None:
    """Make every further import of this process fail, other than of what is loaded already."""
    sys.meta_path[:] = [_Refusal]
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
