"""pyrunc check."""

from __future__ import annotations

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.check import Finding, Report, check
from pyrunc.jsonio import dumps

DEPTH_MAX = 50
SEVERITY = {"violations": "error", "lacking": "error", "warnings": "warning"}
VERDICTS = ("runs here", "valid, but does not run here", "invalid")


def command(call: Call) -> int:
    """Print what is wrong; return 0 for fine, 1 for not here, 2 for invalid."""
    report = check(call.positional[0] if call.positional else "")
    write(dumps(_document(report), 2) + "\n" if call.options.get("json") else _text(report))
    return report.status


def _document(report: Report) -> dict[str, object]:
    """Return REPORT for a program."""
    kinds = {"violations": report.violations, "lacking": report.lacking, "warnings": report.warnings}
    shown = {name: [_object(each, SEVERITY[name]) for each in found] for name, found in kinds.items()}
    return {"status": VERDICTS[report.status], **shown}


def _object(finding: Finding, severity: str) -> dict[str, object]:
    """Return FINDING of this SEVERITY for a program, "..." for what stands there if that is too deep to be shown."""
    return {**dict(finding.items()), "severity": severity, "found": "..." if _is_deep(finding.found) else finding.found}


def _is_deep(value: object) -> bool:
    """Return whether VALUE is nested deeper than DEPTH_MAX."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for item in level for inner in _inside(item)]
    return bool(level)


def _inside(value: object) -> list[object]:
    """Return what is one level inside VALUE."""
    return [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


def _text(report: Report) -> str:
    """Return REPORT for a person: a line each, and the verdict."""
    lines = [f"{_line(each)}\n" for each in (*report.violations, *report.lacking)]
    lines += [f"warning: {_line(each)}\n" for each in report.warnings]
    return "".join(lines) + f"{VERDICTS[report.status]}\n"


def _line(finding: Finding) -> str:
    """Return FINDING in one line."""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{finding.pointer or 'config.json'}: {finding.message}{hint}".replace("\n", "\\n")
