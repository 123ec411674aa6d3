"""Names that lead elsewhere, or mean more than they say: ids of containers, annotations."""

from __future__ import annotations

import json
import os

import pytest

from integration.security.naive import caught

BAD_IDS = ("../escape", "a/b", ".", "..", "a b", "a\nb", "", "/absolute", "x" * 1025, "\u00e9", "a\tb", "%2e%2e", "a;b", "$HOME")


def nothing_new(directory, before: list[str]) -> None:
    """Check that DIRECTORY has the entries that it had BEFORE."""
    assert sorted(os.listdir(directory)) == before


@pytest.mark.parametrize("name", BAD_IDS)
def test_a_name_that_leads_elsewhere(runtime, bundle, name):
    b = bundle("true")
    b.save()
    before = sorted(os.listdir(runtime.directory))
    done = runtime("create", "--bundle", str(b.path), "--", name, check=False)
    assert done.returncode != 0
    nothing_new(runtime.directory, before)
    assert os.listdir(runtime.root) in ([], [".seccomp"])


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete", "exec", "pause", "resume", "ps", "update", "events"])
def test_no_command_takes_such_a_name(runtime, verb):
    """Not even where there is something of that name: a directory of the host's is no container."""
    (runtime.directory / "outside").mkdir()
    words = {"exec": ("true",), "kill": ("KILL",)}.get(verb, ())
    for name in ("../outside", "..", f"{runtime.root}/../outside"):
        flags = ("--force",) if verb == "delete" else ()
        done = runtime(verb, *flags, "--", name, *words, check=False)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
    assert (runtime.directory / "outside").is_dir()


def test_a_name_that_leads_elsewhere_bites(tmp_path):
    (tmp_path / "state").mkdir()
    before = sorted(os.listdir(tmp_path))
    os.mkdir(f"{tmp_path}/state/../escape")
    with caught():
        nothing_new(tmp_path, before)


# Annotations that become properties of a unit (CVE-2024-3154)

PREFIX = "org.systemd.property."
BAD = {
    "a type that it has not": (f"{PREFIX}CPUQuotaPerSecUSec", "not a value"),
    "two values": (f"{PREFIX}TasksMax", "uint64 1 uint64 2"),
    "what is the runtime's to say": (f"{PREFIX}Slice", "'host.slice'"),
    "a unit of its own": (f"{PREFIX}Delegate", "false"),
    "a name that is none": (f"{PREFIX}Exec Start", "'x'"),
    "a name with a path": (f"{PREFIX}../x", "'x'"),
    "no name": (PREFIX, "'x'"),
}


def told_of(document: dict) -> None:
    """Check that DOCUMENT, of `features`, warns of annotations that change what the host does."""
    unsafe = document["potentiallyUnsafeConfigAnnotations"]
    assert PREFIX in unsafe
    assert "org.criu.config" in unsafe


@pytest.mark.pyrunc_only("1.1 has no features of that name")
def test_what_annotations_can_do_is_told(runtime):
    told_of(json.loads(runtime("features").stdout))


def test_what_annotations_can_do_is_told_bites():
    with caught():
        told_of({"potentiallyUnsafeConfigAnnotations": []})


def turned_away(said: str, key: str) -> None:
    """Check that what was SAID names the annotation KEY."""
    assert f"/annotations/{key.replace('~', '~0').replace('/', '~1')}" in said


@pytest.mark.pyrunc_only("fails later, in systemd's words")
@pytest.mark.parametrize("how", BAD)
def test_an_annotation_that_is_no_property(runtime, bundle, how):
    """Refused from the configuration alone: systemd is not asked, and need not be there."""
    key, value = BAD[how]
    b = bundle("true")
    b.config["annotations"] = {key: value}
    b.linux["cgroupsPath"] = "system.slice:pyrunc:test"
    b.save()
    turned_away(runtime.refuses("--systemd-cgroup", "create", "--bundle", str(b.path), runtime.new_id()), key)


def test_an_annotation_that_is_no_property_bites():
    """Who splits at the prefix, and passes on what is left, refuses nothing."""
    key, value = BAD["what is the runtime's to say"]
    properties = {key.removeprefix(PREFIX): value}
    said = "" if properties else f"/annotations/{key}"
    with caught():
        turned_away(said, key)
