"""pyrunc run."""

from __future__ import annotations

from pyrunc.cli import systemd
from pyrunc.cli.interrupts import undo_when_ended
from pyrunc.cli.main import Call
from pyrunc.container.options import RunOptions
from pyrunc.container.verbs.run import run


def command(call: Call) -> int:
    """Run the container and return its status."""
    undo_when_ended()
    options = RunOptions(
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
    return run(options)
