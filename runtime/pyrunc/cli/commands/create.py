"""pyrunc create."""

from __future__ import annotations

from _signal import SIG_DFL, SIGHUP, SIGTERM, default_int_handler, getsignal, signal

from pyrunc.cli import systemd
from pyrunc.cli.main import Call
from pyrunc.container.options import CreateOptions
from pyrunc.container.verbs.create import create


def command(call: Call) -> int:
    """Create the container; a caller who gives up, or whose terminal dies, leaves nothing of it."""
    for number in (SIGHUP, SIGTERM):
        if getsignal(number) == SIG_DFL:  # nohup(1) wants one ignored
            signal(number, default_int_handler)  # as ^C does: it raises KeyboardInterrupt
    options = CreateOptions(
        id=call.positional[0],
        root=call.root,
        systemd_cgroup=bool(call.general.get("systemd_cgroup")),
        rootless=call.rootless,
        log=call.log,
        **systemd.sockets(),
        notify_socket=systemd.notify_socket(),
        **call.options,
    )
    create(options)
    return 0
