"""What is said beside a command's answer: log lines in runc's two formats, and warnings to a person.

An engine shows its user the last `{"level":"error","msg":...}` line of --log.
A Log is passed to whoever writes; nothing here is global.  It serves, so it
fails nobody: what cannot be written is told on standard error, once, and the
command goes on.
"""

from __future__ import annotations

import posix
from time import gmtime

from pyrunc import handover
from pyrunc.jsonio import dumps

# One line, and nothing in it that a terminal obeys: a message quotes what hooks and images say.
SHOWN = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))} | {10: "\\n", 9: "\\t"}


class Log:
    """Where log lines go: descriptor `fd` (-1: nowhere), as `form` "text" or "json".

    Without it a warning goes to descriptor `person` (-1: nowhere) as
    `HEAD: warning: ...`, in one line.  Errors are for who ends with them.
    """

    def __init__(
        self, fd: int = -1, form: str = "text", *, debugging: bool = False, person: int = -1, head: str = "pyrunc"
    ) -> None:
        """Begin; DEBUGGING says whether --debug was given."""
        self.fd, self.form, self.debugging = fd, form, debugging
        self.person, self.head = person, head

    def error(self, msg: str) -> None:
        """Write MSG at level error, after the warnings before it."""
        handover.begin()
        self._write("error", msg)

    def warning(self, msg: str) -> None:
        """Write MSG at level warning, or say it to the person."""
        handover.hold(lambda: self._warn(msg))

    def _warn(self, msg: str) -> None:
        """Do what `warning` does."""
        if self.fd < 0 or not self._write("warning", msg):
            self._say(msg)

    def debug(self, msg: str) -> None:
        """Write MSG at level debug, if --debug was given."""
        if self.debugging:
            self._write("debug", msg)

    def _write(self, level: str, msg: str) -> bool:
        """Write one line in one write(2), so that lines of two writers never mix; return whether it is written."""
        if self.fd < 0:
            return False
        now = gmtime()
        time = "%04d-%02d-%02dT%02d:%02d:%02dZ" % now[:6]
        if self.form == "json":
            line = dumps({"level": level, "msg": msg, "time": time})
        else:
            line = f'time="{time}" level={level} msg={dumps(msg)}'
        try:
            posix.write(self.fd, line.encode("utf-8", "replace") + b"\n")
        except OSError as error:
            self.fd = -1
            self._say(f"the log cannot be written: {(error.strerror or '').lower()}")
            return False
        return True

    def _say(self, msg: str) -> None:
        """Say warning MSG to the person, if there is one who hears it."""
        if self.person >= 0:
            line = f"{self.head}: warning: {msg}".translate(SHOWN)
            try:
                posix.write(self.person, line.encode("utf-8", "backslashreplace") + b"\n")
            except OSError:
                self.person = -1
