"""Documents that JSON's readers disagree about, or fall over: each gets one clear error, and where it is."""

from __future__ import annotations

import json
import subprocess

import pytest

from integration.security.naive import caught

DEEP = 100_000
# What is done to the text of a config.json, and the place that the error must name ("": it has none).
CHANGES = {
    "NaN": ('"oomScoreAdj": 0', '"oomScoreAdj": NaN', "NaN is not JSON"),
    "infinity": ('"oomScoreAdj": 0', '"oomScoreAdj": -Infinity', "Infinity is not JSON"),
    "twice the same key": ('"oomScoreAdj": 0', '"oomScoreAdj": 0, "oomScoreAdj": 1', "oomScoreAdj"),
    "a lone surrogate": ('"oomScoreAdj": 0', '"apparmorProfile": "\\ud800"', ""),
    "a fraction": ('"oomScoreAdj": 0', '"oomScoreAdj": 3.0', "/process/oomScoreAdj"),
    "an exponent": ('"oomScoreAdj": 0', '"oomScoreAdj": 1e2', "/process/oomScoreAdj"),
    "a truth": ('"oomScoreAdj": 0', '"oomScoreAdj": true', "/process/oomScoreAdj"),
    "five thousand digits": ('"oomScoreAdj": 0', '"oomScoreAdj": ' + "9" * 5000, ""),
    "deep arrays": ('"oomScoreAdj": 0', '"x": ' + "[" * DEEP + "]" * DEEP, ""),
    "deep objects": ('"oomScoreAdj": 0', '"x": ' + '{"x":' * DEEP + "0" + "}" * DEEP, ""),
    "a NUL": ('"oomScoreAdj": 0', '"apparmorProfile": "a\\u0000b"', ""),
    "a second document": ('"end": 0}', '"end": 0} {}', ""),
    "no document": ('"end": 0}', "", ""),
}


def changed(b, how: str) -> str:
    """Return the text of B's configuration with the change HOW."""
    b.config["process"]["oomScoreAdj"] = 0
    b.config["end"] = 0
    old, new, _ = CHANGES[how]
    text = json.dumps(b.config)
    assert old in text
    return text.replace(old, new) if new else ""


def told(done, where: str) -> None:
    """Check that what was DONE is one line of words that names WHERE, and neither a traceback nor a success."""
    assert done.returncode not in (0, 139, 134)
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert where in done.stderr


@pytest.mark.pyrunc_only("reads some of them otherwise, and all in other words")
@pytest.mark.parametrize("how", CHANGES)
def test_a_document_that_is_none(runtime, bundle, how):
    b = bundle("true")
    text = changed(b, how)
    name = runtime.prepare(b)
    (b.path / "config.json").write_text(text)
    for words in (("run", "--bundle", str(b.path), name), ("plan", str(b.path))):
        told(runtime(*words, check=False), CHANGES[how][2])


@pytest.mark.pyrunc_only("reads some of them otherwise, and all in other words")
@pytest.mark.parametrize("how", ["NaN", "twice the same key", "a fraction", "five thousand digits", "deep arrays"])
def test_a_document_for_exec_and_update(runtime, bundle, tmp_path, how):
    """Of a process, and of resources from standard input."""
    _, new, _ = CHANGES[how]
    value = new.partition(": ")[2]
    name = runtime.start(bundle())
    process = tmp_path / "process.json"
    process.write_text('{"args": ["true"], "cwd": "/", "oomScoreAdj": ' + value + "}")
    told(runtime("exec", "--process", str(process), name, check=False), "")
    told(runtime("update", "--resources", "-", name, input='{"pids": {"limit": ' + value.replace("oomScoreAdj", "limit") + "}}", check=False), "")


@pytest.mark.parametrize("how", ["NaN", "twice the same key", "five thousand digits", "deep arrays"])
def test_a_document_that_is_none_bites(bundle, how):
    """What Python's own reader makes of them: it takes them, or ends in a traceback."""
    text = changed(bundle("true"), how)
    code = "import json, sys; json.load(sys.stdin)"
    done = subprocess.run(["/usr/bin/python3", "-c", code], input=text, text=True, capture_output=True, check=False)
    with caught():
        told(done, CHANGES[how][2])
