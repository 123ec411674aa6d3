"""How many instructions a command takes in user mode: counted by the processor (perf_event_open(2)), or by callgrind.

Virtual machines often have no counters. callgrind executes the program itself, one process of it, and knows neither clone3(2)
nor pidfds: so with it, commands that need these have no figure, nor have runc and crun, which do not run in it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from figures import Actions, spawn

BY_CALLGRIND = ("start", "state", "--version", "features")
EVENT = "instructions:u"


class Counter:
    """What counts instructions here; `name` is "" where nothing does."""

    def __init__(self, work: Path) -> None:
        """Find out; files of it go to directory WORK."""
        self.output = work / "counted"
        self.name = ""
        if shutil.which("perf") and self.count([shutil.which("true") or "/bin/true"], [], "perf")[0]:
            self.name = "perf"
        elif shutil.which("valgrind"):
            self.name = "callgrind"

    def counts(self, runtime: str, verb: str) -> bool:
        """Return whether it can count what VERB of RUNTIME takes."""
        simple = runtime == "pyrunc" and verb in BY_CALLGRIND
        return self.name == "perf" or (self.name == "callgrind" and simple)

    def count(self, command: list[str], actions: Actions, name: str = "") -> tuple[float, int]:
        """Run COMMAND; return its instructions, in millions (0 if they were not counted), and its exit status."""
        self.output.write_text("")
        ways = {
            "perf": ["perf", "stat", "-x,", "-e", EVENT, "-o", str(self.output), "--"],
            "callgrind": ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={self.output}"],
        }
        words = ways[name or self.name]
        _, status = spawn([shutil.which(words[0]) or words[0], *words[1:], *command], actions)
        said = self.output.read_text()
        found = re.search(rf"^(\d+),,{EVENT}|Collected : (\d+)", said, re.MULTILINE)
        return (int(found[1] or found[2]) / 1e6 if found else 0.0), status

