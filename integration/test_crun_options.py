"""Options of crun's: --cgroup-manager, kill --regex, delete --regex (crun(1), docs/crun.md)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.harness.leaks import cgroup_directories
from integration.looking import mapped

pytestmark = pytest.mark.cruns("runc has no such options")
ours = pytest.mark.pyrunc_only("crun does otherwise, see docs/crun.md")
DISABLED = ("--cgroup-manager", "disabled")


def own_cgroups():
    return Path("/proc/self/cgroup").read_text()


def without(runtime, b, verb="create", *flags):
    """Create or run B with no cgroups; return its id."""
    name = runtime.prepare(b)
    streams = {} if verb == "run" else {"stdout": None, "stderr": None}
    done = runtime(*DISABLED, verb, "--bundle", str(b.path), *flags, name, **streams)
    return done.stdout if verb == "run" else name


@pytest.mark.parametrize("user", [False, True])
def test_without_cgroups_it_stays_in_the_callers(runtime, bundle, user):
    b = bundle()
    name = without(runtime, mapped(b) if user else b)
    assert not cgroup_directories(name)
    assert Path(f"/proc/{runtime.pid(name)}/cgroup").read_text() == own_cgroups()
    runtime("start", name)
    assert Path(f"/proc/{runtime.pid(name)}/cgroup").read_text() == own_cgroups()
    assert runtime("exec", name, "echo", "here").stdout == "here\n"
    assert runtime.status(name) == "running"
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    runtime("delete", name)


def test_run_does_too(runtime, bundle):
    assert without(runtime, bundle("cat", "/proc/1/cgroup"), "run") == own_cgroups()


@ours
@pytest.mark.parametrize(
    ("limits", "at"),
    [
        ({"memory": {"limit": 100 << 20}}, "/linux/resources/memory/limit"),
        ({"pids": {"limit": 10}}, "/linux/resources/pids/limit"),
    ],
)
def test_what_cannot_be_limited_is_refused(runtime, bundle, limits, at):
    b = bundle()
    b.linux["resources"] = limits
    name = runtime.prepare(b)
    said = runtime.refuses(*DISABLED, "create", "--bundle", str(b.path), name)
    assert "the container has no cgroups" in said
    assert f"at {at};" in said
    assert not (runtime.root / name).exists()


@ours
@pytest.mark.parametrize("command", ["pause", "events", "update"])
def test_what_works_by_cgroups_says_so(runtime, bundle, command):
    name = without(runtime, bundle())
    more = {"events": ("--stats",), "update": ("--pids-limit", "5")}.get(command, ())
    assert "cgroups not configured for container" in runtime.refuses(command, *more, name)


@ours
def test_a_cgroup_mount_shows_the_callers_own(runtime, bundle):
    b = bundle("ls", "/sys/fs/cgroup")
    b.mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro")
    assert without(runtime, b, "run")


@ours
def test_two_managers(runtime, bundle):
    for manager in ("disabled", "cgroupfs"):
        said = runtime.refuses("--systemd-cgroup", "--cgroup-manager", manager, "run", "x")
        assert "cannot go together" in said
    assert 'invalid value "sysmted"' in runtime.refuses("--cgroup-manager", "sysmted", "run", "x")
    assert "restore needs cgroups" in runtime.refuses(*DISABLED, "restore", "x", status=1)


def test_cgroupfs_is_the_default(runtime, bundle):
    b = bundle()
    name = runtime.prepare(b)
    runtime("--cgroup-manager", "cgroupfs", "create", "--bundle", str(b.path), name, stdout=None, stderr=None)
    assert cgroup_directories(name)


def three(runtime, bundle, *more):
    """Make containers with the ids of this test that end with -a, -b and -c; return what their ids begin with."""
    first = runtime.new_id()
    for letter in "abc":
        b = bundle()
        name = f"{first}-{letter}"
        runtime.ids.append(name)
        b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
        b.save()
        runtime("create", "--bundle", str(b.path), name, stdout=None, stderr=None)
        if letter not in more:
            runtime("start", name)
    return first


def ids(runtime):
    return sorted(runtime("list", "-q").stdout.split())


def test_all_that_match_are_killed_and_deleted(runtime, bundle):
    first = three(runtime, bundle)
    runtime("kill", "--regex", f"^{first}-[ab]$", "KILL")
    for letter in "ab":
        runtime.wait(f"{first}-{letter}", "stopped")
    assert runtime.status(f"{first}-c") == "running"
    runtime("delete", "--regex", "[^-]-a$")
    assert ids(runtime) == [f"{first}-b", f"{first}-c"]
    runtime("delete", "--force", "--regex", first)
    assert ids(runtime) == []


@pytest.mark.parametrize("words", [("kill", "--regex", "no-such", "KILL"), ("delete", "--regex", "no-such")])
def test_none_that_match(runtime, bundle, words):
    runtime(*words)


@ours
def test_one_that_fails_keeps_no_other(runtime, bundle):
    """And the status says it: crun 1.28 ends with 0."""
    first = three(runtime, bundle, "b", "c")
    said = runtime.refuses("delete", "--regex", first)
    assert f"{first}-a: cannot delete container {first}-a that is not stopped: running" in said
    assert ids(runtime) == [f"{first}-a"]


@ours
@pytest.mark.parametrize("pattern", ["[", "(", "[[:alpha:]]", "*"])
@pytest.mark.parametrize("verb", ["kill", "delete"])
def test_what_is_no_expression(runtime, bundle, verb, pattern):
    """crun 1.28 ends by a signal."""
    assert f"--regex {pattern}:" in runtime.refuses(verb, "--regex", pattern)


@ours
def test_debug_and_regex(runtime, bundle, tmp_path):
    log = tmp_path / "log"
    runtime("--debug", "--log", str(log), "--log-format", "json", "delete", "--regex", "no-such")
    assert all(json.loads(line) for line in log.read_text().splitlines())
