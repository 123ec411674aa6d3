"""Every error that pyrunc raises on purpose, and what each means.

    PyruncError            anything below; catch this one
    |-- UsageError         the command line, or a call of the library, makes no sense
    |-- ConfigError        config.json (or a process.json) is wrong; `pointer` says where
    |-- UnsupportedError   it is right, but this host or this version cannot do it
    |-- StateError         the container is unknown, exists already, or is in the wrong state
    |-- HookError          a hook failed; the message has its path, status and standard error
    `-- OpError            the kernel refused a step of the plan; `errno` says why

str(error) is one line: what went wrong, then in parentheses where config.json
asked for it (an RFC 6901 JSON pointer) and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "HookError",
    "OpError",
    "PyruncError",
    "StateError",
    "UnsupportedError",
    "UsageError",
]

PLACES_MAX, PLACE_MAX = 5, 100  # how many places of other errors a line names, and how much of each


class PyruncError(Exception):
    """What went wrong, where the configuration asked for it, and what to do."""

    status = 1
    """Exit status of a command that ends with this error."""

    def __init__(self, message: str, *, pointer: str = "", hint: str = "") -> None:
        """Keep MESSAGE, the JSON POINTER into config.json, and the HINT."""
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.hint = hint

    def __str__(self) -> str:
        """Return the whole story in one line."""
        place = f"at {self.pointer}" if self.pointer else ""
        notes = "; ".join(part for part in (place, self.hint) if part)
        text = f"{self.message} ({notes})" if notes else self.message
        return text.replace("\n", "\\n")


class UsageError(PyruncError):
    """The command line, or a call of the library, makes no sense."""


class ConfigError(PyruncError):
    """config.json, or a document like it, is not what the specification asks for.

    `others` are the JSON pointers of what else is wrong in the same document.
    """

    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the whole story in one line, with the places of the OTHERS as far as there is room."""
        text = super().__str__()
        if not self.others:
            return text
        shown = [place if len(place) <= PLACE_MAX else place[:PLACE_MAX] + "..." for place in self.others[:PLACES_MAX]]
        rest = ["..."] if len(self.others) > PLACES_MAX else []
        return f"{text}; {len(self.others)} more: {', '.join(shown + rest)}".replace("\n", "\\n")


class UnsupportedError(PyruncError):
    """The request is valid, but this host or this version of pyrunc cannot do it."""


class StateError(PyruncError):
    """The container does not exist, exists already, or is in the wrong state for this."""


class HookError(PyruncError):
    """A hook could not be started, failed, or took longer than its timeout."""


class OpError(PyruncError):
    """The kernel refused one step of a plan."""

    def __init__(self, message: str, *, errno: int = 0, pointer: str = "", hint: str = "") -> None:
        """Keep the kernel's ERRNO (0 where there is none) beside the message."""
        super().__init__(message, pointer=pointer, hint=hint)
        self.errno = errno
