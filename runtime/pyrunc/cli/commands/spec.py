"""pyrunc spec."""

from __future__ import annotations

import posix

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.errors import UsageError
from pyrunc.host import facts
from pyrunc.jsonio import dumps
from pyrunc.oci.default import default_config


def command(call: Call) -> int:
    """Write config.json; one that exists is not touched."""
    path = f"{call.options.get('bundle') or '.'}/config.json".removeprefix("./")
    uid = posix.geteuid() if call.options.get("rootless") else -1
    text = dumps(default_config(uid, posix.getegid(), unified=facts.probe().cgroups.unified), 4) + "\n"
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o666)
    except FileExistsError:
        hint = "remove it first, or choose another --bundle"
        raise UsageError(f"file {path} exists", hint=hint) from None
    try:
        write(text, fd)
    except OSError:
        posix.unlink(path)  # half a document is worse than none
        raise
    finally:
        posix.close(fd)
    return 0
