"""From text to a checked record: config.json, and the process document of `exec --process`.

The one place that knows the record (config.py), the checks (check.py) and the slow path that finds all violations
(explain.py).
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.jsonio import loads
from pyrunc.oci import check, config, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.config import Config
    from pyrunc.oci.process import Process

EXPLAINED_MAX = 1 << 18  # bytes of a wrong document; a larger one would take more than a second
# runc's words, as people search for them, before our own; by the place of what is wrong.
PHRASES = {
    f"/linux/memoryPolicy/{name}": f"invalid memory policy {words}"
    for name, words in (("mode", "mode"), ("nodes", "nodes"), ("flags/", "flag"))
}


def parse(text: bytes, name: str = "config.json") -> Config:
    """Return the configuration in TEXT; NAME is what a syntax error calls the document.

    Raises ConfigError for the first violation of structure or meaning; its `others` say where more are.
    """
    document = loads(text, name)
    try:
        made: Config = config.config(document, "")
        check.config(made)
    except ConfigError as error:
        raise _with_others(error, document, "config", len(text)) from None
    return made


def parse_process(text: bytes, name: str = "process.json") -> Process:
    """Return the process in TEXT, with pointers into that document.

    Raises ConfigError as parse does.
    """
    document = loads(text, name)
    try:
        made: Process = process.process(document, "")
        check.process(made, "")
    except ConfigError as error:
        raise _with_others(error, document, "process", len(text)) from None
    return made


def _with_others(first: ConfigError, document: object, part: str, size: int) -> ConfigError:
    """Return FIRST, with the places of what else is wrong in DOCUMENT of SIZE bytes, if that can be found out."""
    phrase = next((words for place, words in PHRASES.items() if first.pointer.startswith(place)), "")
    if phrase:
        first.message = f"{phrase}: {first.message}"
    if size > EXPLAINED_MAX:
        return first
    try:
        from pyrunc.oci import explain

        found = explain.violations(document, part)
        first.others = tuple(other.pointer for other in found if other.pointer != first.pointer)
    except Exception:  # noqa: BLE001 - no library, no schema, too deep: the first error is what counts
        first.others = ()
    return first
