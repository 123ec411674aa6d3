"""The library: `import pyrunc`, and `pyrunc.aio` for asyncio.  What changes anything is done by a helper (pyrunc/helper).

`pyrunc.plan` is a package of ours and a function of the library, so the package becomes one that can be called.
"""

from __future__ import annotations

import sys

from pyrunc.plan import op as _op  # so that the package is there

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.library.bundle import Bundle, Path
    from pyrunc.plan.op import Plan


class _Callable(type(sys)):  # type: ignore[misc]  # the class of modules, without an import of `types`
    """A module that can be called."""

    def __call__(self, bundle: Bundle | Path, id: str = "example") -> Plan:
        """Return what `create` would do with BUNDLE: see Bundle.plan."""
        from pyrunc.library.bundle import of

        return of(bundle).plan(id)


sys.modules[_op.__name__.rpartition(".")[0]].__class__ = _Callable
