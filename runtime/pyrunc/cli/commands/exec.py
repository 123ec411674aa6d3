"""pyrunc exec."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.container.exec import exec_
from pyrunc.container.options import ExecOptions


def command(call: Call) -> int:
    """Run the process and return its status."""
    options = dict(call.options)
    lists = {name: tuple(options.pop(key, ())) for name, key in (("env", "env"), ("caps", "cap"))}
    groups = tuple(options.pop("additional_gids", ()))
    asked = ExecOptions(
        id=call.positional[0],
        root=call.root,
        args=call.rest,
        additional_gids=groups,
        log=call.log,
        **lists,
        **options,
    )
    return exec_(asked)
