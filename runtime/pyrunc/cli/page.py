"""The page of `pyrunc plan --html`: config.json beside both columns of its plan, in one file that fetches nothing.

A click on a line lights up the steps that it asks for, a click on a step the lines that ask for it.
"""

from __future__ import annotations

from pyrunc.cli.pageparts import SCRIPT, STYLE
from pyrunc.jsonio import dumps, loads
from pyrunc.oci import places
from pyrunc.plan import meaning, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Op, Plan

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
SHOWN_MAX = 400  # characters of a call
LINE_MAX = 200  # of config.json
MAN_PAGES = "https://man7.org/linux/man-pages"


def html(value: str) -> str:
    """Return VALUE as text of a page."""
    return value.translate(ESCAPES)


def link(man_page: str) -> str:
    """Return a link to MAN_PAGE, such as mount(2)."""
    name, _, section = man_page.rstrip(")").partition("(")
    return f'<a href="{MAN_PAGES}/man{section[0]}/{name}.{section}.html" target="_blank" rel="noreferrer">{man_page}</a>'


def nearest(pointer: str, found: dict[str, tuple[int, int]]) -> str:
    """Return POINTER, or the nearest value around it that is among FOUND: what a default is for is not in the document."""
    while pointer and pointer not in found:
        pointer = pointer.rpartition("/")[0]
    return pointer


def step(side: str, op: Op, found: dict[str, tuple[int, int]]) -> str:
    """Return OP of SIDE as a part of the page; FOUND says on which lines what asks for it stands."""
    asks = nearest(op.at, found)
    lines = "-".join(map(str, found[asks])) if asks else ""
    meets = " meets" if op.call in ("barrier", "go") else ""
    shown = text.cut(text.line(op.replace(at="")), SHOWN_MAX)
    page = meaning.man_page(op.call)
    notes = [f"<a>{html(op.at)}</a>" if asks == op.at else f"<a>{html(op.at)}: by default</a>"] if op.at else []
    notes += [link(page)] if page else []
    return (
        f'<div class="step {side}{meets}" tabindex="0" data-at="{html(op.at)}" data-lines="{lines}">'
        f"<code>{html(shown)}</code><p>{html(meaning.of(op.call))}</p>{''.join(notes)}</div>"
    )


def in_lines(config: str) -> str:
    """Return document CONFIG as it is, or indented if its lines are too long for anybody to click on."""
    if max(map(len, config.split("\n"))) <= LINE_MAX:
        return config
    return dumps(loads(config), 2) + "\n"


def render(plan: Plan, config: str, name: str) -> str:
    """Return the page about PLAN of the document CONFIG, which is that of the bundle called NAME."""
    config = in_lines(config)
    found = places.of(config)
    lines = "".join(f'<li tabindex="0">{html(line) or " "}</li>' for line in config.removesuffix("\n").split("\n"))
    steps = "\n".join(step(side, op, found) for side, op in text.in_order(plan))
    known = dumps({pointer: list(range_) for pointer, range_ in found.items()}).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plan of {html(name)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Plan of {html(name)}</h1>
<input id="search" type="search" placeholder="search the steps" aria-label="search the steps">
<p>{len(plan.host)} steps on the host side, {len(plan.child)} in the new process. Click a line of config.json, or a step.</p>
</header>
<main>
<section id="config" aria-label="config.json"><ol>{lines}</ol></section>
<section id="plan"><h2>Host side</h2><h2>New process</h2>
{steps}
</section>
</main>
<script type="application/json" id="places">{known}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""
