"""Whatever is in a document, parsing raises nothing but ConfigError, and planning nothing but PyruncError."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.oci import parsing
from pyrunc.plan.text import render
from tests.machines import MACHINES
from tests.planned import DOCUMENTS, plan
from tests.samples import ABSENT, CONFIGS, PROCESSES, UPSTREAM, each

# The specification's samples that are not about Linux, or not about what a Linux runtime reads.
OTHER_SYSTEMS = ("zos-", "freebsd-")
GOOD, BAD = (
    sorted(path for path in (UPSTREAM / kind).glob("*.json") if not path.name.startswith(OTHER_SYSTEMS))
    for kind in ("good", "bad")
)
OLD = {"spec-example.json"}  # says that it is 0.5.0-dev
NO_PROCESS = {"minimal.json", "linux-rdma.json", "linux-netdevice.json"}


@each(CONFIGS)
def test_configs_of_engines_parse(path: Path):
    document = json.loads(path.read_text())
    made = parsing.parse(path.read_bytes())
    assert made.process.args == tuple(document["process"]["args"])
    assert len(made.mounts) == len(document["mounts"])
    assert {n.type for n in made.linux.namespaces} == {n["type"] for n in document["linux"]["namespaces"]}


@each(PROCESSES)
def test_processes_of_engines_parse(path: Path):
    assert parsing.parse_process(path.read_bytes()).args == tuple(json.loads(path.read_text())["args"])


@each(GOOD)
def test_good_samples_of_the_specification(path: Path):
    document = json.loads(path.read_text())
    if path.name in OLD:
        with pytest.raises(ConfigError, match="expected a version"):
            parsing.parse(path.read_bytes())
        document["ociVersion"] = "1.0.0"
    made = parsing.parse(json.dumps(document).encode())
    assert (made.process is None) == (path.name in NO_PROCESS)


@each(BAD)
def test_bad_samples_of_the_specification(path: Path):
    with pytest.raises(ConfigError) as found:
        parsing.parse(path.read_bytes())
    assert found.value.pointer or "invalid JSON" in found.value.message


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 1 << 31, 1 << 32, 1 << 63, -(1 << 63), (1 << 64) - 1, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "/", ".", "..", "../..", "/proc", "/proc/self/fd", "a/b~c", "=", "x" * 5000, "\n", "\x7f", "é", "😀"]),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"": None}),
)
SOURCES = [*CONFIGS, *(path for path in DOCUMENTS if not path.name.startswith("exec"))]


def places(value: object, at: tuple = ()) -> list[tuple]:
    """Return the way to everything inside VALUE."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*at, key))
    return found


def refusal(kind: type[PyruncError], function: Callable, *args: object) -> str:
    """Return the one line that FUNCTION is refused with; no other error than one of KIND passes."""
    try:
        function(*args)
    except kind as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    return said


def mutate(data: st.DataObject, document: dict) -> object:
    """Return DOCUMENT with up to three faults."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        ways = places(document)
        if not ways:
            break
        *way, last = data.draw(st.sampled_from(ways))
        place = document
        for step in way:
            place = place[step]
        how = data.draw(st.sampled_from(("replace", "remove", "double", "swap")))
        if how == "remove":
            del place[last]
        elif how == "double" and isinstance(place, list):
            place.insert(last, copy.deepcopy(place[last]))
        elif how == "swap":
            *other, end = data.draw(st.sampled_from(ways))
            source = document
            try:
                for step in (*other, end):
                    source = source[step]
            except (KeyError, IndexError, TypeError):
                continue
            place[last] = copy.deepcopy(source)
        else:
            place[last] = copy.deepcopy(data.draw(ODD))
    return document


@settings(max_examples=250)
@given(data=st.data())
def test_mutated_configs(data: st.DataObject):
    path = data.draw(st.sampled_from(SOURCES))
    text = json.dumps(mutate(data, json.loads(path.read_text()))).encode()
    host = data.draw(st.sampled_from(sorted(MACHINES)))
    if not refusal(ConfigError, parsing.parse, text):
        refusal(PyruncError, lambda: render(plan(text, MACHINES[host])))


@settings(max_examples=150)
@given(data=st.data())
def test_mutated_bytes(data: st.DataObject):
    """Bytes lost, doubled and changed: the reader of JSON complains, or the parser does."""
    path = data.draw(st.sampled_from(DOCUMENTS))
    text = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(text) - 1))
    end = min(len(text), start + data.draw(st.integers(0, 4)))
    text[start:end] = data.draw(st.binary(max_size=4))
    refusal(ConfigError, parsing.parse, bytes(text))


@ABSENT
def test_there_are_samples():
    assert len(CONFIGS) > 40
    assert len(GOOD) >= 5
    assert len(BAD) >= 4
