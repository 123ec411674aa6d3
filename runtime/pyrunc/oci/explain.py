"""Every violation in a document that the parser has refused: the slow path, by jsonschema over spec/schema.

The parser (convert.py) stops at the first violation, and costs nothing but
itself.  Here a document is held against its JSON Schema, in the parser's words
and in its order.  What the schema cannot say (check.py) follows once the
structure is right.  The schema is read as the parser reads a document: null
stands for an absent property, 1.0 is no integer, and `$` is the end.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci import check, config, convert, process, resources
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jsonschema.exceptions import ValidationError

    Validator = Any  # the library's own type lacks what keywords are made with

VIOLATIONS_MAX = 1000  # nobody reads more
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
CONVERTERS = {"config": config.config, "process": process.process, "resources": resources.resources}
_validators: dict[str, Validator] = {}


class Violation(Record):
    """What is wrong at one place: `message` in words, `found` as the value that stands there (None: nothing)."""

    pointer: str
    message: str
    hint: str = ""
    found: object = None


def violations(document: object, part: str = "config") -> tuple[Violation, ...]:
    """Return what is wrong in DOCUMENT, a parsed `config`, `process` or `resources` (PART), at most VIOLATIONS_MAX.

    Needs jsonschema and the schema: ImportError, OSError or ValueError without.
    """
    errors: dict[str, ConfigError] = {}
    for error in (*structure(document, part), *meaning(document, part)):
        errors.setdefault(error.pointer, error)
    return tuple(Violation(at, error.message, error.hint, value(document, at)) for at, error in errors.items())


def value(document: object, pointer: str) -> object:
    """Return what stands at POINTER in DOCUMENT, None if nothing does."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict):
            document = document.get(name)
        else:
            return None
    return document


def meaning(document: object, part: str) -> list[ConfigError]:
    """Return what types alone cannot say, as far as the structure is right; else the parser's own error."""
    try:
        made = CONVERTERS[part](document, "")
    except ConfigError as error:
        return [error]
    if part == "config":
        return list(check.config_errors(made))
    return list(check.process_errors(made, "")) if part == "process" else []


def structure(document: object, part: str) -> list[ConfigError]:
    """Return the violations of the schema, in its order."""
    from itertools import islice

    return [_in_words(error) for error in islice(validator(part).iter_errors(document), VIOLATIONS_MAX)]


def _in_words(error: Any) -> ConfigError:
    """Say ERROR as the parser does."""
    at = "".join("/" + convert.escape(str(step)) for step in error.absolute_path)
    keyword, schema = error.validator, error.schema
    if keyword == "required":
        parent, _, name = at.rpartition("/")
        return convert.missing(name, parent)
    if keyword == "minItems":
        return convert.empty(at)
    if keyword == "type":
        expected = convert.KINDS[TYPES[schema["type"]]]
    elif keyword in ("minimum", "maximum"):
        expected = f"an integer from {schema['minimum']} to {schema['maximum']}"
    elif keyword == "enum":
        expected = "one of " + ", ".join(filter(None, schema["enum"]))
    else:
        expected = schema["title"]
    return convert.wrong(error.instance, expected, at, schema.get("x-hint", ""))


def schema_directory() -> str:
    """Return where the schemas are: in the package as it is installed, beside it in the sources."""
    import os.path

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    installed = f"{package}/schema"
    return installed if os.path.isdir(installed) else os.path.normpath(f"{package}/../../spec/schema")


def validator(part: str) -> Validator:
    """Return what checks a document of PART; it is made once."""
    if part not in _validators:
        import json

        from jsonschema import Draft202012Validator

        with open(f"{schema_directory()}/config.json", encoding="utf-8") as file:
            schema: dict[str, Any] = json.load(file)
        if part != "config":
            schema = {"$schema": schema["$schema"], "$ref": f"#/$defs/{part}", "$defs": schema["$defs"]}
        _validators[part] = as_parser(Draft202012Validator)(schema)
    return _validators[part]


def as_parser(base: Any) -> Any:
    """Return BASE, a class of validators, changed so that it reads documents as the parser does."""
    from jsonschema import validators

    extend: Any = validators.extend
    changed = {"properties": _properties, "additionalProperties": _others, "required": _required, "pattern": _pattern}
    return extend(base, changed, type_checker=base.TYPE_CHECKER.redefine("integer", lambda _, found: found.__class__ is int))


def _properties(this: Validator, properties: dict[str, Any], found: object, _: object) -> Iterator[ValidationError]:
    """Check each property that is there; null is not."""
    if isinstance(found, dict):
        for name, schema in properties.items():
            if found.get(name) is not None:
                yield from this.descend(found[name], schema, path=name, schema_path=name)


def _others(this: Validator, schema: object, found: object, around: dict[str, Any]) -> Iterator[ValidationError]:
    """Check the values of a map in their order; the library's own keeps none."""
    if isinstance(found, dict):
        named = around.get("properties", {})
        for name, item in found.items():
            if name not in named:
                yield from this.descend(item, schema, path=name)


def _required(_: Validator, names: list[str], found: object, __: object) -> Iterator[ValidationError]:
    """Check that all NAMES are there, with the place of the one that is not."""
    from jsonschema.exceptions import ValidationError

    if isinstance(found, dict):
        for name in names:
            if found.get(name) is None:
                yield ValidationError(f"{name} is missing", path=(name,))


def _pattern(_: Validator, pattern: str, found: object, __: object) -> Iterator[ValidationError]:
    r"""Check a string; `$` means its end, as in ECMA 262, while Python's would take a line feed behind it."""
    import re

    from jsonschema.exceptions import ValidationError

    if isinstance(found, str) and not re.search(pattern.replace("$", r"\Z"), found):
        yield ValidationError(f"does not match {pattern}")
