"""/hooks (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

from pyrunc.oci.convert import absolute, array, integer, record, strings
from pyrunc.record import Record

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class Hook(Record):
    """A program to run; `timeout` is in seconds, None for no limit, and `env` is None where the kind of hook decides."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None
    timeout: int | None = None


class Hooks(Record):
    """The six kinds, each in its order."""

    prestart: tuple[Hook, ...] = ()
    createRuntime: tuple[Hook, ...] = ()
    createContainer: tuple[Hook, ...] = ()
    startContainer: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


_hooks = array(
    record(Hook, "path", path=absolute, args=strings, env=strings, timeout=integer((1, (1 << 31) - 1)))
)
hooks = record(Hooks, "", **dict.fromkeys(KINDS, _hooks))
