"""pyrunc plan."""

from __future__ import annotations

import posix

from pyrunc.cli.main import Call
from pyrunc.cli.output import write
from pyrunc.container.verbs.planning import read_and_plan
from pyrunc.errors import UsageError
from pyrunc.jsonio import dumps
from pyrunc.plan import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Plan

WAYS = ("json", "undo", "explain", "summary", "html")
TOGETHER = ({"json", "undo"},)
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
SHOWN_MAX = 160  # characters of a call, to a person


def command(call: Call) -> int:
    """Print the plan of a bundle, or how it would be taken back."""
    asked = [way for way in WAYS if call.options.get(way)]
    if len(asked) > 1 and set(asked) not in TOGETHER:
        raise UsageError(f"--{asked[0]} and --{asked[1]} do not go together", hint="take one of them")
    made, bundle, config = read_and_plan(call.positional[0] if call.positional else "")
    if "undo" in asked:
        return write(_undo(made, as_json="json" in asked))
    if "json" in asked:
        return write(dumps(text.document(made), 2) + "\n")
    if "html" in asked:
        from pyrunc.cli import page

        return _write_to(call.options["html"], page.render(made, config, bundle.rpartition("/")[2] or bundle))
    if "summary" in asked:
        from pyrunc.plan import summary

        return write(summary.render(made))
    if "explain" not in asked and posix.isatty(1):
        return write(_for_a_terminal(made))
    return write(text.render(made, explain="explain" in asked))


def _undo(made: Plan, *, as_json: bool) -> str:
    """Return what would take plan MADE back."""
    from pyrunc.run import undo

    rows = undo.shown(made)
    if as_json:
        return dumps([{"call": op.call, "text": text.call(op), "undo": says} for op, says in rows], 2) + "\n"
    return "".join(f"{text.brief(op)}\n    {says}\n" for op, says in rows)


def _write_to(file: str, shown: str) -> int:
    """Write SHOWN to FILE, or to standard output if that is a dash."""
    if file == "-":
        return write(shown)
    try:
        fd = posix.open(file, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise UsageError(f"cannot write {file}: {reason}", hint="name another file, or - for standard output") from None
    try:
        return write(shown, fd)
    finally:
        posix.close(fd)


def _for_a_terminal(made: Plan) -> str:
    """Return plan MADE as a person likes to see it: in colour unless $NO_COLOR is set, and what repeats itself once."""
    from pyrunc.plan import summary

    bold, dim, plain = ("", "", "") if posix.environ.get(b"NO_COLOR") else (BOLD, DIM, PLAIN)
    lines = [f"{bold}HOST{' ' * 32}CHILD{plain}", ""]
    rows = summary.folded(made)
    for side, op, more in rows:
        indent = " " * 36 if side == "child" else ""
        if op.call in ("barrier", "go"):
            lines.append(f"{indent}{bold}{text.line(op)}{plain}")
            continue
        shown = text.cut(text.call(op), SHOWN_MAX)
        lines.append(f"{indent}{shown}" + (f"    {dim}# {op.at}{plain}" if op.at else ""))
        if more:
            lines.append(f"{indent}{dim}    and {more} more such{plain}")
    if any(more for _, _, more in rows):
        lines += ["", f"{dim}Steps that are alike are folded: a pipe gets all, --explain says what each is for.{plain}"]
    return "\n".join(lines) + "\n"
