"""pyrunc kill."""

from __future__ import annotations

from pyrunc.cli import signals
from pyrunc.cli.main import Call
from pyrunc.container.verbs.kill import STOP_SIGNAL, kill, stop_signal
from pyrunc.errors import UsageError


def command(call: Call) -> int:
    """Send the signal."""
    container, *given = call.positional
    # An empty word stands for none, as with runc.
    number = signals.number(given[0]) if any(given) else _annotated(stop_signal(call.root, container))
    kill(call.root, container, number, everything=bool(call.options.get("all")))
    return 0


def _annotated(text: str) -> int:
    """Return the number of the signal that an annotation calls TEXT."""
    try:
        return signals.number(text)
    except UsageError as error:
        raise UsageError(f"annotation {STOP_SIGNAL}: {error.message}", hint="name the signal to send") from None
