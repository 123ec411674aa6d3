"""The process in which faults happen: `worker.py list|run KIND BINARY [VERB...]`, with cases on standard input.

It is run by the Python that pyrunc is installed for, so that what is tried is what is installed.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.faults.scene import Scene


def main() -> int:
    """Do what is asked for; results are JSON, one line each."""
    sys.path.append(str(Path(__file__).parents[2]))
    from integration.faults.switch import Fault, Place, Switch, install

    what, kind, binary, *verbs = sys.argv[1:]
    switch = Switch()
    install(switch)
    preload()
    from integration.faults.cases import Case, Cases
    from integration.faults.scene import Scene, Wrong

    scene = Scene(binary, kind, switch)
    try:
        cases = Cases(scene)
        if what == "list":
            for case in cases.all(tuple(verb for verb in verbs if verb != "--every"), every="--every" in verbs):
                print(json.dumps(case), flush=True)
            return 0
        cases.remember()
        if what == "scarce":
            return run_scarce(scene, *verbs)
        for line in sys.stdin:
            found_kind, verb, (place, fault) = json.loads(line)
            case = Case(found_kind, verb, Fault(Place(*place), fault))
            began = time.monotonic()
            try:
                result = "clean" if cases.run(case) else "not reached"
            except (Wrong, OSError, KeyError, ValueError) as error:
                result = f"{type(error).__name__}: {error}"
                scene.recover()
            print(json.dumps([str(case), result, round(time.monotonic() - began, 3)]), flush=True)
    finally:
        scene.close()
    return 0


def run_scarce(scene: Scene, share: str = "1", seed: str = "0", seconds: str = "100000", only: str = "") -> int:
    """Run a SHARE of the cases of scarce.py (of ONLY these commands), in the order that SEED gives, for so many SECONDS at most."""
    from integration.faults import scarce
    from integration.faults.scene import Wrong

    chosen = [case for case in scarce.cases(scene) if not only or case.verb in only.split(",")]
    random.Random(int(seed)).shuffle(chosen)
    end = time.monotonic() + float(seconds)
    chosen = chosen[: max(1, round(len(chosen) * float(share)))]
    for done, case in enumerate(chosen):
        if time.monotonic() > end:
            print(json.dumps([str(len(chosen) - done), "not run", 0]), flush=True)
            break
        began = time.monotonic()
        try:
            scarce.run(scene, case)
            result = "clean"
        except (Wrong, OSError, KeyError, ValueError) as error:
            result = f"{type(error).__name__}: {error}"
            scene.recover()
        print(json.dumps([f"{scene.kind} {case.name}", result, round(time.monotonic() - began, 3)]), flush=True)
    return 0


def preload() -> None:
    """Import all of pyrunc, so that a case forks and does not."""
    import pkgutil

    import pyrunc

    for module in pkgutil.walk_packages(pyrunc.__path__, "pyrunc."):
        if module.name not in ("pyrunc.boot", "pyrunc.image"):
            __import__(module.name)


if __name__ == "__main__":
    sys.exit(main())
