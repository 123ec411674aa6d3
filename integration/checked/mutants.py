"""Mutants: a real configuration with one to three things changed, and the image that it is to run in."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from integration.checked.values import DESTINATIONS, FIELDS, MOUNTS

if TYPE_CHECKING:
    import random
    from pathlib import Path

OTHERS: list[Any] = [None, True, 0, -1, 1 << 70, 1.5, "", "x", [], {}, ["x"], {"x": 1}]
IMAGES: dict[str, tuple[bytes, int]] = {
    "text": (b"true\n", 0o755),
    "empty": (b"", 0o755),
    "closed": (b"#!/bin/sh\n", 0o644),
    "script": (b"#!/bin/sh\ntrue\n", 0o755),
    "nobody's script": (b"#!/nosuch\n", 0o755),
    "script of a directory": (b"#!/bin\n", 0o755),
    "script of the script": (b"#!/data/x\n", 0o755),
    "owner's": (b"#!/bin/sh\n", 0o700),
    "damaged": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0" + bytes(20), 0o755),
    "half a header": (b"\x7fELF\x02\x01\x01", 0o755),
}
STRUCTURE, WORDS, MOUNT, IMAGE = "structure", "words", "mounts", "image"
KINDS = (*FIELDS, MOUNT, IMAGE, STRUCTURE, WORDS)


class Mutant(NamedTuple):
    """A configuration of KIND, what was changed in it, and a program for the image: its text and mode."""

    kind: str
    changes: tuple[str, ...]
    document: dict[str, Any]
    program: tuple[bytes, int] | None


def make(random: random.Random, base: dict[str, Any], kind: str) -> Mutant:
    """Return a mutant of BASE of this KIND."""
    document = copy.deepcopy(base)
    program = None
    if kind == IMAGE:
        name = random.choice(sorted(IMAGES))
        document["process"]["args"] = [random.choice(["/data/x", "/data/x", "data/x"])]
        return Mutant(kind, (name,), document, IMAGES[name])
    if kind == MOUNT:
        changes = [_mount(random, document)]
    elif kind == STRUCTURE:
        changes = [_other(random, document)]
    elif kind == WORDS:
        changes = [_misspelt(random, document)]
    else:
        fields = FIELDS[kind]
        chosen = random.sample(sorted(fields), min(len(fields), random.choice((1, 1, 2, 3))))
        changes = [_set(document, at, random.choice(fields[at])) for at in chosen]
    return Mutant(kind, tuple(changes), document, program)


def _set(document: dict[str, Any], at: str, value: Any) -> str:
    """Put VALUE where AT points in DOCUMENT, or behind what is there for "-"; return what was done."""
    *around, last = at.split("/")[1:]
    node: Any = document
    for step in around:
        below = node.get(step)
        node[step] = below = below if below is not None else ([] if (step, last) == (around[-1], "-") else {})
        node = below
    if last == "-":
        if around[-1] == "namespaces":
            node[:] = [each for each in node if each["type"] != value["type"]]
        node.insert(0 if around[-1] == "namespaces" else len(node), copy.deepcopy(value))
    else:
        node[last] = copy.deepcopy(value)
    if at == "/linux/uidMappings" and not any(each["type"] == "user" for each in document["linux"]["namespaces"]):
        document["linux"]["namespaces"].append({"type": "user"})
    if at.startswith("/linux/uidMappings") and not document["linux"].get("gidMappings"):
        document["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    return f"{at} = {json.dumps(value)[:120]}"


def _mount(random: random.Random, document: dict[str, Any]) -> str:
    """Add a mount to DOCUMENT, or change one of its own."""
    mounts = document["mounts"]
    if mounts and random.random() < 0.3:
        index = random.randrange(len(mounts))
        what = random.choice(("destination", "order", "options", "type"))
        if what == "order":
            mounts.insert(0, mounts.pop(index))
            return f"mount {index} goes first"
        if what == "options":
            value: Any = [*mounts[index].get("options", ()), random.choice(("ro", "rw", "noexec", "sync", "idmap", "rbind", "x=1", "remount"))]
        else:
            value = random.choice(DESTINATIONS if what == "destination" else ("tmpfs", "bind", "proc", "nosuch", ""))
        mounts[index][what] = value
        return f"/mounts/{index}/{what} = {json.dumps(value)}"
    mount = {"destination": random.choice(DESTINATIONS), **copy.deepcopy(random.choice(MOUNTS))}
    mounts.append(mount)
    return f"mount {json.dumps(mount)}"


def _nodes(node: Any, at: str, root: Any) -> list[tuple[str, Any, Any]]:
    """Return each place below AT, with what contains NODE's part and its key; few of long lists."""
    found: list[tuple[str, Any, Any]] = []
    keys = list(node) if isinstance(node, dict) else range(min(len(node), 6)) if isinstance(node, list) else ()
    for key in keys:
        found.append((f"{at}/{key}", node, key))
        found += _nodes(node[key], f"{at}/{key}", root)
    return found


def _other(random: random.Random, document: dict[str, Any]) -> str:
    """Take something out of DOCUMENT, or put a value of another type there."""
    # The cgroup is to stay one of the test's own.
    places = [each for each in _nodes(document, "", document) if each[0] not in ("/linux", "/linux/cgroupsPath")]
    at, around, key = random.choice(places)
    if random.random() < 0.5:
        del around[key]
        return f"without {at}"
    around[key] = copy.deepcopy(random.choice(OTHERS))
    return f"{at} = {json.dumps(around[key])}"


def _misspelt(random: random.Random, document: dict[str, Any]) -> str:
    """Misspell a name or a word somewhere in DOCUMENT."""
    places = [each for each in _nodes(document, "", document) if "annotations" not in each[0] and each[0] != "/linux"]
    at, around, key = random.choice([each for each in places if each[0] != "/linux/cgroupsPath"])
    if isinstance(around[key], str) and random.random() < 0.7:
        around[key] = _scrambled(random, around[key])
        return f"{at} = {json.dumps(around[key])[:100]}"
    if isinstance(key, str):
        name = _scrambled(random, key)
        around[name] = around.pop(key)
        return f"{at} is called {name}"
    return f"{at} stays"


def _scrambled(random: random.Random, word: str) -> str:
    """Return WORD with a slip of the fingers."""
    if len(word) < 2:
        return word + "x"
    place = random.randrange(len(word) - 1)
    return random.choice(
        (
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            word[:place] + word[place + 1 :],
            word[:place] + word[place] * 2 + word[place + 1 :],
            word.swapcase(),
            word + " ",
        )
    )


def filled(document: Any, **names: str | Path) -> Any:
    """Return DOCUMENT with NAMES in place of "{name}"."""
    text = json.dumps(document)
    for name, value in names.items():
        text = text.replace("{" + name + "}", str(value))
    return json.loads(text)
