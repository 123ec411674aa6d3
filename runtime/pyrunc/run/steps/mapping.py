"""newuidmap(1) and newgidmap(1): by these an ordinary user maps the ids that /etc/subuid and /etc/subgid give it.

Loaded only where they are needed.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import OpError

SAID_MAX = 4096  # bytes of what it says that go into the error
HINT = "install uidmap, or map only the own id"
FORBIDDEN = "the ids must be given to this user in /etc/subuid and /etc/subgid"


def run_mapping_tool(_: object, tool: str, pid: int, lines: str) -> None:
    """Let TOOL, one of the two, set the mapping of process PID to LINES.  Raises OpError with what it says."""
    path = _found(tool)
    ours, its = posix.pipe()
    try:
        actions = [(posix.POSIX_SPAWN_DUP2, its, 1), (posix.POSIX_SPAWN_DUP2, its, 2)]
        child = posix.posix_spawn(path, (tool, str(pid), *lines.split()), posix.environ, file_actions=actions)
    except OSError as error:
        posix.close(ours)
        raise OpError(f"cannot run {path}: {(error.strerror or '').lower()}", errno=error.errno or 0, hint=HINT) from None
    finally:
        posix.close(its)
    said = b""
    while part := posix.read(ours, SAID_MAX):
        said = (said + part)[:SAID_MAX]
    posix.close(ours)
    if posix.waitpid(child, 0)[1]:
        text = str(said, "utf-8", "replace").strip() or "it failed"
        raise OpError(text if text.startswith(tool) else f"{tool}: {text}", errno=errno.EPERM, hint=FORBIDDEN)


def _found(tool: str) -> str:
    """Return the path of TOOL, by $PATH.  Raises OpError if it is not installed."""
    for directory in str(posix.environ.get(b"PATH", b""), "utf-8", "surrogateescape").split(":"):
        path = f"{directory}/{tool}"
        if directory.startswith("/") and posix.access(path, posix.X_OK):
            return path
    raise OpError(f"{tool} is not installed: no such file or directory", errno=errno.ENOENT, hint=HINT)
