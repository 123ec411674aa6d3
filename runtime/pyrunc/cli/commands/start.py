"""pyrunc start."""

from __future__ import annotations

from pyrunc.cli import systemd
from pyrunc.cli.main import Call
from pyrunc.container.verbs.start import start


def command(call: Call) -> int:
    """Start the container."""
    start(call.root, call.positional[0], call.log, systemd.notify_socket())
    return 0
