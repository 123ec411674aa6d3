"""A plan in a few lines: how many steps each part of config.json asks for; and with what repeats itself folded."""

from __future__ import annotations

from pyrunc.plan import text
from pyrunc.plan.op import barriers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Op, Plan

ALWAYS = "whatever it says"
DEPTH = 2  # parts of a pointer
ALL_SHOWN = ("barrier", "go", "fsconfig")  # each says something else


def part_of(op: Op) -> str:
    """Return the part of config.json that asks for OP, such as /linux/namespaces."""
    return "/".join(op.at.split("/")[: DEPTH + 1]) or ALWAYS


def steps(plan: Plan) -> list[tuple[str, Op]]:
    """Return the ops of PLAN, with their side, that are more than waiting for the other side."""
    return [(side, op) for side, op in text.in_order(plan) if op.call not in ("barrier", "go")]


def render(plan: Plan) -> str:
    """Return the summary: a line for each part, with its steps on the host side and in the new process."""
    counts: dict[str, dict[str, int]] = {}
    for side, op in steps(plan):
        counts.setdefault(part_of(op), {"host": 0, "child": 0})[side] += 1
    rows = sorted(counts.items(), key=lambda row: -sum(row[1].values()))
    total = {side: sum(count[side] for _, count in rows) for side in ("host", "child")}
    names = barriers(plan.host)
    meet = f"they meet at {', '.join(names)}" if names else "they never meet"
    lines = [f"{sum(total.values())} steps: {total['host']} on the host side, {total['child']} in the new process; {meet}", ""]
    lines.append("HOST CHILD  ASKED FOR BY")
    lines += [f"{count['host'] or '':>4} {count['child'] or '':>5}  {part}" for part, count in rows]
    return "\n".join(lines) + "\n"


def folded(plan: Plan) -> list[tuple[str, Op, int]]:
    """Return each op of PLAN with its side, and how many more of its kind, for the same part of config.json, follow at once."""
    found: list[tuple[str, Op, int]] = []
    for side, op in text.in_order(plan):
        kind = (side, op.call, part_of(op))
        if found and op.call not in ALL_SHOWN and kind == (found[-1][0], found[-1][1].call, part_of(found[-1][1])):
            found[-1] = (side, found[-1][1], found[-1][2] + 1)
        else:
            found.append((side, op, 0))
    return found
