"""TOML, read by the standard library; written as text, since nothing there writes it, and checked by reading it again."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from pyrunc.errors import ConfigError

Document = dict[str, Any]


def parse(text: str, path: str) -> Document:
    """Return the document TEXT of file PATH.  Raises ConfigError with line and column."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: invalid TOML: {error}", hint="mend that first") from None


def quoted(text: str) -> str:
    """Return TEXT as a basic string: what JSON escapes, TOML escapes alike, but for half surrogates, which neither takes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def look(document: Any, *keys: str) -> Any:
    """Return what stands in DOCUMENT below KEYS; None if there is nothing, or no table on the way."""
    found = document
    for key in keys:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def merged(one: Document, other: Document) -> Document:
    """Return both documents in one: tables together, and of anything else that of OTHER."""
    both = dict(one)
    for key, value in other.items():
        here = both.get(key)
        both[key] = merged(here, value) if isinstance(here, dict) and isinstance(value, dict) else value
    return both
