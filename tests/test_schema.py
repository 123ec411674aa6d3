"""spec/schema: valid, complete, of one mind with the parser, and with the specification's own where it should be."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from pyrunc.container.verbs import features
from pyrunc.oci import config, default, explain, parsing
from tests.schemas import (
    CHECKOUT,
    OURS,
    PARTS,
    THEIRS,
    as_json,
    full,
    needs_shared,
    nodes,
    ours,
    pointers,
    recorded,
    refusal,
    theirs,
)

NAMES = ("config.json", "features.json", "state.json")


def inside(schema: object, at: str = ""):
    """Yield (pointer, schema) for each schema in SCHEMA."""
    if not isinstance(schema, dict):
        return
    yield at, schema
    for keyword in ("properties", "$defs"):
        for name, inner in schema.get(keyword, {}).items():
            yield from inside(inner, f"{at}/{keyword}/{name}")
    for keyword in ("items", "additionalProperties"):
        yield from inside(schema.get(keyword), f"{at}/{keyword}")
    for index, inner in enumerate(schema.get("allOf", [])):
        yield from inside(inner, f"{at}/allOf/{index}")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_written_as_explain_needs_it(name: str):
    schema = json.loads((OURS / name).read_text())
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == name
    known = {"$schema", "$id", "$ref", "$defs", "$comment", "title", "description", "examples", "x-hint", "type", "properties"}
    known |= {"required", "items", "minItems", "additionalProperties", "enum", "minimum", "maximum", "pattern", "allOf"}
    for at, inner in inside(schema):
        assert set(inner) <= known, f"{at}: explain.py has no words for a keyword"
        for prop, value in inner.get("properties", {}).items():
            assert len(value.get("description", "")) > 3, f"{at}/{prop} is not described"
        keywords = [keyword for keyword in inner if keyword in ("type", "properties", "required", "enum", "minimum", "pattern")]
        assert keywords == sorted(keywords, key=["type", "properties", "required", "enum", "minimum", "pattern"].index)
        assert set(inner.get("required", ())) <= set(inner.get("properties", ()))
        if name == "config.json":
            assert ("pattern" in inner) <= ("title" in inner), f"{at}: say what is expected"
            assert ("minimum" in inner) == ("maximum" in inner), at
            assert inner.get("minItems", 1) == 1, at


@pytest.mark.parametrize("name", NAMES)
def test_every_definition_is_used_and_every_reference_leads_somewhere(name: str):
    schema = json.loads((OURS / name).read_text())
    config_definitions = json.loads((OURS / "config.json").read_text())["$defs"]
    used = set()
    for _, inner in inside(schema):
        if "$ref" in inner:
            document, _, definition = inner["$ref"].partition("#/$defs/")
            assert definition in (config_definitions if document == "config.json" else schema["$defs"])
            used.add(definition)
    assert set(schema.get("$defs", ())) <= used


def test_the_parser_knows_every_property_and_the_schema_knows_every_field():
    """A field of oci/ that the schema lacks, or the other way about, is one that somebody would ignore."""
    document = full()
    found = as_json(config.config(document, ""))
    assert set(nodes(found)) - set(nodes(document)) == set(), "the schema does not know these"
    assert set(nodes(document)) - set(nodes(found)) == set(), "the parser does not know these"
    assert found == document


@needs_shared
def test_every_linux_property_of_the_specification_is_there():
    """Two stay out: a command line and a user by name are for Windows."""
    found = {"/process/commandLine", "/process/user/username"}
    for place in nodes(full()):
        found.add("".join(f"/{step}" for step in place if not isinstance(step, int)).replace("/a/", "/*/"))
    for name, key in (("config-schema.json", ""), ("config-linux.json", "linux")):
        for prop in properties(name, json.loads((THEIRS / name).read_text()).get(key, {}) if key else None):
            assert prop in found, f"{name}: {prop}"


OTHER_PLATFORMS = ("solaris", "windows", "vm", "zos", "freebsd")


def properties(name: str, schema: dict | None = None, at: str = ""):
    """Yield the pointer of each property of the specification's schema in file NAME, other platforms' left out."""
    if schema is None:
        schema = json.loads((THEIRS / name).read_text())
    at = "/linux" if name == "config-linux.json" and not at else at
    if "$ref" in schema:
        other, _, steps = schema["$ref"].partition("#/")
        inner = json.loads((THEIRS / (other or name)).read_text())
        for step in steps.split("/"):
            inner = inner[step]
        yield from properties(other or name, inner, at or "/")
    for prop, inner in schema.get("properties", {}).items():
        if prop not in OTHER_PLATFORMS:
            yield f"{at}/{prop}"
            yield from properties(name, inner, f"{at}/{prop}")
    for inner in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        yield from properties(name, inner, at)
    if "items" in schema:
        yield from properties(name, schema["items"], at)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from properties(name, schema["additionalProperties"], f"{at}/*")


def samples(kind: str):
    """Return the specification's samples of KIND that concern Linux, with what is said of each."""
    found = [
        pytest.param(path, path.parent.name == "good", id=f"{path.parent.name}/{path.stem}")
        for path in sorted((THEIRS / "test" / kind).glob("*/*.json"))
        if not path.name.startswith(("freebsd-", "zos-"))
    ]
    return found or [pytest.param(THEIRS, None, marks=needs_shared)]


@pytest.mark.parametrize(("path", "good"), samples("config"))
def test_the_specification_s_configs(path, good):
    text = path.read_bytes()
    if path.name == "spec-example.json":  # older than what it shows; runtimes may refuse that, and this one does
        text = text.replace(b'"0.5.0-dev"', b'"1.0.0"')
    refused = refusal(parsing.parse, text)
    assert (refused is None) == good, refused
    try:
        document = json.loads(text)
    except ValueError:
        assert "invalid JSON" in str(refused)
        return
    assert (explain.violations(document) == ()) == good
    assert (pointers(theirs(PARTS["config"][0]).iter_errors(document)) == set()) == good


@pytest.mark.parametrize("kind", ["state", "features"])
@needs_shared
def test_the_specification_s_other_documents(kind: str):
    validators = (ours(f"{kind}.json"), theirs(f"{kind}-schema.json"))
    count = 0
    for parameter in samples(kind):
        path, good = parameter.values
        if path.name != "invalid-json.json":
            count += 1
            for validator in validators:
                assert (pointers(validator.iter_errors(json.loads(path.read_bytes()))) == set()) == good, path
    assert count


@needs_shared
def test_what_engines_write():
    """Each is right: for the parser, for our schema, and but for two habits of theirs for the specification's."""
    habits = {"/linux/rootfsPropagation", "/linux/devices/0/fileMode"}
    found = recorded()
    assert {part for part, _, _ in found} == set(PARTS)
    for part, name, document in found:
        assert explain.violations(document, part) == (), name
        assert pointers(theirs(PARTS[part][0]).iter_errors(document)) <= habits, name


def test_what_pyrunc_writes():
    """The default configurations, the example's, and the document of features."""
    example = json.loads((CHECKOUT / "examples/hello/config.json").read_text())
    for document in (example, default.default_config(), default.default_config(unified=True), default.default_config(1000, 1000)):
        assert explain.violations(document) == ()
        assert pointers(ours("config.json").iter_errors(document)) == set()
    validators = [ours("features.json")] + ([theirs("features-schema.json")] if THEIRS.is_dir() else [])
    for validator in validators:
        assert pointers(validator.iter_errors(features.features())) == set()


def test_state_and_features_refuse_what_is_wrong():
    state = {"ociVersion": "1.3.0", "id": "a", "status": "paused", "pid": 1, "bundle": "/b", "annotations": {"a": "b"}}
    assert pointers(ours("state.json").iter_errors(state)) == set()
    wrong = {**state, "status": "asleep", "pid": -1, "annotations": {"a": 1}, "bundle": None}
    assert pointers(ours("state.json").iter_errors(wrong)) == {"/status", "/pid", "/annotations/a", "/bundle"}
    wrong = {"ociVersionMin": "1.0.0", "linux": {"seccomp": {"actions": ["SCMP_ACT_NONE"]}, "cgroup": {"v1": "yes"}}}
    found = {"/ociVersionMax", "/linux/seccomp/actions/0", "/linux/cgroup/v1"}
    assert pointers(ours("features.json").iter_errors(wrong)) == found
