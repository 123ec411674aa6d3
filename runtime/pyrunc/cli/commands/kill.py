"""pyrunc kill."""

from __future__ import annotations

from pyrunc.cli import signals
from pyrunc.cli.main import Call
from pyrunc.container.verbs.kill import STOP_SIGNAL, kill, stop_signal
from pyrunc.errors import UsageError


def command(call: Call) -> int:
    """Send the signal."""
    container, *given = call.positional

    def send(each: str) -> None:
        """Send it to container EACH; an empty word stands for no signal, as with runc."""
        number = signals.number(given[0]) if any(given) else _annotated(stop_signal(call.root, each))
        kill(call.root, each, number, everything=bool(call.options.get("all")))

    if call.options.get("regex"):
        from pyrunc.cli import matching

        matching.each(call.root, container, send, call.log)
    else:
        send(container)
    return 0


def _annotated(text: str) -> int:
    """Return the number of the signal that an annotation calls TEXT."""
    try:
        return signals.number(text)
    except UsageError as error:
        raise UsageError(f"annotation {STOP_SIGNAL}: {error.message}", hint="name the signal to send") from None
