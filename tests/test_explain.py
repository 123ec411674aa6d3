"""Where else a document is wrong: all of it, in the parser's words, on one line, and never at the price of the first error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc.errors import PLACE_MAX, PLACES_MAX, ConfigError
from pyrunc.oci import explain, parsing
from pyrunc.oci.explain import Violation
from tests.schemas import CHECKOUT

GOOD = {
    "ociVersion": "1.3.0",
    "process": {"cwd": "/", "args": ["sh"], "env": ["A=b"], "ioPriority": {"class": "IOPRIO_CLASS_BE"}},
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": "mount"}]},
}


def edited(**changes: object) -> dict:
    """Return a copy of GOOD with CHANGES, whose names are pointers with two underscores for a slash."""
    made = json.loads(json.dumps(GOOD))
    for name, value in changes.items():
        *steps, last = name.split("__")
        here = made
        for step in steps:
            here = here.setdefault(step, {})
        here[last] = value
    return made


def refusal(document: object, parse=parsing.parse) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(json.dumps(document).encode())
    return caught.value


def test_every_violation_is_told_where_it_is():
    document = edited(ociVersion="1.9.0", process__args=["sh", 1], root__path=None, linux__namespaces=[{"type": "foo"}])
    assert explain.violations(document) == (
        Violation("/ociVersion", 'expected a version from 1.0.0 to 1.3.x, found "1.9.0"', "this runtime follows 1.3.0", "1.9.0"),
        Violation("/process/args/1", "expected a string, found 1", "put it in quotes", 1),
        Violation("/root/path", "path is missing", "the specification requires it"),
        Violation(
            "/linux/namespaces/0/type",
            'expected one of pid, network, mount, ipc, uts, user, cgroup, time, found "foo"',
            "write one of these",
            "foo",
        ),
    )
    assert str(refusal(document)) == (
        'expected a version from 1.0.0 to 1.3.x, found "1.9.0" (at /ociVersion; this runtime follows 1.3.0)'
        "; 3 more: /process/args/1, /root/path, /linux/namespaces/0/type"
    )
    assert refusal(document).others == ("/process/args/1", "/root/path", "/linux/namespaces/0/type")


def test_one_violation_is_told_as_ever():
    absolute = 'expected an absolute path, found "tmp" (at /process/cwd; let it begin with "/", such as "/tmp")'
    assert str(refusal(edited(process__cwd="tmp"))) == absolute
    assert str(refusal([])) == "expected an object, found an array (write an object there, or remove it)"
    wrong_class = (
        'expected one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE, found "a"'
        " (at /process/ioPriority/class; write one of these)"
    )
    assert str(refusal(edited(process__ioPriority__class="a"))) == wrong_class


def test_what_types_cannot_say_is_told_once_they_are_right():
    document = edited(process__args=[], process__env=["A", "B=", "=c"], hostname="a")
    pointers = [found.pointer for found in explain.violations(document)]
    assert pointers == ["/hostname", "/process/args", "/process/env/0", "/process/env/2"]
    assert str(refusal(document)) == (
        'hostname needs a uts namespace (at /hostname; add {"type": "uts"} to /linux/namespaces)'
        "; 3 more: /process/args, /process/env/0, /process/env/2"
    )
    assert [found.pointer for found in explain.violations({**document, "root": 1})] == ["/root"]


def test_null_is_absent_for_properties_only():
    assert explain.violations(edited(process__user=None, hostname=None, mounts=None, linux__sysctl=None)) == ()
    document = edited(ociVersion=None, annotations={"a/b~c": None}, process__args=[None])
    assert [(found.pointer, found.found) for found in explain.violations(document)] == [
        ("/process/args/0", None),
        ("/annotations/a~1b~0c", None),
        ("/ociVersion", None),
    ]


def test_values_are_found_behind_escaped_names():
    document = edited(annotations={"a/b~c": 7, "~1": [8]})
    assert [(found.pointer, found.found) for found in explain.violations(document)] == [
        ("/annotations/a~1b~0c", 7),
        ("/annotations/~01", [8]),
    ]
    assert explain.value(document, "/annotations/nothing/here") is None
    assert explain.value(document, "/process/args/7") is None


def test_a_process_and_resources():
    document = {"args": "sh", "env": [1]}
    expected = "expected an array, found \"sh\" (at /args; put it in brackets: [ ]); 2 more: /env/0, /cwd"
    assert str(refusal(document, parsing.parse_process)) == expected
    meaning = "args[0] is missing (at /args; name the program to run); 1 more: /env/0"
    assert str(refusal({"cwd": "/", "env": ["A"]}, parsing.parse_process)) == meaning
    found = explain.violations({"memory": {"limit": "1"}, "pids": []}, "resources")
    assert [one.message for one in found] == ['expected an integer, found "1"', "expected an object, found an array"]


def test_the_line_stays_one_and_bounded():
    document = edited(annotations={f"{number}\n{'x' * 150}": number for number in range(1100)})
    text = str(refusal(document))
    assert text.isprintable()
    assert text.endswith(", ...")
    assert f"; {explain.VIOLATIONS_MAX - 1} more: /annotations/1\\nxxx" in text
    assert text.count("/annotations/") == PLACES_MAX + 1
    assert len(text) < 300 + PLACES_MAX * (PLACE_MAX + 20)


def test_a_large_document_is_not_gone_through_again():
    document = edited(hostname=1, domainname=2, annotations={"a": "b" * parsing.EXPLAINED_MAX})
    assert str(refusal(document)) == "expected a string, found 1 (at /hostname; put it in quotes)"


def test_a_nested_document():
    deep: object = []
    for _ in range(800):
        deep = [deep]
    said = "expected a string, found an array (at /hostname; write a string there, or remove it)"
    assert str(refusal(edited(hostname=deep, x=deep))) == said


PARSE = """
import sys
sys.path.insert(0, {runtime!r})
sys.path += {library!r}
{before}
from pyrunc.errors import ConfigError
from pyrunc.oci.parsing import parse
try:
    parse({text!r})
except ConfigError as error:
    print(error)
print("jsonschema" in sys.modules)
"""


def in_a_process(runtime: Path, document: object, before: str = "", library: tuple[str, ...] = tuple(sys.path)) -> list[str]:
    """Return what an isolated interpreter says to DOCUMENT, with pyrunc from RUNTIME and nothing else but LIBRARY."""
    text = json.dumps(document).encode()
    program = PARSE.format(runtime=str(runtime), library=list(library), before=before, text=text)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


TWICE = edited(hostname=1, domainname=2)
FIRST = "expected a string, found 1 (at /hostname; put it in quotes)"


def test_the_library_is_loaded_only_for_a_wrong_document():
    runtime = CHECKOUT / "runtime"
    assert in_a_process(runtime, GOOD) == ["False"]
    assert in_a_process(runtime, TWICE) == [f"{FIRST}; 1 more: /domainname", "True"]


def test_without_the_library_the_first_violation_is_told():
    assert in_a_process(CHECKOUT / "runtime", TWICE, library=()) == [FIRST, "False"]
    assert in_a_process(CHECKOUT / "runtime", TWICE, before="sys.modules['jsonschema'] = None")[0] == FIRST


@pytest.mark.parametrize("schema", [None, "", "{", "[]", "{}", '{"$schema": "x", "$ref": "#/$defs/none"}', '{"type": "no such"}'])
def test_without_the_schema_the_first_violation_is_told(schema, tmp_path: Path):
    """It may be gone, or not be what it was."""
    shutil.copytree(CHECKOUT / "runtime", tmp_path / "runtime", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    if schema is not None:
        (tmp_path / "runtime/pyrunc/schema").mkdir()
        (tmp_path / "runtime/pyrunc/schema/config.json").write_text(schema)
    assert in_a_process(tmp_path / "runtime", TWICE)[0] == FIRST


def test_the_schema_is_found_where_it_is_installed(tmp_path: Path):
    shutil.copytree(CHECKOUT / "runtime", tmp_path / "site", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(CHECKOUT / "spec/schema", tmp_path / "site/pyrunc/schema")
    assert in_a_process(tmp_path / "site", TWICE) == [f"{FIRST}; 1 more: /domainname", "True"]
