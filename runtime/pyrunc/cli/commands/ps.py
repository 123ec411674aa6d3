"""pyrunc ps."""

from __future__ import annotations

import sys

from pyrunc.cli.main import Call
from pyrunc.container.ps import pids
from pyrunc.errors import PyruncError
from pyrunc.jsonio import dumps

TITLE = "PID"


def command(call: Call) -> int:
    """Print the processes: their pids, or the lines that ps(1) has about them."""
    found = pids(call.root, call.positional[0])
    if call.options.get("format") == "json":
        sys.stdout.write(dumps(found) + "\n")
    elif call.rest:
        sys.stdout.write(_lines(found, list(call.rest)))
    else:
        sys.stdout.write(_table(found))
    sys.stdout.flush()
    return 0


def _lines(found: list[int], options: list[str]) -> str:
    """Return the header and the lines of `ps OPTIONS` whose PID column has one of FOUND."""
    import subprocess

    try:
        done = subprocess.run(["ps", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise PyruncError("ps is not installed", hint="install procps, or leave the ps options out") from None
    if done.returncode:
        raise PyruncError(f"ps {' '.join(options)}: {done.stderr.strip()}")
    header, *lines = done.stdout.splitlines()
    titles = header.split()
    if TITLE not in titles:
        raise PyruncError(f'couldn\'t find PID field in ps output: "{header}"', hint="add pid to the ps options")
    column = titles.index(TITLE)
    wanted = set(map(str, found))
    kept = [line for line in lines if len(line.split()) > column and line.split()[column] in wanted]
    return "\n".join([header, *kept]) + "\n"


def _table(found: list[int]) -> str:
    """Return what `ps -ef` would show of FOUND."""
    import time

    import psutil

    rows: list[tuple[str, ...]] = [("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")]
    for pid in found:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                rows.append(_row(process, time))
        except psutil.NoSuchProcess:
            continue  # it has ended since
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    lines = [" ".join(cell.rjust(width) for cell, width in zip(row[:7], widths, strict=True)) + " " + row[7] for row in rows]
    return "\n".join(lines) + "\n"


def _row(process: object, time: object) -> tuple[str, ...]:
    """Return one line of the table about a psutil.Process."""
    from typing import Any, cast

    one, clock = cast("Any", process), cast("Any", time)
    used = one.cpu_times()
    seconds = int(used.user + used.system)
    age = max(clock.time() - one.create_time(), 1)
    started = clock.strftime("%H:%M", clock.localtime(one.create_time()))
    spent = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    terminal = (one.terminal() or "?").removeprefix("/dev/")
    shown = " ".join(one.cmdline()) or f"[{one.name()}]"
    return (one.username(), str(one.pid), str(one.ppid()), str(int(100 * seconds / age)), started, terminal, spent, shown)
