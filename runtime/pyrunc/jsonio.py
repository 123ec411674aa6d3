"""Read and write JSON without importing json.

The fast path is json's own C half, which costs 0.3 ms to load where the
package costs 6.6; a command that reads no JSON and writes none but plain words
does without that, too.  The slow path, taken when a document is wrong, imports
json for the line and the column.  Stricter than json: duplicate keys, NaN,
lone surrogates and NUL bytes are errors (RFC 8259, I-JSON).
"""

from __future__ import annotations

import sys

from pyrunc.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NATIVE = "_pyrunc" in sys.builtin_module_names  # native/json.c: as strict, without words for what is wrong
BLANK = " \t\n\r"
BYTE_ORDER_MARK = "\ufeff"
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"}
DIGITS_MAX = 4300  # of an integer, to Python


class DuplicateKeyError(ValueError):
    """An object names a key twice; the argument is the key."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a dict of PAIRS, refusing a key that stands twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DuplicateKeyError(key)
            seen.add(key)
    return made


def _constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's json would take."""
    raise ValueError(f"{name} is not JSON")


class _Settings:
    """What the C scanner asks of its JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_constant)
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner empties it after each document



def loads(text: bytes | str, name: str = "config.json") -> object:
    """Return the value of JSON document TEXT; NAME is what errors call it.

    Raises ConfigError: bytes that are not UTF-8, a syntax error (with its line
    and column), a duplicate key, a number or nesting beyond Python's limits.
    """
    try:
        string = text if isinstance(text, str) else str(text, "utf-8")
        if NATIVE:
            import _pyrunc

            return _pyrunc.scan(string)
        from _json import make_scanner

        start = len(string) - len(string.lstrip(BLANK))
        scan = make_scanner(_Settings())  # type: ignore[arg-type]  # asks for attributes only
        value, end = scan(string, start)
        if string[end:].strip(BLANK):
            raise ValueError("data after the end of the document")
        if "\\u" in string:
            _check_strings(value)
        return value
    except (ValueError, StopIteration, RecursionError, SystemError) as error:
        # SystemError: the scanner found json.decoder, whose error it raises, not imported
        raise _explain(text, name, error) from None


def _check_strings(value: object) -> None:
    """Refuse strings that no system call can take: lone surrogates and NUL."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a string holds a NUL character (\\u0000)")
        value.encode()
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)


def _explain(text: bytes | str, name: str, error: Exception) -> ConfigError:
    """Say in one line why TEXT is not JSON."""
    hint = "the document must be JSON (RFC 8259) in UTF-8"
    if isinstance(error, UnicodeDecodeError):
        return ConfigError(f"{name}: not UTF-8 at byte {error.start}", hint=hint)
    if isinstance(error, UnicodeEncodeError):
        return ConfigError(f"{name}: a string holds half a surrogate pair", hint=hint)
    if isinstance(error, DuplicateKeyError):
        return ConfigError(f'{name}: key "{error.args[0]}" stands twice in one object', hint="remove one")
    if isinstance(error, RecursionError):
        return ConfigError(f"{name}: nested too deeply", hint=hint)
    string = text if isinstance(text, str) else str(text, "utf-8")
    if string.startswith(BYTE_ORDER_MARK):
        return ConfigError(f"{name}: begins with a byte order mark", hint="save it without: plain UTF-8")
    if NATIVE:
        return _explain_scan(string, name, error)
    import json

    try:
        json.loads(string, parse_constant=_constant)
    except json.JSONDecodeError as exact:
        place = f"line {exact.lineno} column {exact.colno}"
        return ConfigError(f"{name}: invalid JSON at {place}: {exact.msg}", hint=hint)
    except ValueError as exact:
        error = exact
    if "integer string conversion" in str(error):
        return ConfigError(f"{name}: a number has more than {DIGITS_MAX} digits", hint="no field takes one")
    return ConfigError(f"{name}: invalid JSON: {error}", hint=hint)


def _explain_scan(string: str, name: str, error: Exception) -> ConfigError:
    """Say why STRING is not JSON, of which native/json.c has raised ERROR."""
    hint = "the document must be JSON (RFC 8259) in UTF-8"
    if len(error.args) != 2:  # a number's, of int()
        return ConfigError(f"{name}: a number has more than {DIGITS_MAX} digits", hint="no field takes one")
    what, where = error.args
    if what == "DUPLICATE":
        return ConfigError(f'{name}: key "{where}" stands twice in one object', hint="remove one")
    if what == "CONSTANT":
        return ConfigError(f"{name}: invalid JSON: {where} is not JSON", hint=hint)
    if what == "SURROGATE":
        return ConfigError(f"{name}: a string holds half a surrogate pair", hint=hint)
    if what == "NUL":
        return ConfigError(f"{name}: invalid JSON: a string holds a NUL character (\\u0000)", hint=hint)
    line = string.count("\n", 0, where) + 1
    column = where - string.rfind("\n", 0, where)
    return ConfigError(f"{name}: invalid JSON at line {line} column {column}: {what}", hint=hint)


def dumps(value: object, indent: int = 0) -> str:
    """Return VALUE as JSON: one line, or with INDENT spaces a level.

    Takes dict, list, tuple, str, bool, int, float and None.
    """
    return _text(value, indent, "\n")


def _string(text: str) -> str:
    """Write string TEXT."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    if NATIVE:
        return _quoted(text)
    from _json import encode_basestring_ascii  # past the fork it is there: the config was read with it

    return encode_basestring_ascii(text)


def _quoted(text: str) -> str:
    """Write string TEXT in ASCII, as _json does."""
    parts = []
    for character in text:
        number = ord(character)
        if character in ESCAPES:
            parts.append(ESCAPES[character])
        elif 32 <= number < 127:
            parts.append(character)
        elif number < 0x10000:
            parts.append(f"\\u{number:04x}")
        else:
            number -= 0x10000
            parts.append(f"\\u{0xD800 | number >> 10:04x}\\u{0xDC00 | number & 0x3FF:04x}")
    return '"' + "".join(parts) + '"'


def _text(value: object, indent: int, newline: str) -> str:
    """Write VALUE, whose lines begin after NEWLINE."""
    if isinstance(value, str):
        return _string(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    inner = newline + " " * indent
    if isinstance(value, dict):
        colon = ": " if indent else ":"
        parts = [_string(k) + colon + _text(v, indent, inner) for k, v in value.items()]
        opening, closing = "{}"
    elif isinstance(value, (list, tuple)):
        parts = [_text(item, indent, inner) for item in value]
        opening, closing = "[]"
    else:
        return repr(value)
    if not indent or not parts:
        return opening + ",".join(parts) + closing
    return opening + inner + ("," + inner).join(parts) + newline + closing
