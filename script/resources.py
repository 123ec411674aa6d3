#!/usr/bin/env python3
"""Write docs/resources.md from the knob table: which resource goes to which file of which version.

script/resources.py            writes it
script/resources.py --check    fails if it is not what the table says
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
TARGET = HERE / "docs/resources.md"
HEAD = """# Resources and cgroup files

<!-- Written by script/resources.py from runtime/pyrunc/cgroup/knobs.py and writeorder.py: change those. -->

Each row is a field of `/linux/resources` in config.json. `update` takes the same fields. A field that one version of
cgroups does not have is refused there, by name, unless the table says that it is left out. Zero means "not set", except
where it says otherwise. Where a file stands in parentheses, it is written if the first one is not there.

With `--systemd-cgroup` the files are written all the same, and systemd is told those limits that it has a property for, so
that it keeps them when it reloads. What has none (-) is only in the file, which systemd leaves alone.

"""
DEVICES = """
## Devices

`devices` is no file with a value but a list of rules. Deny-all comes first, then what every container may open, then the
rules in their order; the last one that matches decides.

| | version 1 | version 2 |
|---|---|---|
| what decides | `devices.allow` and `devices.deny` of the cgroup | an eBPF program that is attached to the cgroup |
| a part denied of a wildcard | refused: the kernel cannot | works |
| a part allowed again of what is denied after everything was allowed | refused: the kernel cannot | works |
| `update` | what is new is allowed, then what is gone is denied | one system call replaces the program |
| systemd is told | `DevicePolicy`, `DeviceAllow`, if these can say it | the same |

From "all devices" to less, an update in version 1 has to begin with "none", and to "all but these" with "all": the
container is frozen meanwhile.

An update whose rules deny everything, as engines send along, changes nothing.
"""


def _cell(columns: tuple[object, ...], missing: str) -> str:
    """Return what one version does: files, and how the value is converted."""
    from pyrunc.cgroup.knobs import Column

    parts = []
    for column in columns:
        assert isinstance(column, Column)
        file = "the file of that name" if column.file == "*" else f"`{column.file.replace('*', 'SIZE')}`"
        text = _words(column)
        if column.other is not None:
            file += f" (`{column.other.file}`)"
            if _words(column.other) != text:
                text += f" ({_words(column.other)})"
        if column.spare:
            only = "" if column.spare == "*" else f" and the text is `{column.spare}`"
            text += f"; left out if the file is missing{only}"
        parts.append(f"{file}: {text}")
    return "<br>".join(parts) or missing


def _properties(columns: tuple[object, ...], *, unified: bool) -> str:
    """Return which properties of systemd's mean what COLUMNS write."""
    from pyrunc.cgroup.knobs import Column
    from pyrunc.cgroup.properties import QUOTA, TABLE, UNIFIED, WEIGHT

    names: list[str] = []
    for column in columns:
        while isinstance(column, Column):
            if column.file in QUOTA:
                names += QUOTA[column.file]
            elif column.file in TABLE and "MAJOR" not in _words(column).upper() and (unified or column.file not in UNIFIED):
                names.append(TABLE[column.file][0])
            elif column.file == "cpu.idle" and unified:
                names.append(WEIGHT)
            elif column.file == "*":
                return "that of the file, if it has one"
            column = column.other
    return ", ".join(f"`{name}`" for name in names) or "-"


def _words(column: object) -> str:
    """Return what the conversion of COLUMN says of itself."""
    text = str(getattr(column, "text").__doc__).strip().rstrip(".")  # noqa: B009 - any column
    return text[0].lower() + text[1:]


def render() -> str:
    """Return the document."""
    from pyrunc.cgroup import knobs, writeorder

    lines = ["| field | version 1 | version 2 | systemd, on version 1 | systemd, on version 2 |", "|---|---|---|---|---|"]
    for knob in knobs.KNOBS:
        missing = f"left out: {knob.ignored}" if knob.ignored else "refused"
        name = f"`{knob.path}`" + (" (0 is a value)" if knob.zero else "")
        told = (_properties(knob.v1, unified=False), _properties(knob.v2, unified=True))
        lines.append(f"| {name} | {_cell(knob.v1, missing)} | {_cell(knob.v2, missing)} | {' | '.join(told)} |")
    lines += ["", "## Order", ""]
    lines += ["A new cgroup is written to in the order of the table. An update differs where the kernel checks:", ""]
    lines += [f"- `{rule.first}`, `{'`, `'.join(rule.second)}`: {rule.why}" for rule in writeorder.RULES]
    lines += [f"- `{writeorder.IDLE}`, `{'`, `'.join(writeorder.SHARES)}`: {writeorder.IDLE_WHY}"]
    return HEAD + "\n".join(lines) + "\n" + DEVICES


def main(argv: list[str]) -> int:
    """Write it, or with --check compare."""
    sys.path.insert(0, str(HERE / "runtime"))
    text = render()
    if argv == ["--check"]:
        if TARGET.read_text() != text:
            print(f"{TARGET.relative_to(HERE)} is not what the knob table says: run script/resources.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
