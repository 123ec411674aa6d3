"""pyrunc: an OCI runtime for Linux.  docs/library.md shows it as a library, docs/architecture.md is the way into its code.

Importing this loads nothing else: each name is loaded when it is used, so that the command line starts as fast without them.
__init__.pyi says the same to type checkers.
"""

from __future__ import annotations

__version__ = "0.1.0"

# Public name -> the module that it is loaded from; "" for those that are modules themselves.
_HOMES = {
    "Bundle": "pyrunc.library.bundle",
    "ConfigError": "pyrunc.errors",
    "Container": "pyrunc.library.container",
    "DEVNULL": "pyrunc.library.streams",
    "HookError": "pyrunc.errors",
    "OpError": "pyrunc.errors",
    "PIPE": "pyrunc.library.streams",
    "Process": "pyrunc.library.process",
    "PyruncError": "pyrunc.errors",
    "STDOUT": "pyrunc.library.streams",
    "State": "pyrunc.library.state",
    "StateError": "pyrunc.errors",
    "UnsupportedError": "pyrunc.errors",
    "UsageError": "pyrunc.errors",
    "aio": "",
    "check": "pyrunc.library.bundle",
    "close": "pyrunc.library.channel",
    "features": "pyrunc.library.bundle",
    "plan": "",  # a package, which the library lets be called
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load public NAME."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pyrunc' has no attribute {name!r}")
    from importlib import import_module

    if home:
        found: object = getattr(import_module(home), name)
    else:
        import_module("pyrunc.library")
        found = import_module(f"pyrunc.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return what there is to be used."""
    return sorted({*globals(), *_HOMES})
