"""Hooks as config.md has them: which namespace runs them and finds them, when, in which order, and after a failure."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from integration.harness.failures import fails
from integration.harness.leaks import cgroup_directories
from integration.looking import mountinfo, namespace, refused, script

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
IN_CONTAINER = ("createContainer", "startContainer")
FOUND_IN_CONTAINER = ("startContainer",)


def shell(words, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", words], "env": ["PATH=/usr/bin:/bin"], **more}


@pytest.fixture
def shared(tmp_path):
    """Make a directory that hooks on both sides reach by one name, and whoever they are can write to."""
    path = tmp_path / "shared"
    path.mkdir()
    return path


def with_shared(b, shared):
    b.mount(str(shared), "bind", str(shared), "bind")
    return b


def whole_life(runtime, b):
    """Create, start, end and delete B; return its id, and its namespaces while it ran."""
    name = runtime.start(b)
    found = {kind: namespace(runtime.pid(name), kind) for kind in ("mount", "uts", "network", "pid")}
    runtime.end(name)
    runtime("delete", name)
    return name, found


@pytest.mark.parametrize("kind", KINDS)
def test_the_namespaces_that_a_hook_runs_in(runtime, bundle, shared, kind):
    b = with_shared(bundle(), shared)
    links = " ".join(f"/proc/self/ns/{name}" for name in ("mnt", "uts", "net"))
    b.config["hooks"] = {kind: [shell(f"for n in {links}; do readlink $n; done >{shared}/seen")]}
    _, inside = whole_life(runtime, b)
    outside = {name: namespace("self", name) for name in inside}
    expected = inside if kind in IN_CONTAINER else outside
    assert (shared / "seen").read_text().split() == [expected[name] for name in ("mount", "uts", "network")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_namespace_that_the_path_of_a_hook_is_found_in(runtime, bundle, shared, kind):
    """A program of one name on both sides: each says which it is."""
    b = with_shared(bundle(), shared)
    path = shared.parent / "hook"
    path.write_text(f"#!/bin/sh\necho the host >{shared}/who\n")
    path.chmod(0o755)
    script(b, str(path), f"#!/bin/sh\necho the container >{shared}/who\n")
    b.config["hooks"] = {kind: [{"path": str(path)}]}
    whole_life(runtime, b)
    assert (shared / "who").read_text() == ("the container\n" if kind in FOUND_IN_CONTAINER else "the host\n")


@pytest.mark.parametrize("kind", KINDS)
def test_the_listed_order(runtime, bundle, shared, kind):
    b = with_shared(bundle(), shared)
    b.config["hooks"] = {kind: [shell(f"echo {number} >>{shared}/order") for number in range(5)]}
    whole_life(runtime, b)
    assert (shared / "order").read_text().split() == list("01234")


def test_each_kind_in_its_turn(runtime, bundle, shared):
    if runtime.name == "runc":
        pytest.skip("runc 1.1 runs poststart before the program, and the rest alike")
    b = with_shared(bundle("sh", "-c", f"echo program >>{shared}/order; sleep 1000"), shared)
    words = {kind: f"echo {kind} >>{shared}/order" for kind in KINDS}
    words["poststart"] = f"until grep -q program {shared}/order; do sleep 0.02; done; {words['poststart']}"
    b.config["hooks"] = {kind: [shell(text)] for kind, text in words.items()}
    name = runtime.create(b)
    before = ["prestart", "createRuntime", "createContainer"]
    assert (shared / "order").read_text().split() == before
    runtime("start", name)
    assert (shared / "order").read_text().split() == [*before, "startContainer", "program", "poststart"]
    runtime.end(name)
    runtime("delete", name)
    assert (shared / "order").read_text().split()[-1] == "poststop"


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_before_pivot_root_and_after_the_mounts(runtime, bundle, shared, kind):
    """The container's mounts are made, below the rootfs, and the host's root is still the root."""
    b = with_shared(bundle(), shared)
    pid = "$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')" if kind != "createContainer" else "self"
    b.config["hooks"] = {kind: [shell(f"cat /proc/{pid}/mountinfo >{shared}/mounts")]}
    name = runtime.create(b)
    rows = mountinfo((shared / "mounts").read_text())
    assert rows[f"{b.rootfs}/proc"].type == "proc"
    assert rows[f"{b.rootfs}/dev"].type == "tmpfs"
    host = mountinfo(Path("/proc/self/mountinfo").read_text())
    assert rows["/"].type == host["/"].type
    after = mountinfo(Path(f"/proc/{runtime.pid(name)}/mountinfo").read_text())
    assert after["/proc"].type == "proc"


def test_createcontainer_runs_with_the_hosts_root(runtime, bundle, shared):
    b = with_shared(bundle(), shared)
    (b.rootfs / "only-inside").touch()
    b.config["hooks"] = {"createContainer": [shell(f"ls / >{shared}/root")]}
    runtime.create(b)
    assert "only-inside" not in (shared / "root").read_text().split()


def test_startcontainer_runs_before_the_program(runtime, bundle, shared):
    b = with_shared(bundle("cat", "/made-by-hook"), shared)
    b.config["hooks"] = {"startContainer": [shell("echo made >/made-by-hook")]}
    assert runtime.output(b) == "made\n"


def test_poststop_runs_after_the_deletion_and_before_delete_returns(runtime, bundle, shared):
    b = bundle()
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    words = f"find /sys/fs/cgroup -name {name} >{shared}/cgroups; ls {runtime.root} >{shared}/ids; sleep 0.3; touch {shared}/end"
    b.config["hooks"] = {"poststop": [shell(words)]}
    b.save()
    runtime("create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    runtime("start", name)
    runtime.end(name)
    assert not (shared / "end").exists()
    assert cgroup_directories(name)
    runtime("delete", name)
    assert (shared / "end").exists()
    assert (shared / "cgroups").read_text() == ""
    if runtime.name == "pyrunc":  # runc removes its state after the hooks
        assert name not in (shared / "ids").read_text().split()


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_poststop_runs_after_a_hook_has_failed(runtime, bundle, shared, kind):
    """Step 13 of the lifecycle: what the hooks before it set up can be taken down."""
    b = bundle()
    b.config["hooks"] = {kind: [shell("exit 3")], "poststop": [shell(f"cat >{shared}/state")]}
    fails(runtime, b) if runtime.name == "pyrunc" else runtime.run(b, check=False)
    document = json.loads((shared / "state").read_text())
    assert document["status"] == "stopped"


@pytest.mark.pyrunc_only("words of our own")
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
@pytest.mark.parametrize("hook", [{"path": "/no/such/hook"}, shell("exit 3"), shell("exec sleep 30", timeout=1)])
def test_a_failure_names_its_place_once(runtime, bundle, kind, hook):
    b = bundle("true")
    b.config["hooks"] = {kind: [hook]}
    assert refused(runtime, b).count(f"(at /hooks/{kind}/0") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_on_standard_input(runtime, bundle, shared, kind):
    b = with_shared(bundle(), shared)
    b.config["annotations"] = {"com.example.key": "value"}
    b.config["hooks"] = {kind: [shell(f"cat >{shared}/state")]}
    name, _ = whole_life(runtime, b)
    document = json.loads((shared / "state").read_text())
    assert document["id"] == name
    assert document["bundle"] == str(b.path)
    assert document["annotations"]["com.example.key"] == "value"
    assert document["ociVersion"].startswith("1.")


@pytest.mark.parametrize(
    ("hook", "field"),
    [
        ({"path": "relative"}, "path"),
        ({"path": ""}, "path"),
        ({"args": ["sh"]}, "path"),
        ({"path": "/bin/true", "timeout": 0}, "timeout"),
        ({"path": "/bin/true", "timeout": -1}, "timeout"),
        ({"path": "/bin/true", "timeout": "1"}, "timeout"),
        ({"path": "/bin/true", "args": "sh"}, "args"),
        ({"path": "/bin/true", "env": [1]}, "env/0"),
    ],
)
@pytest.mark.pyrunc_only("1.1 checks little of it")
def test_what_a_hook_must_be(runtime, bundle, hook, field):
    b = bundle("true")
    for kind in KINDS:
        b.config["hooks"] = {kind: [{"path": "/bin/true"}, hook]}
        refused(runtime, b, f"/hooks/{kind}/1/{field}")


def test_arguments(runtime, bundle, shared):
    """As with execv: argv[0] is the first argument, not the path."""
    b = bundle("true")
    words = f"echo $0 $1 >{shared}/args"
    b.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", words, "zero", "one"]}]}
    runtime.run(b)
    assert (shared / "args").read_text() == "zero one\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_just_its_own_environment(runtime, bundle, shared, kind):
    b = with_shared(bundle(), shared)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"env >{shared}/env"], "env": ["PATH=/bin:/usr/bin", "ONLY=this"]}
    b.config["hooks"] = {kind: [hook]}
    whole_life(runtime, b)
    found = [line for line in (shared / "env").read_text().split() if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD="))]
    assert sorted(found) == ["ONLY=this", "PATH=/bin:/usr/bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_timeout(runtime, bundle, shared, kind):
    b = with_shared(bundle(), shared)
    b.config["hooks"] = {kind: [shell(f"echo begun >{shared}/begun; exec sleep 30", timeout=1)]}
    name = runtime.prepare(b)
    begun = time.monotonic()
    runtime("create", "--bundle", str(b.path), name, check=False, stdout=-3, stderr=-3)
    if (runtime.root / name).exists():
        runtime("start", name, check=False)
        runtime("delete", "--force", name, check=False)
    assert (shared / "begun").exists()
    assert 1 <= time.monotonic() - begun < 20
