"""pyrunc ps: the lines that ps(1) has about a container's processes, as runc chooses them.

Where ps(1) is not installed, a table like that of `ps -ef` comes from psutil.
"""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.ps import pids
from pyrunc.errors import PyruncError
from pyrunc.jsonio import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    import psutil

TITLE = "PID"
DEFAULT = ("-ef",)  # runc's


def command(call: Call) -> int:
    """Print the processes: their pids as JSON, or a table."""
    found = pids(call.root, call.positional[0])
    if call.options.get("format") == "json":
        return write(dumps(found) + "\n")
    return write(table(found, call.rest))


def table(found: list[int], options: tuple[str, ...]) -> str:
    """Return what `ps OPTIONS` says about the processes FOUND.  Raises PyruncError if it cannot."""
    import subprocess

    words = options or DEFAULT
    try:
        done = subprocess.run(["ps", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        if not options:
            return _own_table(found)
        raise PyruncError("ps is not installed", hint="install procps, or leave the ps options out") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0] or f"exit status {done.returncode}"
        raise PyruncError(f"ps {' '.join(words)}: {said}", hint="see ps(1) for what it takes")
    return chosen(done.stdout.decode("utf-8", "replace"), found)


def chosen(text: str, found: list[int]) -> str:
    """Return the header of TEXT, which ps(1) wrote, and the lines whose PID column is one of FOUND."""
    header, *lines = text.splitlines() or [""]
    titles = header.split()
    if TITLE not in titles:
        raise PyruncError(f'couldn\'t find PID field in ps output: "{header}"', hint="add pid to the ps options")
    column = titles.index(TITLE)
    wanted = set(map(str, found))
    kept = [line for line in lines if wanted.intersection(line.split()[column : column + 1])]
    return "\n".join([header, *kept]) + "\n"


def _own_table(found: list[int]) -> str:
    """Return what `ps -ef` would show of FOUND."""
    import psutil

    rows: list[tuple[str, ...]] = [("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")]
    for pid in found:
        try:
            rows.append(_row(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            continue  # it has ended since
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    lines = (" ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=False)) + f" {row[7]}" for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _row(process: psutil.Process) -> tuple[str, ...]:
    """Return one line of the table about PROCESS.  Raises psutil.NoSuchProcess."""
    import time

    with process.oneshot():
        began = process.create_time()
        used = process.cpu_times()
        seconds = int(used.user + used.system)
        share = int(100 * seconds / max(time.time() - began, 1))
        shown = " ".join(process.cmdline()) or f"[{process.name()}]"
        terminal = (process.terminal() or "?").removeprefix("/dev/")
        spent = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        started = time.strftime("%H:%M", time.localtime(began))
        parent = process.ppid()
        return (process.username(), str(process.pid), str(parent), str(share), started, terminal, spent, shown)
