"""What docs/engines.md tells people to type and to write: the tests do that."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

TEXT = Path(__file__).parents[2] / "docs/engines.md"
PATH = "/usr/local/bin/pyrunc"  # where pyrunc is, there
BLOCK = re.compile(r"(?:^ {4}.*\n(?:^\n(?=    ))?)+", re.MULTILINE)


def blocks(title: str) -> list[str]:
    """Return the indented blocks of the section with TITLE."""
    body = TEXT.read_text().split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [dedent(block) for block in BLOCK.findall(body)]
