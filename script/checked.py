#!/usr/bin/env python3
"""Measure whether `check` is right: change real configurations, and ask both `check` and the runtime itself about each.

    sudo script/checked.py RUNTIME [--count 3000] [--seed N] [--kind KIND] [--base NAME] [--show]

The configurations are those that engines wrote ($PYRUNC_SHARED/configs).  Each mutant is created and started in a
container of its own, below one cgroup, in a mount namespace of the script's, and deleted.  Four things count as wrong:

    silent   `check` said that it runs here, and `create` or `start` refused it
    warned   the same, and check has a warning there: it is the matter of hooks
    alarm    `check` said that it does not, and it ran
    place    both refused it, but none of check's pointers is that of the refusal

The status is 1 if more than one in a hundred is wrong, or any is silent.  The seed is printed; the same one makes the
same mutants.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "runtime")]

from integration.checked.asked import Scene, adapted  # noqa: E402
from integration.checked.mutants import KINDS, Mutant, make  # noqa: E402
from integration.harness.bundle import BUSYBOX  # noqa: E402
from tests.samples import CONFIGS, name  # noqa: E402

MOST_WRONG = 0.01
KEEPER = ("unshare", "--net", "--uts", "--ipc", "--mount", "sleep", "infinity")


def main() -> int:
    """Measure, print, and return the status."""
    asked = _arguments()
    if "PYRUNC_CHECKED" not in os.environ:  # what is mounted without a mount namespace of the container's stays in ours
        os.environ["PYRUNC_CHECKED"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    seed = random.randrange(1 << 32) if asked.seed is None else asked.seed
    print(f"seed {seed}, {asked.count} mutants of {len(CONFIGS)} configurations", flush=True)
    keeper = subprocess.Popen(KEEPER)
    directory = Path(tempfile.mkdtemp(prefix="checked-"))
    directory.chmod(0o755)  # root of a user namespace is nobody there
    own = f"checked-{os.getpid()}"
    try:
        shutil.copy(BUSYBOX, directory / "busybox")
        bases = [(name(path), adapted(json.loads(path.read_text()), directory, own)) for path in CONFIGS]
        return _measure(asked, random.Random(seed), Scene(asked.runtime, directory, own, keeper.pid), bases)
    finally:
        keeper.kill()
        keeper.wait()
        shutil.rmtree(directory)


def _arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Measure whether `check` is right.")
    parser.add_argument("runtime")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--base", default="")
    parser.add_argument("--show", action="store_true", help="print each mutant, not only those that are wrong")
    return parser.parse_args()


def _measure(asked: argparse.Namespace, chance: random.Random, scene: Scene, bases: list[tuple[str, dict[str, Any]]]) -> int:
    """Judge the real configurations as they are, then the mutants; return the status."""
    counts: Counter[tuple[str, str]] = Counter()
    for base, document in bases:
        _judge(scene, base, Mutant("as it is", (), document, None), counts, show=asked.show)
    chosen = [each for each in bases if asked.base in each[0]]
    try:
        for number in range(asked.count):
            kind = asked.kind or KINDS[number % len(KINDS)]
            base, document = chance.choice(chosen)
            _judge(scene, base, make(chance, document, kind), counts, show=asked.show)
    except KeyboardInterrupt:
        pass  # what has been measured is told
    return _table(counts)


def _judge(scene: Scene, base: str, mutant: Mutant, counts: Counter[tuple[str, str]], *, show: bool) -> None:
    """Ask about MUTANT of BASE, and count and print the answer."""
    found = scene.judge(mutant)
    counts[mutant.kind, ""] += 1
    counts[mutant.kind, "refused" if found.said else "ran"] += 1
    if found.fault:
        counts[mutant.kind, found.fault] += 1
    if found.fault or show:
        said = " ".join(each for each in found.said.splitlines() if each)[:400]
        print(f"{found.fault or 'right'}: {base}: {mutant.kind}: {'; '.join(mutant.changes)}", flush=True)
        print(f"    check: {found.status} {' '.join(found.pointers)}\n    says:  {said or 'runs'}", flush=True)


def _table(counts: Counter[tuple[str, str]]) -> int:
    """Print COUNTS by kind and in all, and return the status."""
    columns = ("", "ran", "refused", "silent", "warned", "alarm", "place")
    print(f"{'kind':<16}{'mutants':>9}{'ran':>7}{'refused':>9}{'silent':>8}{'warned':>8}{'alarm':>7}{'place':>7}")
    kinds = dict.fromkeys(kind for kind, _ in counts)
    rows = [(kind, [counts[kind, column] for column in columns]) for kind in kinds]
    total = [sum(row[place] for kind, row in rows if kind != "as it is") for place in range(len(columns))]
    for kind, row in (*rows, ("all mutants", total)):
        print(f"{kind:<16}{row[0]:>9}{row[1]:>7}{row[2]:>9}{row[3]:>8}{row[4]:>8}{row[5]:>7}{row[6]:>7}")
    wrong = sum(total[3:]) / max(1, total[0])
    print(f"wrong: {wrong:.2%}")
    return int(wrong > MOST_WRONG or total[3] > 0)


if __name__ == "__main__":
    sys.exit(main())
