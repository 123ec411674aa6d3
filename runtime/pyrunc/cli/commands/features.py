"""pyrunc features."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.features import features
from pyrunc.jsonio import dumps


def command(call: Call) -> int:
    """Print the features document."""
    return write(dumps(features(), 4) + "\n")
