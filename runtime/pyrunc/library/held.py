"""What containers and processes of both faces of the library have in common: who they are, and how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrunc.library.terminal import Terminal

if TYPE_CHECKING:
    from pyrunc.library.requests import Made


class Held:
    """A process in a container that this program holds by a descriptor, so that no later process of its pid is taken for it."""

    def __init__(self, made: Made) -> None:
        """Take what was MADE."""
        self._ended = made.ended
        self.terminal: Terminal | None = Terminal(made.master) if made.master >= 0 else None
        """Its terminal, if its configuration asks for one."""

    @property
    def pid(self) -> int:
        """The pid on the host; 0 for one that had ended when it was found."""
        return self._ended.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, as subprocess has it: -9 for SIGKILL; None as long as `wait` has not told.  Waits for nothing."""
        return self._ended.status

    def _hang_up(self) -> None:
        """Close the terminal."""
        if self.terminal is not None:
            self.terminal.close()
