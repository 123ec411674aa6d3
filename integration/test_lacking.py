"""What runs out is said as what it is: descriptors, room for the state; in one line, and nothing is left behind."""

from __future__ import annotations

import os
import re
import resource
import subprocess

import pytest

from integration.harness.leaks import cgroup_directories

pytestmark = pytest.mark.pyrunc_only("the words are ours")
# Words that speak of us, and not of what is lacking.
OURS = re.compile(r"internal error|Traceback|\.py\b|StopIteration|ImportError|exited with status|not empty|shorter|site-packages")
FEW = (5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32)
USER = {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}]}


def limited(number):
    """Return what leaves a new process but NUMBER descriptors, as many as it has at most."""

    def limit():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))

    return {"preexec_fn": limit}


def told(done, words):
    """Check that DONE has worked, or has failed for lack of what WORDS name, and says so."""
    if done.returncode == 0:
        return
    # A poststop hook that cannot be run for the same reason is one more line, a warning.
    assert len([line for line in done.stderr.splitlines() if ": warning: error running poststop hook" not in line]) == 1, done.stderr
    assert not OURS.search(done.stderr), done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("kind", ["plain", "rich"])
@pytest.mark.parametrize("number", FEW)
def test_few_descriptors_to_run(runtime, bundle, number, kind):
    b = bundle("true")
    if kind == "rich":
        b.namespace("user")
        b.linux.update(USER)
        b.mount("/usr", "bind", "/usr", "rbind", "ro")
        b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
        b.config["hooks"] = {kind: [{"path": "/bin/true"}] for kind in ("createRuntime", "createContainer", "startContainer", "poststop")}
    name = runtime.prepare(b)
    done = runtime("run", "--bundle", str(b.path), name, check=False, **limited(number))
    told(done, "oo many open files")
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)


@pytest.mark.parametrize("number", [4, *FEW[:8]])
def test_few_descriptors_for_others(runtime, bundle, number):
    name = runtime.start(bundle())
    for words in (["exec", name, "true"], ["state", name], ["list"], ["ps", name], ["update", "--pids-limit", "50", name], ["features"]):
        told(runtime(*words, check=False, **limited(number)), "oo many open files")
    assert runtime.status(name) == "running"
    told(runtime("delete", "--force", name, check=False, **limited(number)), "oo many open files")
    runtime("delete", "--force", name)


@pytest.mark.parametrize("inodes", range(2, 9))
def test_no_room_for_the_state(runtime, bundle, tmp_path, inodes):
    """The root directory takes one, its first container the next, then come its lock and its files."""
    b = bundle("echo", "ran")
    name = runtime.prepare(b)
    root = tmp_path / "full"
    root.mkdir()
    script = f"""mount -t tmpfs -o nr_inodes={inodes} none {root} || exit 99
{runtime.binary} --root {root} run --bundle {b.path} {name}; status=$?; ls -A {root} >{tmp_path}/left; exit $status"""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    told(done, "no space left on device")
    assert done.returncode == 1 or inodes > 4
    assert str(root) in done.stderr or done.returncode == 0
    assert (tmp_path / "left").read_text() == ""
    assert not cgroup_directories(name)


def test_no_room_in_the_file_of_the_log(runtime, bundle, tmp_path):
    """A log that cannot even be made, on a full disk, fails nobody either; one that its caller has named wrongly does."""
    b = bundle("echo", "ran")
    name = runtime.prepare(b)
    full = tmp_path / "full"
    full.mkdir()
    script = f"mount -t tmpfs -o nr_inodes=1 none {full} && exec {runtime.binary} --root {runtime.root} --log {full}/log run --bundle {b.path} {name}"
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr == f"pyrunc run: warning: cannot open the log: open {full}/log: no space left on device\n"
    assert "no such file or directory" in runtime.refuses("--log", f"{tmp_path}/none/log", "list")
    assert os.listdir(full) == []
