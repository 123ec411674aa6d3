"""Warnings reach a person: on standard error, or in the log; and a log that cannot be written fails nothing."""

from __future__ import annotations

import json

import pytest


def lines(runtime, done):
    """Return the warnings in what a command DONE has said on standard error; of pyrunc's, each is one line of one form."""
    found = [line for line in done.stderr.splitlines() if "warning" in line]
    if runtime.name == "pyrunc":
        assert found == done.stderr.splitlines()
        assert all(line.startswith("pyrunc ") and ": warning: " in line for line in found)
    return found


def with_warning(bundle, *args):
    b = bundle(*args)
    b.process["capabilities"]["bounding"].append("CAP_NONSENSE")
    return b


def test_an_unknown_capability(runtime, bundle):
    done = runtime.run(with_warning(bundle, "echo", "ran"))
    assert done.stdout == "ran\n"
    (line,) = lines(runtime, done)
    assert "CAP_NONSENSE" in line


def test_an_unknown_capability_of_exec(runtime, bundle, tmp_path):
    b = bundle()
    name = runtime.start(b)
    process = {**with_warning(bundle).process, "args": ["echo", "ran"]}
    (tmp_path / "process.json").write_text(json.dumps(process))
    done = runtime("exec", "--process", str(tmp_path / "process.json"), name)
    assert done.stdout == "ran\n"
    (line,) = lines(runtime, done)
    assert "CAP_NONSENSE" in line


def test_an_ambient_capability_that_cannot_be(runtime, bundle):
    b = bundle("echo", "ran")
    b.process["capabilities"].update(inheritable=["CAP_KILL"], ambient=["CAP_KILL", "CAP_AUDIT_WRITE"])
    done = runtime.run(b)
    assert done.stdout == "ran\n"
    (line,) = lines(runtime, done)
    assert "can't raise ambient capability CAP_AUDIT_WRITE: " in line


def test_a_failing_poststop_hook(runtime, bundle):
    b = bundle("echo", "ran")
    b.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "printf 'no\\nthis' >&2; exit 7"]}]}
    done = runtime.run(b)
    assert done.stdout == "ran\n"
    assert "poststop hook #0" in done.stderr
    assert "exit status 7" in done.stderr
    if runtime.name == "pyrunc":
        (line,) = lines(runtime, done)
        assert "no\\nthis" in line


@pytest.mark.pyrunc_only("stops at the first that fails")
def test_a_poststop_hook_that_is_not_there_and_one_after_it(runtime, bundle, tmp_path):
    b = bundle()
    b.config["hooks"] = {"poststop": [{"path": "/no/such"}, {"path": "/bin/touch", "args": ["touch", str(tmp_path / "after")]}]}
    name = runtime.start(b)
    runtime.end(name)
    done = runtime("delete", name)
    assert "/no/such" in done.stderr
    assert (tmp_path / "after").exists()
    assert not (runtime.root / name).exists()


def test_what_list_cannot_read(runtime, bundle):
    whole, damaged = runtime.start(bundle()), runtime.start(bundle())
    (file,) = (runtime.root / damaged).glob("state*")
    before = file.read_text()
    file.write_text("x")
    try:
        done = runtime("list", "--quiet")
        assert whole in done.stdout.split()
        assert any(damaged in line for line in done.stderr.splitlines()), done.stderr
    finally:
        file.write_text(before)


def test_with_a_log_they_are_there_and_nowhere_else(runtime, bundle, tmp_path):
    b = with_warning(bundle, "echo", "ran")
    name = runtime.prepare(b)
    log = tmp_path / "log"
    done = runtime("--log", str(log), "--log-format", "json", "run", "--bundle", str(b.path), name)
    assert (done.stdout, done.stderr) == ("ran\n", "")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["level"] for row in rows] == ["warning"]
    assert "CAP_NONSENSE" in rows[0]["msg"]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_full_log_fails_no_container_and_skips_no_hook(runtime, bundle, tmp_path, kind):
    b = with_warning(bundle, "echo", "ran")
    after = [{"path": "/bin/touch", "args": ["touch", str(tmp_path / name)]} for name in ("one", "two")]
    failing = [] if runtime.name == "runc" else [{"path": "/bin/false"}]  # it stops at the first that fails
    b.config["hooks"] = {"poststop": [*failing, after[0], *failing, after[1]]}
    name = runtime.prepare(b)
    done = runtime("--log", "/dev/full", "--log-format", kind, "run", "--bundle", str(b.path), name)
    assert done.stdout == "ran\n"
    assert "no space left on device" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name in ("one", "two")) == ["one", "two"]
    assert not (runtime.root / name).exists()


def test_a_full_log_changes_no_error(runtime, bundle):
    b = with_warning(bundle, "/no/such")
    name = runtime.prepare(b)
    done = runtime("--log", "/dev/full", "--debug", "run", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "/no/such" in done.stderr
    assert "no such file or directory" in done.stderr
    assert not (runtime.root / name).exists()
