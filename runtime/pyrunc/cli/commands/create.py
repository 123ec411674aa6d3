"""pyrunc create."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.create import create
from pyrunc.container.options import CreateOptions


def command(call: Call) -> int:
    """Create the container."""
    options = CreateOptions(
        id=call.positional[0],
        root=call.root,
        systemd_cgroup=bool(call.general.get("systemd_cgroup")),
        log=call.log,
        **call.options,
    )
    create(options)
    return 0
