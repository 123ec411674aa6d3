"""Write docs/conformance.md, which shows spec/conformance.toml to people.

conformance.py                  write it
conformance.py REPORT.xml...    instead look whether each row has a test that passed, in what pytest --junit-xml
wrote about one run or several (this machine, the virtual machine)
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TABLE, PAGE = ROOT / "spec/conformance.toml", ROOT / "docs/conformance.md"

HEAD = """# Conformance

What version {version} of the runtime specification demands of a runtime for Linux, whether pyrunc does it, and which test
shows it. Made by `script/conformance.py` from spec/conformance.toml, which says what is left out; change that.

| document | demands | done | refused | otherwise |
|---|---|---|---|---|
{counts}

*refused*: it is an error that names the field, so nothing is ignored. *otherwise*: a SHOULD that is not followed, and why.
"""
STATUSES = ("done", "refused", "otherwise")


def load() -> dict[str, Any]:
    """Return the table."""
    with TABLE.open("rb") as file:
        return tomllib.load(file)


def cell(text: str) -> str:
    """Return TEXT for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def state(row: dict[str, Any]) -> str:
    """Return what stands in the column for the status of ROW."""
    shown = row["status"] + (f" ({row['error']})" if "error" in row else "")
    return cell(f"{shown}: {row['note']}" if "note" in row else shown)


def tests(row: dict[str, Any]) -> str:
    """Return the tests of ROW, one below the other."""
    return "<br>".join(f"`{node}`" for node in row["tests"])


def count(name: str, rows: list[dict[str, Any]]) -> str:
    """Return the line that says how many of ROWS are in which status."""
    numbers = [sum(row["status"] == status for row in rows) for status in STATUSES]
    return "| " + " | ".join(map(str, (name, len(rows), *numbers))) + " |"


def page(table: dict[str, Any]) -> str:
    """Return the page for TABLE."""
    documents: dict[str, list[dict[str, Any]]] = {}
    for row in table["requirement"]:
        documents.setdefault(row["id"].partition("/")[0], []).append(row)
    places = table["pointers"]
    counts = [count(name, rows) for name, rows in documents.items()]
    counts.append(count("places of config.json", list(places.values())))
    parts = [HEAD.format(version=table["specification"], counts="\n".join(counts))]
    number = 0
    for name, rows in documents.items():
        parts.append(f"\n## {name}\n\n| # | section | level | demand | status | tests |\n|---|---|---|---|---|---|\n")
        for row in rows:
            number += 1
            cells = (str(number), cell(row["section"]), row["level"], cell(row["text"]), state(row), tests(row))
            parts.append("| " + " | ".join(cells) + " |\n")
    parts.append("\n## Places of config.json\n\n| place | status | tests |\n|---|---|---|\n")
    parts += [f"| `{at}` | {state(row)} | {tests(row)} |\n" for at, row in places.items()]
    return "".join(parts)


def outcomes(reports: list[str]) -> dict[str, set[str]]:
    """Return how each test of REPORTS ended, in whatever run and with whatever parameters: passed, failed, skipped."""
    found: dict[str, set[str]] = {}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            node = case.get("classname", "").replace(".", "/") + ".py::" + case.get("name", "").partition("[")[0]
            kinds = {child.tag for child in case}
            how = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
            found.setdefault(node, set()).add(how)
    return found


def unproven(table: dict[str, Any], found: dict[str, set[str]]) -> list[str]:
    """Return a line for each row of TABLE that the outcomes FOUND do not prove."""
    rows = [(row["id"], row) for row in table["requirement"]] + list(table["pointers"].items())
    lines = []
    for name, row in rows:
        lines += [f"{name}: {node} failed" for node in row["tests"] if "failed" in found.get(node, ())]
        if not any("passed" in found.get(node, ()) for node in row["tests"]):
            lines.append(f"{name}: none of its tests passed")
    return lines


def main() -> int:
    """Write the page, or look at the reports that are named."""
    if sys.argv[1:]:
        lines = unproven(load(), outcomes(sys.argv[1:]))
        print("\n".join(lines) or "every row has a test that passed")
        return 1 if lines else 0
    PAGE.write_text(page(load()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
