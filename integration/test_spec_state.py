"""The state document (runtime.md, "State"), of a container in each state and as hooks get it."""

from __future__ import annotations

import json

import pytest

STRINGS = ("ociVersion", "id", "status", "bundle")


def check(document, name, status, bundle):
    """Check DOCUMENT as the specification's schema does, and that it is about NAME."""
    assert all(type(document[key]) is str for key in STRINGS)
    assert (document["id"], document["status"], document["bundle"]) == (name, status, str(bundle.path))
    assert all(part.isdigit() for part in document["ociVersion"].split("-")[0].split("."))
    assert type(document.get("pid", 0)) is int
    assert document.get("pid", 0) >= 0
    notes = document.get("annotations") or {}
    assert all(type(key) is type(value) is str for key, value in notes.items())


@pytest.mark.parametrize("annotations", [None, {}, {"com.example.key": "", "b": "two"}])
def test_in_every_state(runtime, bundle, annotations):
    b = bundle()
    if annotations is not None:
        b.config["annotations"] = annotations
    name = runtime.create(b)
    seen = []
    for verb in ("start", "pause", "resume", "kill"):
        status = {"start": "created", "pause": "running", "resume": "paused", "kill": "running"}[verb]
        document = runtime.state(name)
        check(document, name, status, b)
        assert document.get("annotations", {}).items() >= (annotations or {}).items()
        seen.append(document["pid"])
        runtime(verb, name, *(["KILL"] if verb == "kill" else []))
    assert len(set(seen)) == 1
    assert seen[0] > 0
    runtime.wait(name, "stopped")
    check(runtime.state(name), name, "stopped", b)


def test_of_a_container_that_does_not_exist(runtime):
    assert "does not exist" in runtime.refuses("state", runtime.new_id())


def test_each_runtime_root_has_its_own_ids(runtime, bundle, tmp_path):
    """Unique on this host means: within what one --root knows; the second may not take the first's place."""
    b = bundle()
    name = runtime.start(b)
    assert "already exists" in runtime.refuses("create", "--bundle", str(b.path), name)
    assert runtime.status(name) == "running"


def test_hooks_see_the_pid_of_their_own_namespace(runtime, bundle, tmp_path):
    b = bundle()
    out = tmp_path / "out"
    out.mkdir()
    b.mount("/out", "bind", str(out), "bind")
    kinds = {"createRuntime": out, "createContainer": out, "startContainer": "/out", "poststart": out}
    b.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{where}/{kind}"], "env": ["PATH=/bin:/usr/bin"]}]
        for kind, where in kinds.items()
    }
    name = runtime.start(b)
    pids = {kind: json.loads((out / kind).read_text())["pid"] for kind in kinds}
    pid = runtime.pid(name)
    if runtime.name == "runc":  # 1.1 sends the host's pid into the container too
        del pids["createContainer"], pids["startContainer"]
    assert pids == {kind: 1 if "Container" in kind else pid for kind in pids}
