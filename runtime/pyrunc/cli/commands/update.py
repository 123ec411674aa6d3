"""pyrunc update."""

from __future__ import annotations

import posix

from pyrunc import handover
from pyrunc.cgroup.knobs import ROOT
from pyrunc.cli import sizes
from pyrunc.cli.main import Call
from pyrunc.container.verbs.update import choose_program, update
from pyrunc.errors import PyruncError, UsageError
from pyrunc.jsonio import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.container.schemata import Schemata

FILE_MAX = 1 << 24
# AMOUNT may be negative; NUMBER too, and may be written in any base, as the two options that are no strings to runc
TEXT, SIZE, COUNT, AMOUNT, NUMBER = "text", "size", "count", "amount", "number"
# option -> where its value stands in /linux/resources, and what it is
FIELDS = {
    "blkio-weight": ("blockIO/weight", NUMBER),
    "cpu-period": ("cpu/period", COUNT),
    "cpu-quota": ("cpu/quota", AMOUNT),
    "cpu-burst": ("cpu/burst", COUNT),
    "cpu-share": ("cpu/shares", COUNT),
    "cpu-rt-period": ("cpu/realtimePeriod", COUNT),
    "cpu-rt-runtime": ("cpu/realtimeRuntime", AMOUNT),
    "cpu-idle": ("cpu/idle", AMOUNT),
    "cpuset-cpus": ("cpu/cpus", TEXT),
    "cpuset-mems": ("cpu/mems", TEXT),
    "memory": ("memory/limit", SIZE),
    "memory-reservation": ("memory/reservation", SIZE),
    "memory-swap": ("memory/swap", SIZE),
    "kernel-memory": ("memory/kernel", SIZE),
    "kernel-memory-tcp": ("memory/kernelTCP", SIZE),
    "pids-limit": ("pids/limit", NUMBER),
}
RDT, RDT_AT = ("l3-cache-schema", "mem-bw-schema"), "/linux/intelRdt"


def command(call: Call) -> int:
    """Change the limits."""
    given = {name: call.options[key] for name in FIELDS if (key := name.replace("-", "_")) in call.options}
    source = call.options.get("resources")
    if source and given:
        hint = "runc would ignore the option: put it into the document"
        raise UsageError(f"--resources and --{next(iter(given))} cannot go together", hint=hint)
    choose_program(call.root, call.positional[0])
    change = _document(source) if source else _from_options(given)
    schemata = _schemata(call.options)
    try:
        for warning in update(call.root, call.positional[0], change, schemata):
            call.log.warning(warning)
    except PyruncError as error:
        if error.pointer.startswith(RDT_AT):
            error.pointer = " and ".join(f"--{name}" for name in RDT if call.options.get(name.replace("-", "_")))
        else:
            error.pointer = _place(error.pointer, {} if source else given)
        raise
    return 0


def _schemata(options: dict[str, Any]) -> Schemata | None:
    """Return what OPTIONS ask of resctrl, None for nothing."""
    cache, bandwidth = (options.get(name.replace("-", "_")) or "" for name in RDT)
    if not cache and not bandwidth:
        return None
    from pyrunc.container.schemata import Schemata

    return Schemata(cache, bandwidth)


def _document(source: str) -> object:
    """Return the JSON document in file SOURCE, or in standard input for "-"."""
    try:
        fd = 0 if source == "-" else posix.open(source, posix.O_RDONLY | posix.O_CLOEXEC)
        parts = []
        while part := posix.read(fd, FILE_MAX):
            parts.append(part)
    except OSError as error:
        raise UsageError(
            f"cannot read --resources {source}: {(error.strerror or '').lower()}",
            hint="name a file that can be read, or - for standard input",
        ) from None
    handover.begin()  # what comes from a pipe comes but once
    return loads(b"".join(parts), "standard input" if source == "-" else source)


def _from_options(given: dict[str, str]) -> dict[str, Any]:
    """Return the document that the options GIVEN stand for."""
    document: dict[str, Any] = {}
    for name, text in given.items():
        path, kind = FIELDS[name]
        section, _, field = path.partition("/")
        if not text and kind != NUMBER:
            continue
        document.setdefault(section, {})[field] = _value(text, kind, f"--{name}")
    return document


def _value(text: str, kind: str, option: str) -> object:
    """Return TEXT as a value of KIND."""
    if kind == TEXT:
        return text
    if kind == NUMBER:
        return sizes.integer(text, option)
    return sizes.size(text, option) if kind == SIZE else sizes.number(text, option, signed=kind == AMOUNT)


def _place(pointer: str, given: dict[str, str]) -> str:
    """Return POINTER as its user knows it: the option, or the place in the document."""
    path = pointer.removeprefix(f"{ROOT}/")
    if path == pointer:
        return pointer
    named = next((name for name in given if FIELDS[name][0] == path), "")
    return f"--{named}" if named else f"/{path}" if not given else pointer
