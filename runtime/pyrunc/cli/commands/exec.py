"""pyrunc exec."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.exec import exec_
from pyrunc.container.options import ExecOptions


def command(call: Call) -> int:
    """Run the process and return its status."""
    options = dict(call.options)
    env, caps, groups = (tuple(options.pop(key, ())) for key in ("env", "cap", "additional_gids"))
    asked = ExecOptions(
        id=call.positional[0],
        root=call.root,
        args=call.rest,
        additional_gids=groups,
        log=call.log,
        env=env,
        caps=caps,
        **options,
    )
    return exec_(asked)
