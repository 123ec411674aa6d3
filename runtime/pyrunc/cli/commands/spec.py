"""pyrunc spec."""

from __future__ import annotations

import posix

from pyrunc.cli.main import Call
from pyrunc.errors import UsageError
from pyrunc.jsonio import dumps
from pyrunc.oci.default import default_config


def command(call: Call) -> int:
    """Write config.json; one that exists is not touched."""
    path = f"{call.options.get('bundle') or '.'}/config.json"
    rootless = bool(call.options.get("rootless"))
    text = dumps(default_config(posix.geteuid() if rootless else -1, posix.getegid()), 4)
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o666)
    except FileExistsError:
        hint = "remove it first, or choose another --bundle"
        raise UsageError(f"File {path.removeprefix('./')} exists. Remove it first", hint=hint) from None
    try:
        posix.write(fd, text.encode() + b"\n")
    finally:
        posix.close(fd)
    return 0
