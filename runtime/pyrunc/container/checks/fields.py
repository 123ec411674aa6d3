"""Properties that nobody knows: legal, and ignored (config.md, "Extensibility"), but seldom meant so."""

from __future__ import annotations

from pyrunc.oci import explain
from pyrunc.oci.convert import escape
from pyrunc.words import suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# What the specification has for other platforms: it is known, and does not concern this one.
ELSEWHERE = {
    "": frozenset(("freebsd", "solaris", "vm", "windows", "zos")),
    "/process": frozenset(("commandLine",)),
    "/process/user": frozenset(("username",)),
}


def unknown(document: object) -> Iterator[tuple[str, str, str]]:
    """Yield pointer, message and hint for each property of DOCUMENT, a parsed configuration, that the schema does not have."""
    schema: Any = explain.validator("config").schema
    yield from _below(document, schema, schema["$defs"], "")


def _below(found: object, schema: Any, definitions: Any, at: str) -> Iterator[tuple[str, str, str]]:
    """Yield the same for what was FOUND at AT, where SCHEMA holds, which refers to DEFINITIONS."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if isinstance(found, list):
        for index, item in enumerate(found if "items" in schema else ()):
            yield from _below(item, schema["items"], definitions, f"{at}/{index}")
    if not isinstance(found, dict):
        return
    known = schema.get("properties", {})
    for name, item in found.items():
        place = f"{at}/{escape(name)}"
        if name in known:
            yield from _below(item, known[name], definitions, place)
        elif "additionalProperties" in schema:
            yield from _below(item, schema["additionalProperties"], definitions, place)
        elif known and name not in ELSEWHERE.get(at, ()):
            yield place, f"no such field is known: {name}", "it is ignored: " + suggestion(name, known, "remove it")
