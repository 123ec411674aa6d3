"""libseccomp, through pyseccomp or its own bindings, which have the same names; and why it cannot be had, where it cannot."""

from __future__ import annotations

import posix

from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

NEEDED = 8


def load() -> ModuleType:
    """Return pyseccomp, with the library loaded; or libseccomp's own bindings, such as Debian's python3-seccomp.

    Raises UnsupportedError: dlopen(3) and the search for it fail in many ways.
    """
    try:
        return _bindings()
    except (ImportError, OSError, RuntimeError, StopIteration) as error:
        reason, hint = str(error) or type(error).__name__, "install libseccomp2 and pyseccomp, or remove the profile"
        if lack := _lack():  # what looks for a library takes that for its absence
            reason, hint = lack, "raise ulimit -n of this process"
        raise UnsupportedError(f"cannot load libseccomp: {reason}", pointer="/linux/seccomp", hint=hint) from None


def _bindings() -> ModuleType:
    """Return what there is of both.  Raises what pyseccomp raises."""
    try:
        import pyseccomp as found
    except ImportError as error:
        if error.name != "pyseccomp":
            raise
        try:
            import seccomp as found
        except ImportError:
            raise error from None
    return found  # type: ignore[no-any-return]


def _lack() -> str:
    """Return why this process cannot have as many descriptors as the search for a library takes, "" if it can."""
    taken: list[int] = []
    try:
        while len(taken) < NEEDED:
            taken.append(posix.dup(0))
    except OSError as error:
        return (error.strerror or "").lower()
    finally:
        for fd in taken:
            posix.close(fd)
    return ""


def loaded_file() -> str:
    """Return the file that libseccomp has been loaded from, by this process (proc(5), maps)."""
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            path = line.split(None, 5)[-1].strip()
            if path.rpartition(b"/")[2].startswith(b"libseccomp.so"):
                return str(path, "utf-8", "surrogateescape")
    return ""
