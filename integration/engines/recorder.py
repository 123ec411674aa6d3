"""A runtime that writes down what it is called with, and then becomes the runtime under test."""

from __future__ import annotations

import shlex
from pathlib import Path

SEPARATOR, END = "\x1f", "\x1e\n"  # of words and of lines; a word may have a newline
SCRIPT = r"""#!/bin/sh
line=
for word; do line="$line$word{separator}"; done
printf '%s' "$line{end}" >>{log}
exec {binary} "$@"
"""


class Recorder:
    """The program at `path`, which is BINARY and logs to a file in DIRECTORY."""

    def __init__(self, binary: str, directory: Path) -> None:
        """Write the program below DIRECTORY, under the name that BINARY has."""
        self.log = directory / "argv"
        self.log.touch()
        self.path = directory / "recorder" / Path(binary).name
        self.path.parent.mkdir()
        words = {"log": shlex.quote(str(self.log)), "binary": shlex.quote(binary)}
        self.path.write_text(SCRIPT.format(separator=SEPARATOR, end=END, **words))
        self.path.chmod(0o755)

    def argvs(self) -> list[list[str]]:
        """Return the argument vectors so far, in order, without the program's name."""
        return [line.split(SEPARATOR)[:-1] for line in self.log.read_text().split(END)[:-1]]
