"""pyrunc create."""

from __future__ import annotations

from pyrunc.cli import systemd
from pyrunc.cli.interrupts import undo_when_ended
from pyrunc.cli.main import Call
from pyrunc.container.options import CreateOptions
from pyrunc.container.verbs.create import create


def command(call: Call) -> int:
    """Create the container."""
    undo_when_ended()
    options = CreateOptions(
        id=call.positional[0],
        root=call.root,
        systemd_cgroup=bool(call.general.get("systemd_cgroup")),
        cgroups=call.general.get("cgroup_manager") != "disabled",
        rootless=call.rootless,
        log=call.log,
        **systemd.sockets(),
        notify_socket=systemd.notify_socket(),
        **call.options,
    )
    create(options)
    return 0
