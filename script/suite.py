"""Run the tox environments one after the other, show why tests were skipped, and add the results up.

    suite.py [--quick | ENVIRONMENT...]      --quick: without the virtual machine

An integration test that fails is run once more; one that then passes is unsteady, and named at the end.
The last line is `N passed, N failed, N skipped`.  An environment that fails
without a failing test (a linter, a crash) counts as one failure; a run in
which no test passed fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

ALL = ("lint", "type", "unit", "integration", "script", "vm")
TESTS = ("unit", "integration", "script", "vm")
SUMMARY = re.compile(r"=+ .* in [\d.]+s.*=+$")
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)s?\b")


def run(name: str) -> tuple[int, dict[str, int], list[str]]:
    """Run environment NAME; return its exit status, its counts, and its lines about skips."""
    print(f"== tox -e {name}", flush=True)
    command = [".cache/tox/bin/tox", "-q", "-e", name]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=null, stdout=pipe, stderr=subprocess.STDOUT)
    counts: dict[str, int] = {}
    skips = []
    for raw in process.stdout or ():
        line = raw.decode("utf-8", "replace").rstrip("\n")
        # A lone summary of one environment must not look like that of all.
        print("  " + line, flush=True)
        if line.startswith(("SKIPPED", "RERUN")):
            skips.append(f"{name}: {line}")
        if SUMMARY.match(line):
            for number, word in COUNT.findall(line):  # an environment may run pytest more than once
                counts[word] = counts.get(word, 0) + int(number)
    return process.wait(), counts, skips


def main() -> int:
    """Run what was asked for and report."""
    chosen = [name for name in sys.argv[1:] if name != "--quick"] or list(ALL)
    if "--quick" in sys.argv:
        chosen.remove("vm")
    passed = failed = skipped = 0
    reasons: list[str] = []
    for name in chosen:
        began = time.monotonic()
        status, counts, skips = run(name)
        print(f"  {name}: status {status} after {time.monotonic() - began:.0f} s", flush=True)
        bad = counts.get("failed", 0) + counts.get("error", 0)
        if status and not bad:
            bad = 1
        if name in TESTS and not counts.get("passed"):
            print(f"  {name}: no test passed", flush=True)
            bad = bad or 1
        passed += counts.get("passed", 0)
        failed += bad
        skipped += counts.get("skipped", 0)
        reasons += skips
    if reasons:
        print("== skipped, and why; and what had to be run twice")
        print("\n".join(reasons))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
