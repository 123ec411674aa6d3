"""`pyrunc install docker`: one document, of which nothing but our entry changes, to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.install.edit import diff
from tests.engine_files import FILES, PROGRAM, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


DAEMON = """{
  "log-driver": "journald",

  "runtimes": {
    "kata": { "path": "/usr/bin/kata" }
  },
  "features": {"buildkit": true}   }
"""


def test_docker_keeps_what_is_there(machine: Machine):
    machine.put(FILES["docker"], DAEMON)
    edit = machine.add("docker", default=True)
    assert diff(edit).splitlines()[2:] == [
        "@@ -2,6 +2,10 @@",
        '   "log-driver": "journald",',
        " ",
        '   "runtimes": {',
        '-    "kata": { "path": "/usr/bin/kata" }',
        '+    "kata": { "path": "/usr/bin/kata" },',
        '+    "pyrunc": {',
        f'+      "path": "{PROGRAM}"',
        "+    }",
        "   },",
        '-  "features": {"buildkit": true}   }',
        '+  "features": {"buildkit": true},',
        '+  "default-runtime": "pyrunc"   }',
    ]
    machine.remove("docker")
    assert machine.text(FILES["docker"]) == DAEMON


@pytest.mark.parametrize(
    "text",
    ["{}", "{ }\n", '{"a": 1}', '{\n\t"a": {}\n}', '{\n  "runtimes": {}\n}\n', '\n\n{"a":\n[1]}']
    + ['{\r\n    "a": "{\\"}"\r\n}\r\n', '{"runtimes": {"x": {"path": "/x"}}, "z": 0}']
    + ['{\n "runtimes": {\n  "x": {}\n }}', '{\n  "runtimes": { }, "a": 0}'],
)
def test_docker_round_trips(machine: Machine, text: str):
    machine.put(FILES["docker"], text)
    machine.add("docker", default=True)
    assert not machine.add("docker").changes
    machine.remove("docker")
    assert machine.text(FILES["docker"]) == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5).filter(lambda text: "\0" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcde{},:"), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.dictionaries(st.sampled_from(["kata", "youki", "z"]), st.just({"path": "/x"}), min_size=1, max_size=2)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "hosts"]), VALUES, max_size=3),
    ENTRIES | st.none(),
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.booleans(),
)
def test_docker_any_document(tmp_path_factory, document: dict, runtimes: dict | None, indent: object, default: bool):
    """What comes out means the same with our entry more, and is to the byte what it was when that is taken back."""
    machine = Machine(tmp_path_factory.mktemp("docker"))
    if runtimes is not None:
        document = {"first": 1, "runtimes": runtimes, **document}
    text = json.dumps(document, indent=indent)
    machine.put(FILES["docker"], text)
    machine.add("docker", default=default)
    expected = {**document, "runtimes": {**(runtimes or {}), "pyrunc": {"path": PROGRAM}}}
    assert json.loads(machine.text(FILES["docker"])) == expected | ({"default-runtime": "pyrunc"} if default else {})
    machine.remove("docker")
    assert machine.text(FILES["docker"]) == text


BROKEN = "/etc/docker/daemon.json: invalid JSON at"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1,\n  b}', f"{BROKEN} line 3 column 3: Expecting property name enclosed in double quotes"),
        ("", f"{BROKEN} line 1 column 1: Expecting value"),
        ("[]", "/etc/docker/daemon.json: expected an object"),
        ('{"runtimes": []}', "/etc/docker/daemon.json: runtimes: expected an object"),
        ('{"runtimes": {}, "runtimes": {}}', '/etc/docker/daemon.json: key "runtimes" stands twice in one object'),
        (
            '{"runtimes": {"pyrunc": {"path": "/x"}}}',
            '/etc/docker/daemon.json says runtimes.pyrunc is {"path": "/x"} already',
        ),
        ('{"default-runtime": "kata"}', '/etc/docker/daemon.json says default-runtime is "kata" already'),
    ],
)
def test_docker_refuses(machine: Machine, text: str, message: str):
    machine.put(FILES["docker"], text)
    assert machine.refuses("docker", default=True).message == message


def test_docker_entries_of_ours_written_by_hand(machine: Machine):
    """They are taken for what they are; and taken out, if asked to, wherever they stand."""
    machine.put(FILES["docker"], f'{{"runtimes": {{"pyrunc": {{"path": "{PROGRAM}"}}, "x": {{}}}}, "a": 1}}')
    assert not machine.add("docker").changes
    machine.remove("docker")
    assert machine.text(FILES["docker"]) == '{"runtimes": {"x": {}}, "a": 1}'
