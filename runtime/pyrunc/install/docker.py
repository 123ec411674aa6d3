"""Docker reads one JSON document.  Ours goes in as text, so that all else stays as its author wrote it."""

from __future__ import annotations

import json
from json.decoder import JSONDecoder

from pyrunc import jsonio
from pyrunc.errors import ConfigError, StateError
from pyrunc.install.edit import Edit, Wanted, read
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/etc/docker/daemon.json"
RUNTIMES, DEFAULT = "runtimes", "default-runtime"
INDENT = 4  # of a document that we begin


class Member(Record):
    """Where a member of an object stands in the text: its key from `start`, its value from `value` to `end`.

    `gap` is the white space before it.
    """

    key: str
    start: int
    value: int
    end: int
    gap: str


def add(wanted: Wanted) -> Edit:
    """Return the change that registers WANTED.

    Raises ConfigError if the file is no JSON object, StateError if the name
    means something else there.
    """
    before = read(wanted, PATH)
    if before is None:
        return Edit(PATH, None, _fresh(wanted))
    document = _parse(before)
    text = before
    runtimes = _object(document, RUNTIMES)
    if wanted.name not in runtimes:
        text = _with_runtime(text, wanted)
    else:
        _check(f"{RUNTIMES}.{wanted.name}", runtimes[wanted.name], _entry(wanted), "choose another --name, or change that file")
    if wanted.default and DEFAULT not in document:
        text = _insert(text, _start(text), DEFAULT, json.dumps(wanted.name))
    elif wanted.default:
        _check(DEFAULT, document[DEFAULT], wanted.name, "change that file")
    return Edit(PATH, before, text)


def remove(wanted: Wanted) -> Edit:
    """Return the change that takes it back, to the byte if nobody has changed the file since.

    Raises ConfigError and StateError as `add` does.
    """
    before = read(wanted, PATH)
    if before is None or before in [_fresh(wanted.replace(default=default)) for default in (False, True)]:
        return Edit(PATH, before, None)
    document = _parse(before)
    text = before
    if document.get(DEFAULT) == wanted.name:
        text = _cut(text, _start(text), DEFAULT)
    runtimes = _object(document, RUNTIMES)
    if wanted.name in runtimes:
        hint = "remove it by hand, or name the program that it is about by --path"
        _check(f"{RUNTIMES}.{wanted.name}", runtimes[wanted.name], _entry(wanted), hint)
        text = _without_runtime(text, wanted.name, alone=len(runtimes) == 1)
    return Edit(PATH, before, text)


def _parse(text: str) -> dict[str, object]:
    """Return the document TEXT."""
    document = jsonio.loads(text, PATH)
    if not isinstance(document, dict):
        raise ConfigError(f"{PATH}: expected an object", hint="mend that first")
    return document


def _object(document: dict[str, object], key: str) -> dict[str, object]:
    """Return the object that KEY of DOCUMENT is, an empty one if it is not there."""
    found = document.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{PATH}: {key}: expected an object", hint="mend that first")
    return found


def _check(place: str, found: object, expected: object, hint: str) -> None:
    """Raise StateError unless what was FOUND at PLACE is what is EXPECTED."""
    if found != expected:
        raise StateError(f"{PATH} says {place} is {json.dumps(found)} already", hint=hint)


def _entry(wanted: Wanted) -> dict[str, str]:
    """Return what Docker has to know of WANTED."""
    return {"path": wanted.path}


def _fresh(wanted: Wanted) -> str:
    """Return a document with nothing else in it."""
    document: dict[str, object] = {RUNTIMES: {wanted.name: _entry(wanted)}}
    if wanted.default:
        document[DEFAULT] = wanted.name
    return json.dumps(document, indent=INDENT) + "\n"


def _with_runtime(text: str, wanted: Wanted) -> str:
    """Return TEXT with the entry of WANTED, in a new "runtimes" if there is none."""
    top = _members(text, _start(text))
    gap = top[-1].gap if top else ""
    unit = gap.rpartition("\n")[2] if "\n" in gap else ""
    there = next((member for member in top if member.key == RUNTIMES), None)
    if there is None:
        value = _written({wanted.name: _entry(wanted)}, gap, unit)
        return _insert(text, _start(text), RUNTIMES, value)
    inner = _members(text, there.value)
    return _insert(text, there.value, wanted.name, _written(_entry(wanted), inner[-1].gap if inner else "", unit))


def _without_runtime(text: str, name: str, *, alone: bool) -> str:
    """Return TEXT without the entry NAME; without "runtimes", too, if it is ALONE there and we have made the object."""
    start = _start(text)
    there = next(member for member in _members(text, start) if member.key == RUNTIMES)
    was_empty = "\n" in there.gap and "\n" not in text[there.value : there.end]  # ours has lines where members have
    if alone and not was_empty:
        return _cut(text, start, RUNTIMES)
    return _cut(text, there.value, name)


def _written(value: Mapping[str, object], gap: str, unit: str) -> str:
    """Return VALUE as JSON that follows a GAP, with UNIT for each level; on one line if the gap has no line end."""
    if "\n" not in gap:
        return json.dumps(value)
    return json.dumps(value, indent=unit or INDENT).replace("\n", gap)


def _start(text: str) -> int:
    """Return where the document's object begins."""
    return text.index("{")


def _skip(text: str, place: int) -> int:
    """Return the first place from PLACE on that is no white space."""
    while text[place] in jsonio.BLANK:
        place += 1
    return place


def _members(text: str, start: int) -> list[Member]:
    """Return the members of the object that begins at START of TEXT, which is known to be JSON."""
    read_value = JSONDecoder().raw_decode
    found: list[Member] = []
    before = start + 1
    place = _skip(text, before)
    while text[place] != "}":
        key, end = read_value(text, place)
        value = _skip(text, _skip(text, end) + 1)
        _, end = read_value(text, value)
        found.append(Member(key, place, value, end, text[before:place]))
        before = _skip(text, end) + (text[_skip(text, end)] == ",")
        place = _skip(text, before)
    return found


def _insert(text: str, start: int, key: str, value: str) -> str:
    """Return TEXT with one more member, the last, in the object that begins at START; it stands as the one before does."""
    members = _members(text, start)
    member = f"{json.dumps(key)}: {value}"
    if not members:
        return text[: start + 1] + member + text[start + 1 :]
    end = members[-1].end
    return f"{text[:end]},{members[-1].gap}{member}{text[end:]}"


def _cut(text: str, start: int, key: str) -> str:
    """Return TEXT without member KEY of the object that begins at START."""
    members = _members(text, start)
    place = next(place for place, member in enumerate(members) if member.key == key)
    member = members[place]
    if place:
        return text[: members[place - 1].end] + text[member.end :]
    return text[: member.start] + text[members[1].start if len(members) > 1 else member.end :]
