"""pyrunc features."""

from __future__ import annotations

import sys

from pyrunc.cli.main import Call
from pyrunc.container.features import features
from pyrunc.jsonio import dumps


def command(call: Call) -> int:
    """Print the features document."""
    sys.stdout.write(dumps(features(), 2) + "\n")
    sys.stdout.flush()
    return 0
