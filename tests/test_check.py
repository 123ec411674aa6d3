"""`pyrunc check`: all that is wrong, each at its place, and what the host lacks; nothing of it needs root."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pyrunc.cli.main import main
from pyrunc.container.verbs.check import FINE, INVALID, NOT_HERE, check
from tests.elf import program

GOOD = {
    "ociVersion": "1.3.0",
    "process": {"cwd": "/", "args": ["/program"]},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc"}],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
}
RELATIVE = {"destination": "/a", "type": "tmpfs", "options": ["bind", "x=1", "ro", "y=2"]}
IN_PROC = {"destination": "/proc/x", "source": "/", "options": ["bind"]}
UNKNOWN = {"destination": "/b", "type": "no-such-fs"}


@pytest.fixture
def bundle(tmp_path: Path):
    """Return a function that writes a bundle."""
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/program").write_bytes(program())
    (tmp_path / "rootfs/program").chmod(0o755)

    def write(document: object, **changes: object) -> str:
        text = document if isinstance(document, str) else json.dumps({**document, **changes})  # type: ignore[dict-item]
        (tmp_path / "config.json").write_text(text)
        return str(tmp_path)

    return write


def test_fine(bundle):
    assert check(bundle(GOOD)).status == FINE


def test_the_example(checkout: Path):
    report = check(str(checkout / "examples/hello"))
    assert report.violations == ()


@pytest.mark.parametrize("text", ["", "{", '{"a": 1, "a": 2}', "[]", "null"])
def test_no_document(bundle, text):
    report = check(bundle(text))
    assert report.status == INVALID
    assert len(report.violations) == 1


def test_no_bundle(tmp_path: Path):
    report = check(str(tmp_path / "nowhere"))
    assert report.status == INVALID
    assert "no such file or directory" in report.violations[0].message


def test_every_violation_of_structure_with_what_was_found(bundle):
    report = check(bundle(GOOD, hostname=5, process={"args": ["a"], "user": {"uid": -1}}))
    found = {each.pointer: each.found for each in report.violations}
    assert found == {"/hostname": 5, "/process/cwd": None, "/process/user/uid": -1}
    assert report.status == INVALID


def test_every_violation_of_meaning_at_its_place_in_the_whole_document(bundle):
    """What is taken out on the way does not move what follows."""
    linux = {**GOOD["linux"], "sysctl": {"vm.swappiness": "1", "net.x": "2"}}
    report = check(bundle(GOOD, mounts=[RELATIVE, IN_PROC, IN_PROC, UNKNOWN], linux=linux))
    assert [each.pointer for each in report.violations] == [
        "/mounts/0/options/1",
        "/mounts/0/options/3",
        "/mounts/1/destination",
        "/mounts/2/destination",
        "/linux/sysctl/vm.swappiness",
        "/linux/sysctl/net.x",
    ]
    assert [each.found for each in report.violations[:2]] == ["x=1", "y=2"]
    assert [each.pointer for each in report.lacking] == ["/mounts/3/type"]


def test_a_missing_rootfs_is_one_more(bundle):
    report = check(bundle(GOOD, root={"path": "nowhere"}, mounts=[IN_PROC]))
    assert [each.pointer for each in report.violations] == ["/mounts/0/destination", "/root/path"]


def test_what_the_host_lacks_is_no_violation(bundle):
    report = check(bundle(GOOD, mounts=[UNKNOWN]))
    assert (report.violations, report.status) == ((), NOT_HERE)
    assert report.lacking[0].message == "this kernel does not know the file system no-such-fs"


def test_nothing_is_changed(bundle, tmp_path: Path):
    path = bundle(GOOD, mounts=[IN_PROC])
    before = sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(tmp_path))
    check(path)
    assert sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(tmp_path)) == before


@pytest.mark.parametrize("depth", [60, 300, 600, 900, 100_000])
@pytest.mark.parametrize("place", ["annotations/a", "hostname", "mounts", "process/args/0", "linux/sysctl/x", ""])
def test_what_is_nested_deeply(bundle, capfd, place, depth):
    """At its pointer, as `create` says it, or refused as a whole."""
    steps = [int(step) if step.isdigit() else step for step in place.split("/")]
    around = "".join("[" if isinstance(step, int) else f'{{"{step}": ' for step in steps[1:])
    behind = "".join("]" if isinstance(step, int) else "}" for step in reversed(steps[1:]))
    document = {key: value for key, value in {**GOOD, "unknown": 1}.items() if key != steps[0]}
    text = json.dumps(document)[:-1] + f', "{steps[0]}": {around}{"[" * depth}{"]" * depth}{behind}}}'
    status = main(["check", bundle(text)])
    said = capfd.readouterr()
    assert (said.err, main(["check", "--json", bundle(text)])) == ("", status)
    found = json.loads(capfd.readouterr().out)["violations"]
    if depth > 1000:
        assert [each["message"] for each in found] == ["config.json: nested too deeply"]
    elif place:
        assert status == INVALID
        assert f"/{place}" in [each["pointer"] for each in found] or found[0]["pointer"].startswith(f"/{steps[0]}")
    else:  # a field that nobody knows
        assert status == FINE


def test_for_a_person_and_for_a_program(bundle, capfd):
    path = bundle(GOOD, mounts=[IN_PROC], hostname="name")
    assert main(["check", path]) == INVALID
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "invalid"
    assert main(["check", "--json", path]) == INVALID
    document = json.loads(capfd.readouterr().out)
    assert document["status"] == "invalid"
    fields = ["found", "hint", "message", "pointer", "severity", "source"]
    assert [sorted(each) for each in document["violations"]] == [fields] * 2
    assert document["lacking"] == []
    assert main(["check", bundle(GOOD)]) == FINE
    assert capfd.readouterr().out == "runs here\n"


def test_unknown_system_calls_are_told_and_fail_nothing(bundle, capfd):
    """Each at its place; those that libseccomp is too old to know are no news."""
    pytest.importorskip("pyseccomp", reason="it knows calls")
    rules = [{"names": ["mkdir", "mseal"], "action": "SCMP_ACT_ERRNO"}, {"names": ["acct", "msael"], "action": "SCMP_ACT_ERRNO"}]
    linux = {**GOOD["linux"], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}}
    path = bundle(GOOD, linux=linux)
    report = check(path)
    assert report.status == FINE
    assert [(each.pointer, each.found) for each in report.warnings] == [("/linux/seccomp/syscalls/1/names/1", "msael")]
    assert main(["check", path]) == FINE
    assert "warning: /linux/seccomp/syscalls/1/names/1: no such system call is known: msael" in capfd.readouterr().out
    assert main(["check", "--json", path]) == FINE
    assert [each["pointer"] for each in json.loads(capfd.readouterr().out)["warnings"]] == ["/linux/seccomp/syscalls/1/names/1"]


@pytest.mark.parametrize("args", [[], [""], None])
def test_a_process_without_a_program(bundle, args):
    """It is the one thing that is wrong, whatever else would be looked at in the program."""
    report = check(bundle(GOOD, process={"cwd": "/", "args": args}))
    assert [each.pointer for each in report.violations] == ["/process/args"]
    assert report.lacking == ()


def test_the_nearest_system_call(bundle):
    pytest.importorskip("pyseccomp", reason="it knows calls")
    rules = [{"names": ["mkdri"], "action": "SCMP_ACT_ERRNO"}]
    linux = {**GOOD["linux"], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}}
    assert [each.hint for each in check(bundle(GOOD, linux=linux)).warnings] == ["it is ignored: did you mean mkdir?"]
