#!/usr/bin/env python3
"""Run one job of a build in a container of its own, with limits, a time-out and a log; exit as the job does.

    sudo python3 ci_job.py [--memory MiB] [--cpus N] [--timeout SECONDS] [--mount DIRECTORY] ROOTFS LOG COMMAND...

124 is the status of a job that took too long, as timeout(1) has it; 125 that of one that could not be started.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyrunc

TOO_LONG, NOT_STARTED = 124, 125


def bundle_for(asked: argparse.Namespace) -> pyrunc.Bundle:
    """Return the bundle of the job that is ASKED for."""
    bundle = pyrunc.Bundle.from_rootfs(
        asked.rootfs, asked.command, memory=asked.memory << 20, cpus=asked.cpus, pids=512, env={"CI": "true"}
    )
    if asked.mount is None:
        return bundle
    config = bundle.load()
    source = str(asked.mount.resolve())
    config["mounts"].append({"destination": "/mnt", "type": "bind", "source": source, "options": ["rbind", "rw"]})
    config["process"]["cwd"] = "/mnt"
    return pyrunc.Bundle(bundle.path, config)


def run(asked: argparse.Namespace) -> int:
    """Run the job; return its status, as a shell has it."""
    with open(asked.log, "wb") as log:
        with pyrunc.Container.run(bundle_for(asked), stdin=pyrunc.DEVNULL, stdout=log, stderr=pyrunc.STDOUT) as job:
            try:
                status = job.wait(asked.timeout)
            except TimeoutError:
                return TOO_LONG  # the end of the block ends the job, with whatever it has started
            return status if status >= 0 else 128 - status


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Run one job in a container of its own.")
    parser.add_argument("rootfs", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--memory", type=int, default=256)
    parser.add_argument("--cpus", type=float, default=1.0)
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--mount", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    try:
        return run(asked)
    except pyrunc.PyruncError as error:
        print(f"ci_job: {error}", file=sys.stderr)
        return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
