"""linux.intelRdt on a simulated resctrl: few machines have it, and none of ours.

What stands in for it is a cgroup hierarchy of version 1 without controllers, which the kernel
serves in the same way: a directory has `tasks`, a write to that moves a process, and rmdir(2)
removes it.  The runtime is told about it through HostFacts, as a library.  What there is of
schemata are plain files of the test (tests/test_resctrl.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.looking import cgroup_of, refused

pytestmark = pytest.mark.pyrunc_only("it is used as a library")
RUN = """
import sys
from pyrunc.container.verbs.{verb} import {verb}
from pyrunc.container.options import {options}
from pyrunc.host import facts
container, bundle, root, resctrl = sys.argv[1:]
known = facts.probe()
v1 = {{name: found for name, found in known.cgroups.v1.items() if found.mount != resctrl}}
known = known.replace(resctrl=resctrl, cgroups=known.cgroups.replace(v1=v1))
try:
    {verb}({options}(id=container, bundle=bundle, root=root, facts=known))
except Exception as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


class Hierarchy:
    """A hierarchy of our own, in a mount namespace of its own: nobody else takes it for one of the machine's."""

    def __init__(self, directory):
        self.name = f"pyrunc-test-{os.getpid()}"
        self.mount = f"mount -t cgroup -o none,name={self.name} none {directory}"
        self.directory = directory
        script = f"{self.mount} && echo there; exec sleep 1000"
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
        self.holder = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.there = self.holder.stdout.readline() == b"there\n"
        self.enter = ("nsenter", "-t", str(self.holder.pid), "-m", "--")
        self.path = Path(f"/proc/{self.holder.pid}/root{directory}")

    def close(self):
        """Unmount it; the kernel ends it only once it has forgotten all directories, which may need another try."""
        if self.there:
            gone = f"for n in 1 2 3 4 5 6 7 8 9 10; do grep -q :name={self.name}: /proc/self/cgroup || exit 0; sleep 0.1; done"
            script = f"umount {self.directory}; {gone}; {self.mount}; umount {self.directory}; {gone}"
            subprocess.run([*self.enter, "sh", "-c", script], check=True, timeout=20)
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def tree(tmp_path, runtime):
    """Return a hierarchy with a class "gold", and a place for monitored groups there and in the root."""
    (tmp_path / "resctrl").mkdir()
    made = Hierarchy(tmp_path / "resctrl")
    if not made.there:
        made.close()
        pytest.skip("this kernel has no cgroup version 1")
    for directory in ("gold", "gold/mon_groups", "mon_groups"):
        (made.path / directory).mkdir()
    runtime.prefix = made.enter
    yield made.path
    runtime.close()
    runtime.prefix = ()
    for directory in ("gold/mon_groups", "gold", "mon_groups"):
        (made.path / directory).rmdir()
    left = sorted(entry.name for entry in made.path.iterdir() if entry.is_dir())
    made.close()
    assert left == []


def interpreter(runtime):
    """Return the interpreter with the runtime installed."""
    return str(Path(runtime.binary).with_name("python"))


def create(runtime, b, tree, name=None):
    """Create a container of B on TREE, through the library; return its id and what it said."""
    name = name or runtime.prepare(b)
    code = RUN.format(verb="create", options="CreateOptions")
    inside = str(tree).partition("/root")[2]
    argv = [*runtime.prefix, interpreter(runtime), "-c", code, name, str(b.path), str(runtime.root), inside]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    log = runtime.directory / f"{name}.said"
    with log.open("w") as said:
        done = subprocess.run(argv, check=False, stderr=said, timeout=60, **streams)
    return name, done.returncode, log.read_text()


def tasks(directory):
    return [int(word) for word in (directory / "tasks").read_text().split()]


def test_a_class_of_its_own(runtime, bundle, tree, tmp_path):
    """Named by the container's id; joined by init and exec, removed with it."""
    b = bundle()
    b.linux["intelRdt"] = {}
    name, status, said = create(runtime, b, tree)
    assert status == 0, said
    pid = runtime.pid(name)
    assert tasks(tree / name) == [pid]
    runtime("start", name)
    runtime("exec", "-d", "--pid-file", str(tmp_path / "pid"), name, "sleep", "1000", stdout=-3, stderr=-3)
    assert tasks(tree / name) == sorted([pid, int((tmp_path / "pid").read_text())])
    runtime("delete", "--force", name)
    assert not (tree / name).exists()


@pytest.mark.parametrize("field", ["enableMonitoring", "enableCMT", "enableMBM"])
@pytest.mark.parametrize(("clos", "where"), [("gold", "gold"), ("/", ".")])
def test_a_class_that_is_there_and_monitoring(runtime, bundle, tree, clos, where, field):
    b = bundle()
    b.linux["intelRdt"] = {"closID": clos, field: True}
    name, status, said = create(runtime, b, tree)
    assert status == 0, said
    pid = runtime.pid(name)
    assert tasks(tree / where / "mon_groups" / name) == [pid]
    runtime("delete", "--force", name)
    assert not (tree / where / "mon_groups" / name).exists()
    assert (tree / where / "tasks").exists()


def test_a_class_that_is_there(runtime, bundle, tree):
    b = bundle()
    b.linux["intelRdt"] = {"closID": "gold"}
    name, status, said = create(runtime, b, tree)
    assert status == 0, said
    assert tasks(tree / "gold") == [runtime.pid(name)]
    runtime("delete", "--force", name)
    assert tasks(tree / "gold") == []


def test_the_containers_class_is_somebody_elses(runtime, bundle, tree):
    b = bundle()
    b.linux["intelRdt"] = {}
    name = runtime.prepare(b)
    (tree / name).mkdir()
    _, status, said = create(runtime, b, tree, name)
    assert status == 1
    assert "(at /linux/intelRdt; it is somebody else's" in said
    assert (tree / name).exists()
    (tree / name).rmdir()


def test_a_failure_later_takes_the_class_away(runtime, bundle, tree):
    b = bundle()
    b.linux["intelRdt"] = {}
    b.mount("/data", "bind", "/not/there", "bind")
    name, status, said = create(runtime, b, tree)
    assert status == 1
    assert "/mounts/" in said
    assert not (tree / name).exists()


def test_a_failure_later_leaves_the_class_to_others(runtime, bundle, tree):
    first = bundle()
    first.linux["intelRdt"] = {"closID": "gold"}
    name, status, said = create(runtime, first, tree)
    assert status == 0, said
    before = sorted(str(path) for path in tree.rglob("*"))
    b = bundle()
    b.linux["intelRdt"] = {"closID": "gold", "enableMonitoring": True}
    b.mount("/data", "bind", "/not/there", "bind")
    _, status, said = create(runtime, b, tree)
    assert status == 1
    assert "/mounts/" in said
    assert tasks(tree / "gold") == [runtime.pid(name)]
    assert sorted(str(path) for path in tree.rglob("*")) == before


def test_schemata_that_the_kernel_refuses(runtime, bundle, tree):
    """Here it has no such file at all; nothing of the new class stays."""
    b = bundle()
    b.linux["intelRdt"] = {"closID": "silver", "schemata": ["L3:0=f"]}
    _, status, said = create(runtime, b, tree)
    assert status == 1
    assert 'write "L3:0=f" to' in said
    assert not (tree / "silver").exists()


@pytest.mark.skipif(" - resctrl " in Path("/proc/self/mountinfo").read_text(), reason="this machine has it")
def test_without_resctrl(runtime, bundle):
    b = bundle()
    b.linux["intelRdt"] = {"closID": "gold"}
    refused(runtime, b, "there is no resctrl file system on this host", "(at /linux/intelRdt;")


# update

UPDATE = """
import json, sys
from pyrunc.cgroup import resctrl
from pyrunc.container.schemata import Schemata
from pyrunc.container.verbs.update import update
from pyrunc.host import facts
container, root, tree, cache, resources = sys.argv[1:]
resctrl.SCHEMATA = "notify_on_release"  # a file that is there, and takes 0 and 1
try:
    update(root, container, json.loads(resources), Schemata(cache, facts=facts.probe().replace(resctrl=tree)))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def updated(runtime, name, tree, cache, resources="{}"):
    """Update container NAME by the library; return its status and what it said."""
    inside = str(tree).partition("/root")[2]
    argv = [*runtime.prefix, interpreter(runtime), "-c", UPDATE, name, str(runtime.root), inside, cache, resources]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stderr


def remembered(runtime, name):
    return json.loads((runtime.root / name / "config.json").read_text())["linux"].get("intelRdt")


def test_update_gives_a_class(runtime, bundle, tree, tmp_path):
    """The container had none: everything that runs in it is moved there, and what comes later too."""
    name = runtime.start(bundle("sleep 1000 & sleep 1000 & wait"))
    pids = json.loads(runtime("ps", "--format", "json", name).stdout)
    assert updated(runtime, name, tree, "1") == (0, "")
    assert tasks(tree / name) == sorted(pids)
    assert (tree / name / "notify_on_release").read_text() == "1\n"
    assert remembered(runtime, name) == {"l3CacheSchema": "1"}
    runtime("exec", "-d", "--pid-file", str(tmp_path / "pid"), name, "sleep", "1000", stdout=-3, stderr=-3)
    assert int((tmp_path / "pid").read_text()) in tasks(tree / name)
    runtime("delete", "--force", name)
    assert not (tree / name).exists()


def test_update_of_a_class(runtime, bundle, tree):
    b = bundle()
    b.linux["intelRdt"] = {"closID": "gold"}
    name, status, said = create(runtime, b, tree)
    assert status == 0, said
    assert updated(runtime, name, tree, "1") == (0, "")
    assert (tree / "gold/notify_on_release").read_text() == "1\n"
    assert remembered(runtime, name) == {"closID": "gold", "l3CacheSchema": "1"}


@pytest.mark.parametrize("own", [True, False])
def test_update_that_is_refused_changes_neither(runtime, bundle, tree, own):
    """By resctrl, or, once that has changed, by a cgroup."""
    b = bundle()
    b.linux["resources"]["pids"] = {"limit": 40}
    if not own:
        b.linux["intelRdt"] = {"closID": "gold"}
    name, status, said = create(runtime, b, tree)
    assert status == 0, said
    pids_max = cgroup_of(runtime.pid(name), "pids") / "pids.max"
    tried = [("x", '{"pids": {"limit": 7}}', "/linux/intelRdt"), ("1", '{"cpu": {"cpus": "999"}}', "/cpu/cpus")]
    # Real classes can be removed with tasks in them, unlike the cgroups that stand in for them here.
    for cache, resources, at in tried[: 1 if own else 2]:
        status, said = updated(runtime, name, tree, cache, resources)
        assert status == 1
        assert at in said
        assert pids_max.read_text() == "40\n"
        assert not (tree / name).exists()
        assert (tree / "gold/notify_on_release").read_text() == "0\n"
        assert remembered(runtime, name) == b.linux.get("intelRdt")
    assert tasks(tree / "gold") == ([] if own else [runtime.pid(name)])


def test_update_does_not_take_somebody_elses_class(runtime, bundle, tree):
    name = runtime.start(bundle())
    (tree / name).mkdir()
    status, said = updated(runtime, name, tree, "1")
    assert status == 1
    assert "it is somebody else's" in said
    runtime("delete", "--force", name)
    assert (tree / name).exists()
    (tree / name).rmdir()
