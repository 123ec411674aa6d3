"""Run the tox environments, show why tests were skipped, and add the results up.

    suite.py [--quick | ENVIRONMENT...]      --quick: without the virtual machine

Those that make no containers run side by side, and what each has said is shown once it has ended; the others run one
after the other.  A test that fails is run once more; one that then passes is unsteady, and named at the end.
The last line is `N passed, N failed, N skipped`.  An environment that fails
without a failing test (a linter, a crash) counts as one failure; a run in
which no test passed fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

ALL = ("lint", "type", "unit", "integration", "script", "vm")
TOGETHER = ("lint", "type", "unit")  # no time is counted in them, and each has a directory of its own
TESTS = ("unit", "integration", "script", "vm")
SUMMARY = re.compile(r"=+ .* in [\d.]+s.*=+$")
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)s?\b")


class Run:
    """One environment: once it has ended its status, its counts, its lines about skips, and how many seconds it took."""

    def __init__(self, name: str) -> None:
        """Be about environment NAME, which has not begun."""
        self.name, self.status, self.seconds = name, -1, 0.0
        self.counts: dict[str, int] = {}
        self.skips: list[str] = []

    def go(self, *, kept: bool) -> None:
        """Run it; what it says is shown as it comes, or, if KEPT, once it has ended."""
        head = f"== tox -e {self.name}"
        lines = [head]
        if not kept:
            print(head, flush=True)
        command = [".cache/tox/bin/tox", "-q", "-e", self.name]
        pipe, null, began = subprocess.PIPE, subprocess.DEVNULL, time.monotonic()
        process = subprocess.Popen(command, stdin=null, stdout=pipe, stderr=subprocess.STDOUT)
        for raw in process.stdout or ():
            line = raw.decode("utf-8", "replace").rstrip("\n")
            # A lone summary of one environment must not look like that of all.
            lines.append("  " + line)
            if not kept:
                print(lines[-1], flush=True)
            self._count(line)
        self.status, self.seconds = process.wait(), time.monotonic() - began
        lines.append(f"  {self.name}: status {self.status} after {self.seconds:.0f} s")
        print("\n".join(lines) if kept else lines[-1], flush=True)

    def _count(self, line: str) -> None:
        """Take what LINE says of tests."""
        if line.startswith(("SKIPPED", "RERUN")):
            self.skips.append(f"{self.name}: {line}")
        if SUMMARY.match(line):
            for number, word in COUNT.findall(line):  # an environment may run pytest more than once
                self.counts[word] = self.counts.get(word, 0) + int(number)

    @property
    def bad(self) -> int:
        """Return how much has failed: tests, or it as a whole."""
        bad = self.counts.get("failed", 0) + self.counts.get("error", 0)
        if self.status and not bad:
            bad = 1
        if self.name in TESTS and not self.counts.get("passed"):
            print(f"  {self.name}: no test passed", flush=True)
            bad = bad or 1
        return bad


def side_by_side(names: list[str]) -> list[Run]:
    """Run environments NAMES at the same time."""
    runs = [Run(name) for name in names]
    threads = [threading.Thread(target=each.go, kwargs={"kept": len(runs) > 1}) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return runs


def main() -> int:
    """Run what was asked for and report."""
    chosen = [name for name in sys.argv[1:] if name != "--quick"] or list(ALL)
    if "--quick" in sys.argv:
        chosen.remove("vm")
    passed = failed = skipped = 0
    reasons: list[str] = []
    first = [name for name in chosen if name in TOGETHER]
    for group in ([first] if first else []) + [[name] for name in chosen if name not in TOGETHER]:
        for each in side_by_side(group):
            passed += each.counts.get("passed", 0)
            failed += each.bad
            skipped += each.counts.get("skipped", 0)
            reasons += each.skips
    if reasons:
        print("== skipped, and why; and what had to be run twice")
        print("\n".join(reasons))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
