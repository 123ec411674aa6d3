"""pyrunc restore."""

from __future__ import annotations

from pyrunc.cli.interrupts import undo_when_ended
from pyrunc.cli.main import Call
from pyrunc.container.verbs.restore import RestoreOptions, restore
from pyrunc.criu.options import criu
from pyrunc.errors import UsageError

OWN = ("bundle", "console_socket", "pid_file", "detach", "no_subreaper", "no_pivot", "lsm_profile", "lsm_mount_context")


def command(call: Call) -> int:
    """Restore the container and return its status."""
    undo_when_ended()
    if call.general.get("cgroup_manager") == "disabled":
        hint = "leave --cgroup-manager disabled out"
        raise UsageError("restore needs cgroups: CRIU brings a container back in them", hint=hint)
    asked = RestoreOptions(
        id=call.positional[0],
        root=call.root,
        systemd_cgroup=bool(call.general.get("systemd_cgroup")),
        log=call.log,
        criu=criu(call.general, call.options),
        **{name: call.options[name] for name in OWN if name in call.options},
    )
    return restore(asked)
