"""From parsed JSON to records: each converter checks a value and returns it, or says what is wrong.

A converter takes the value and its JSON pointer (RFC 6901).  `null` stands for
an absent property: engines written in Go send it for empty slices.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.record import Record

    Converter = Callable[[Any, str], Any]

KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number with a fraction",
    type(None): "null",
}
SHOWN_MAX = 60
INT64, UINT64 = (-(1 << 63), (1 << 63) - 1), (0, (1 << 64) - 1)
MAJOR, MINOR = (0, (1 << 12) - 1), (0, (1 << 20) - 1)  # of a device: what the kernel's dev_t holds (kdev_t.h)
INT32, UINT32, UINT16 = (-(1 << 31), (1 << 31) - 1), (0, (1 << 32) - 1), (0, (1 << 16) - 1)
ID_MAX = (1 << 32) - 2  # 2**32-1 is (uid_t)-1, which system calls take for "leave it"


def escape(name: str) -> str:
    """Return NAME as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def wrong(value: object, expected: str, at: str, hint: str = "") -> ConfigError:
    """Return the error for VALUE, found where EXPECTED should stand; without a HINT it has what is best known."""
    from pyrunc.oci.remedies import remedy

    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        found = shown if len(shown) <= SHOWN_MAX else shown[:SHOWN_MAX] + "..."
    else:
        found = str(value).lower() if isinstance(value, bool) else KINDS.get(type(value), "something else")
    return ConfigError(f"expected {expected}, found {found}", pointer=at, hint=hint or remedy(value, expected))


def string(value: Any, at: str) -> str:
    """Check a string."""
    if value.__class__ is not str:
        raise wrong(value, "a string", at)
    return value


def boolean(value: Any, at: str) -> bool:
    """Check true or false."""
    if value.__class__ is not bool:
        raise wrong(value, "true or false", at)
    return value


def integer(limits: tuple[int, int]) -> Converter:
    """Return a converter of integers within LIMITS."""
    low, high = limits

    def convert(value: Any, at: str) -> int:
        if value.__class__ is not int:
            raise wrong(value, "an integer", at)
        if not low <= value <= high:
            raise wrong(value, f"an integer from {low} to {high}", at)
        return value

    return convert


def one_of(*names: str) -> Converter:
    """Return a converter of strings that must be among NAMES; an empty one, if it is there, stands for no choice."""
    allowed = frozenset(names)

    def convert(value: Any, at: str) -> str:
        if value.__class__ is not str:
            raise wrong(value, "a string", at)
        if value not in allowed:
            raise wrong(value, "one of " + ", ".join(filter(None, names)), at)
        return value

    return convert


def text(expected: str, fits: Callable[[str], bool]) -> Converter:
    """Return a converter of strings that FITS takes; EXPECTED says which these are."""

    def convert(value: Any, at: str) -> str:
        if not fits(string(value, at)):
            raise wrong(value, expected, at)
        return value  # type: ignore[no-any-return]

    return convert


def absolute(value: Any, at: str) -> str:
    """Check an absolute path."""
    if string(value, at)[:1] != "/":
        raise wrong(value, "an absolute path", at)
    return value  # type: ignore[no-any-return]


def strings(value: Any, at: str) -> tuple[str, ...]:
    """Check an array of strings."""
    if value.__class__ is not list:
        raise wrong(value, "an array", at)
    for index, item in enumerate(value):
        if item.__class__ is not str:
            raise wrong(item, "a string", f"{at}/{index}")
    return tuple(value)


def array(item: Converter) -> Converter:
    """Return a converter of arrays of ITEM."""

    def convert(value: Any, at: str) -> tuple[Any, ...]:
        if value.__class__ is not list:
            raise wrong(value, "an array", at)
        return tuple([item(element, f"{at}/{index}") for index, element in enumerate(value)])

    return convert


def mapping(item: Converter) -> Converter:
    """Return a converter of objects whose values are ITEMs."""

    def convert(value: Any, at: str) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise wrong(value, "an object", at)
        return {key: item(element, f"{at}/{escape(key)}") for key, element in value.items()}

    return convert


def empty(at: str) -> ConfigError:
    """Return the error for an array at AT that has to have an entry."""
    return ConfigError("expected at least one entry, found none", pointer=at, hint="add one, or remove the array")


def missing(name: str, at: str) -> ConfigError:
    """Return the error for an object at AT that lacks property NAME."""
    return ConfigError(f"{name} is missing", pointer=f"{at}/{name}", hint="the specification requires it")


def record(cls: type[Record], required: str = "", **fields: Converter) -> Converter:
    """Return a converter of objects to CLS: FIELDS by name, the REQUIRED ones named in one string.

    Unknown properties are ignored, as the specification demands (config.md, "Extensibility").
    A property whose name is a keyword of Python's has a field with "_" behind it.
    """
    table = tuple((field.rstrip("_"), field, converter) for field, converter in fields.items())
    needed = tuple((field.rstrip("_"), field) for field in required.split())

    def convert(value: Any, at: str) -> Any:
        if value.__class__ is not dict:
            raise wrong(value, "an object", at)
        made = {}
        for name, field, converter in table:
            item = value.get(name)
            if item is not None:
                made[field] = converter(item, f"{at}/{name}")
        for name, field in needed:
            if field not in made:
                raise missing(name, at)
        return cls(**made)

    return convert
