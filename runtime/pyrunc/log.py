"""Log lines in runc's two formats, which engines read back.

An engine shows its user the last `{"level":"error","msg":...}` line of --log.
A Log is passed to whoever writes; nothing here is global.
"""

from __future__ import annotations

import posix
from time import gmtime

from pyrunc.jsonio import dumps
from pyrunc.record import Record

LEVELS = ("error", "warning", "info", "debug")


class Log(Record):
    """Where log lines go: descriptor FD (-1: nowhere), as `text` or `json`."""

    fd: int = -1
    format: str = "text"
    debugging: bool = False

    def error(self, msg: str) -> None:
        """Write MSG at level error."""
        self._write("error", msg)

    def warning(self, msg: str) -> None:
        """Write MSG at level warning."""
        self._write("warning", msg)

    def debug(self, msg: str) -> None:
        """Write MSG at level debug, if --debug was given."""
        if self.debugging:
            self._write("debug", msg)

    def _write(self, level: str, msg: str) -> None:
        """Write one line in one write(2), so that lines of two writers never mix."""
        if self.fd < 0:
            return
        now = gmtime()
        time = "%04d-%02d-%02dT%02d:%02d:%02dZ" % now[:6]
        if self.format == "json":
            line = dumps({"level": level, "msg": msg, "time": time})
        else:
            line = f'time="{time}" level={level} msg={dumps(msg)}'
        posix.write(self.fd, line.encode("utf-8", "replace") + b"\n")
