"""pyrunc checkpoint."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.verbs.checkpoint import checkpoint
from pyrunc.criu.options import DumpOptions, criu
from pyrunc.errors import UsageError


def command(call: Call) -> int:
    """Checkpoint the container."""
    options = call.options
    asked = DumpOptions(
        **dict(criu(call.general, options).items()),
        leave_running=bool(options.get("leave_running")),
        pre_dump=bool(options.get("pre_dump")),
        link_remap=bool(options.get("link_remap")),
        parent=options.get("parent_path", ""),
        page_server=options.get("page_server", ""),
        status_fd=_descriptor(options.get("status_fd", "-1")),
        skip_in_flight=bool(options.get("tcp_skip_in_flight")),
    )
    checkpoint(call.root, call.positional[0], asked, call.log)
    return 0


def _descriptor(text: str) -> int:
    """Return the number in TEXT; -1 stands for none."""
    if text == "-1":
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise UsageError(f'invalid value "{text}" for --status-fd', hint="the number of an open descriptor")
    return int(text)
