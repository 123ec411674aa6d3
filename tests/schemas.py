"""The schemas, ours and the specification's, and documents to hold against them."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4, DRAFT202012

from pyrunc.errors import ConfigError
from pyrunc.oci import explain
from pyrunc.record import Record

CHECKOUT = Path(__file__).parents[1]
OURS = CHECKOUT / "spec/schema"
SHARED = Path(os.environ.get("PYRUNC_SHARED", CHECKOUT.parent / "shared"))
THEIRS = SHARED / "oci/schema"
needs_shared = pytest.mark.skipif(
    not THEIRS.is_dir(), reason="no samples: set PYRUNC_SHARED to a directory with oci/schema (runtime-spec) and configs"
)
# What stands where a part of config.json does, in the specification's schema and in pointers.
PARTS = {
    "config": ("config-schema.json", ""),
    "process": ("config-schema.json#/properties/process", "/process"),
    "resources": ("config-linux.json#/linux/properties/resources", "/linux/resources"),
}


def registry(directory: Path, base: str, specification) -> Registry:
    """Return the schemas in DIRECTORY by name below BASE, without their $schema: or the library would leave our validator."""
    found = Registry()
    for path in directory.glob("*.json"):
        contents = json.loads(path.read_text())
        contents.pop("$schema", None)
        found = found.with_resource(base + path.name, Resource.from_contents(contents, default_specification=specification))
    return found.crawl()


def ours(name: str):
    """Return the validator of our schema NAME."""
    return explain.as_parser(Draft202012Validator)({"$ref": name}, registry=registry(OURS, "", DRAFT202012))


def theirs(place: str):
    """Return the validator of the specification's schema at PLACE, which reads null and integers as ours."""
    base = "http://specification/"
    return explain.as_parser(Draft4Validator)({"$ref": base + place}, registry=registry(THEIRS, base, DRAFT4))


def refusal(convert, *arguments) -> ConfigError | None:
    """Return the error that CONVERT of ARGUMENTS ends with, if it does."""
    try:
        convert(*arguments)
    except ConfigError as error:
        return error
    return None


def pointers(errors) -> set[str]:
    """Return where ERRORS of a validator are; of alternatives, what each of them says."""
    found = set()
    for error in errors:
        if error.context:
            found |= pointers(error.context)
        else:
            found.add("".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in error.absolute_path))
    return found


def recorded() -> list[tuple[str, str, object]]:
    """Return (part, name, document) of what real engines have written."""
    found = []
    for path in sorted(SHARED.glob("configs/*/*.json")):
        part = "process" if ".exec-process." in path.name else "resources" if ".update-resources." in path.name else "config"
        found.append((part, f"{path.parent.name}/{path.name}", json.loads(path.read_bytes())))
    return found


def full() -> object:
    """Return a document in which every property that our schema of config.json names is set, and right."""
    root = json.loads((OURS / "config.json").read_text())

    def make(schema: dict, key: str) -> object:
        if "$ref" in schema:
            return make(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], key)
        if "allOf" in schema:
            return make(schema["allOf"][0], key)
        if "examples" in schema:
            return schema["examples"][0]
        if "enum" in schema:
            return next(filter(None, schema["enum"]))
        kind = schema["type"]
        if kind == "integer":
            return min(max(schema["minimum"], 3), schema["maximum"])
        if kind == "array":
            return [make(schema["items"], key)]
        if kind == "object" and "properties" in schema:
            return {name: make(inner, name) for name, inner in schema["properties"].items()}
        if kind == "object":
            keys = ("monotonic", "boottime") if key == "timeOffsets" else ("a",)
            return {name: make(schema["additionalProperties"], name) for name in keys}
        return {"string": "a", "boolean": True}[kind]

    return make(root, "")


def as_json(made: object) -> object:
    """Return what a record was made from, with every field."""
    if isinstance(made, Record):
        return {name.rstrip("_"): as_json(item) for name, item in made.items()}
    if isinstance(made, dict):
        return {name: as_json(item) for name, item in made.items()}
    return [as_json(item) for item in made] if isinstance(made, tuple) else made


def short(value: object) -> object:
    """Return VALUE with at most two entries in an array: the rest of a seccomp profile only takes time."""
    if isinstance(value, list):
        return [short(item) for item in value[:2]]
    return {key: short(item) for key, item in value.items()} if isinstance(value, dict) else value


def nodes(value: object, at: tuple = ()) -> list[tuple]:
    """Return the steps to every place in VALUE."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inner for place in nodes(item, (*at, key)))]


def around(value: object, place: tuple) -> object:
    """Return of VALUE what leads to PLACE, with the small things beside it: all of a document takes its time to check."""
    if not place:
        return value
    if isinstance(value, list):
        return [around(value[0], place[1:])]
    made = {}
    for key, item in value.items():
        if key == place[0]:
            made[key] = around(item, place[1:])
        elif "{" not in str(item):
            made[key] = item
    return made


DROP, ADD, APPEND = "drop it", "add an unknown property", "append null"
NUMBERS = [0, 1, -1, 6, 8, 1000, 1.0, 1.5, 1e400, -1001, 2**16, 2**31, 2**32 - 1, 2**32, 10**9, 2**63, 2**64]
NUMBERS += [-(2**31) - 1, -(2**63) - 1]
STRINGS = ["", "a", "/a", "a\n", "3\n", "2MB\n", "MB:\n", "/a\n", "a/b~c", "CAP_CHOWN", "SCMP_ACT_ALLOW", "RLIMIT_ALL"]
STRINGS += ["private", "rprivate", "1.3", "1.3.0-rc1", "1.4.0", "01.3.0", "1.03.0", "2.0.0", "1.3.٣", f"1.{'9' * 5000}.0"]
OTHERS = [None, True, False, [], {}, [None], [1], ["a"], [[]], [{}], {"a": None}, {"a": 1}, {"a": "a"}, {"a": {}}]
CHANGES = [DROP, ADD, APPEND, *NUMBERS, *STRINGS, *OTHERS]


def change(document: object, place: tuple, how: object) -> object:
    """Return a copy of DOCUMENT that is changed at PLACE: HOW is DROP, ADD, APPEND or another value."""
    made = copy.deepcopy({"": document})
    parent, last = made, ""
    for step in place:
        parent, last = parent[last], step
    here = parent[last]
    if how is DROP:
        del parent[last]
    elif how is ADD or how is APPEND:
        if isinstance(here, dict) and how is ADD:
            here["x-unknown"] = 7
        elif isinstance(here, list) and how is APPEND:
            here.append(None)
    else:
        parent[last] = copy.deepcopy(how)
    return made.get("")
