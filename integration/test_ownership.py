"""What fails or ends takes back what it has made, and nothing else: cgroups of others, units, a later container of the id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness import keeper
from integration.harness.crash import Victim
from integration.harness.leaks import cgroup_directories
from integration.harness.neighbour import Neighbour
from integration.harness.runtime import WAIT, wait_for
from integration.looking import mapped, unified, volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

LIMITS = {"pids": {"limit": 99}, "memory": {"limit": 1 << 28}}
SOON = WAIT * 0.4  # less than the ten seconds that a command waits for another; more where all is slow
USED = "container's cgroup is not empty"


@pytest.fixture
def neighbour(runtime: Runtime) -> Iterator[Neighbour]:
    """Return a cgroup of another's that is there already; the runtime's id of it is looked for by nobody."""
    made = Neighbour(f"neighbour-{os.getpid()}/own")
    yield made
    runtime.close()
    made.close()


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"], **more}


def within(b: Bundle, neighbour: Neighbour, below: str = "") -> Bundle:
    """Give B the cgroup of NEIGHBOUR, or one BELOW it, and limits."""
    b.linux["cgroupsPath"] = f"/{neighbour.path}{below}"
    b.linux["resources"] = {**LIMITS, "devices": [{"allow": False, "access": "rwm"}]}
    return b


# A cgroup that is another's


@pytest.mark.parametrize("below", ["", "child", "child/grandchild"])
@pytest.mark.parametrize("args", [("sleep", "1000"), ("no-such-program",)], ids=["good", "bad"])
@pytest.mark.parametrize("verb", ["create", "run"])
def test_a_cgroup_in_use_is_refused_and_left_alone(runtime, bundle, neighbour, verb, args, below):
    neighbour.runs(below)
    before = neighbour.looks()
    b = within(bundle(*args), neighbour)
    name = runtime.prepare(b)
    said = runtime.refuses(verb, "--bundle", str(b.path), name)
    assert USED in said, said
    assert neighbour.looks() == before
    assert not (runtime.root / name).exists()
    runtime("delete", "--force", name, check=False)
    assert neighbour.looks() == before


@pytest.mark.v2
def test_a_container_that_has_moved_into_a_child_of_its_cgroup_is_left_alone(runtime, bundle):
    """As a systemd inside does: the container's own cgroup is empty then."""
    first = bundle()
    first.namespace("cgroup")
    name = runtime.start(first)
    place = Path(cgroup_directories(name)[0])
    (place / "init.scope").mkdir()
    (place / "init.scope/cgroup.procs").write_text(str(runtime.pid(name)))
    second = bundle("no-such-program")
    second.linux["cgroupsPath"] = f"/{place.relative_to('/sys/fs/cgroup')}"
    other = runtime.prepare(second)
    assert USED in runtime.refuses("create", "--bundle", str(second.path), other)
    assert runtime.status(name) == "running"


@pytest.mark.pyrunc_only("runc removes a cgroup that it has not made, and leaves its own limits in it until then")
def test_an_empty_cgroup_that_was_there_stays_as_it_was(runtime, bundle, neighbour):
    neighbour.limit("pids.max", "77")
    before = neighbour.looks()
    failing = within(bundle("no-such-program"), neighbour)
    runtime.refuses("create", "--bundle", str(failing.path), runtime.prepare(failing))
    assert neighbour.looks() == before
    b = within(bundle(), neighbour)
    name = runtime.start(b)
    assert neighbour.looks() != before
    runtime.end(name)
    runtime("delete", name)
    assert neighbour.looks() == before


@pytest.mark.pyrunc_only("runc removes all that is below")
def test_what_the_container_made_below_a_cgroup_that_was_there_goes(runtime, bundle, neighbour):
    known = [top / "known" for top in neighbour.tops if top.parts[4] != "devices"]  # there no rule is taken once it has children
    for path in known:
        path.mkdir()
    b = within(bundle(), neighbour)
    name = runtime.start(b)
    for top in neighbour.tops:
        (top / "made/deep").mkdir(parents=True)
    runtime("delete", "--force", name)
    assert all(path.exists() for path in known)
    assert not [top for top in neighbour.tops if (top / "made").exists()]


@pytest.mark.parametrize("args", [("sleep", "1000"), ("no-such-program",)], ids=["good", "bad"])
def test_one_below_another_leaves_that_alone(runtime, bundle, neighbour, args):
    if not unified():  # version 2 has processes only where nothing is below
        neighbour.runs()
    else:
        neighbour.runs("beside")
    before = neighbour.looks()
    b = within(bundle(*args), neighbour, "/below")
    b.linux.pop("resources")
    name = runtime.prepare(b)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runtime("create", "--bundle", str(b.path), name, check=False, **streams)
    runtime("delete", "--force", name, check=False)
    assert neighbour.looks() == before


@pytest.mark.v1  # version 2 has processes only where nothing is below
@pytest.mark.pyrunc_only("runc says it otherwise")
def test_the_outer_one_of_two_waits_once_for_the_inner_one(runtime, bundle):
    """Ten seconds, and not ten in each hierarchy; the inner one is unhurt, and the outer one goes after it."""
    outer = bundle()
    outer.linux["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    name = runtime.start(outer)
    inner = bundle()
    inner.linux["cgroupsPath"] = f"/{name}-parent/{name}/inner"
    second = runtime.start(inner)
    begun = time.monotonic()
    said = runtime.refuses("delete", "--force", name)
    assert time.monotonic() - begun < 2 * SOON
    assert "cannot remove cgroup" in said, said
    assert "1 process(es) are still in it" in said, said
    assert runtime.status(second) == "running"
    assert runtime.exec(second, "echo", "here").stdout == "here\n"
    runtime("delete", "--force", second)
    runtime("delete", "--force", name)


@pytest.mark.pyrunc_only("runc looks first and makes it later: both have it")
@pytest.mark.parametrize("call", ["mkdir", "flock"], ids=["after mkdir", "after flock"])
def test_two_that_begin_in_one_cgroup_at_once(runtime, bundle, neighbour, call):
    """The first has made it, or has claimed it too, and has not got its process there yet when the second comes."""
    for top in neighbour.tops:
        top.rmdir()
    victim = Victim(runtime)
    first, second = within(bundle(), neighbour), within(bundle(), neighbour)
    names = runtime.prepare(first), runtime.prepare(second)
    words = ("create", "--bundle", str(first.path), names[0])
    assert subprocess.run(victim.argv(words), stdin=-3, stdout=-3, stderr=-3, check=False).returncode == 0
    calls = victim.written()
    runtime("delete", "--force", names[0])
    made = next(place for place, each in enumerate(calls) if each.name == "mkdir" and neighbour.path in each.line)
    # The look whether it is still the directory that has been claimed.
    claimed = next(each for each in calls[made:] if "stat" in each.name and f'{neighbour.path}"' in each.line)
    stopped = victim.stop_at(calls[made] if call == "mkdir" else claimed, *words)
    log = runtime.directory / "second.log"
    words = ("--log", str(log), "create", "--bundle", str(second.path), names[1])
    done = runtime(*words, check=False, stdout=-3, stderr=-3)
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.strace.wait(60)  # its streams are the container's too
    loser = names[1] if call == "flock" else names[0]
    assert (stopped.strace.returncode == 0, done.returncode == 0) == (call == "flock", call == "mkdir"), log.read_text()
    assert not (runtime.root / loser).exists()
    assert runtime.status(next(each for each in names if each != loser)) == "created"


# Killed in between


@pytest.mark.pyrunc_only("what is tried here goes by pyrunc's own steps")
def test_killed_with_a_cgroup_that_was_there(runtime, bundle, neighbour):
    neighbour.limit("pids.max", "77")
    before = neighbour.looks()
    b = within(bundle(), neighbour)
    name = runtime.prepare(b)
    words = ("create", "--bundle", str(b.path), name)
    victim = Victim(runtime)
    assert subprocess.run(victim.argv(words), stdin=-3, stdout=-3, stderr=-3, check=False).returncode == 0
    calls = [call for call in victim.written(after=f"{runtime.root}/{name}") if neighbour.path in call.line or '"G"' in call.line]
    runtime("delete", "--force", name)
    assert neighbour.looks() == before
    for call in calls[:: max(1, len(calls) // 12)]:
        victim.kill_at(call, *words)
        runtime("delete", "--force", name)
        wait_for(lambda: neighbour.looks() == before, neighbour.looks, what=f"{call}: all to be as it was")


# A later container of the id


@pytest.mark.pyrunc_only("runc removes it")
def test_a_run_deletes_its_own_container_only(runtime, bundle):
    b = bundle()
    name = runtime.prepare(b)
    first = runtime.popen("run", "--bundle", str(b.path), name)
    wait_for(lambda: (runtime.root / name).exists() and runtime.status(name) == "running", "the first to run")
    os.kill(first.pid, signal.SIGSTOP)
    runtime("delete", "--force", name)
    runtime("run", "--detach", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    pid = runtime.pid(name)
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(60) == 128 + signal.SIGKILL
    first.communicate()
    assert runtime.state(name)["pid"] == pid
    assert runtime.status(name) == "running"


# Hooks


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "poststop"])
def test_a_create_that_fails_runs_poststop_hooks(runtime, bundle, tmp_path, kind):
    log = tmp_path / "log"
    b = bundle("no-such-program")
    b.config["hooks"] = {kind: [shell(f"echo {kind} >>{log}")], "poststop": [shell(f"echo ended >>{log}")]}
    name = runtime.prepare(b)
    runtime.refuses("create", "--bundle", str(b.path), name)
    words = log.read_text().split()
    assert words == ([kind] if kind != "poststop" else []) + ["ended"]


def test_a_create_that_is_refused_before_anything_runs_none(runtime, bundle, tmp_path, neighbour):
    neighbour.runs()
    b = within(bundle(), neighbour)
    b.config["hooks"] = {"poststop": [shell(f"echo ended >>{tmp_path}/log")]}
    runtime.refuses("create", "--bundle", str(b.path), runtime.prepare(b))
    assert not (tmp_path / "log").exists()


CALLS = {
    "state": ("state", "ID"),
    "update": ("update", "--pids-limit", "50", "ID"),
    "exec": ("exec", "ID", "true"),
    "pause and resume": ("pause", "ID", ";", "resume", "ID"),
    "kill": ("kill", "ID", "KILL"),
    "delete by force": ("delete", "--force", "ID"),
    "ps": ("ps", "ID"),
}


@pytest.mark.parametrize("words", CALLS.values(), ids=list(CALLS))
@pytest.mark.parametrize("verb", ["start", "run"])
def test_a_poststart_hook_calls_the_runtime(runtime, bundle, tmp_path, verb, words):
    b = bundle()
    name = runtime.prepare(b)
    command = " ".join(runtime.argv())
    line = f"{command} " + " ".join(words).replace("ID", name).replace("; ", f"&& {command} ")
    b.config["hooks"] = {"poststart": [shell(f"{line} >{tmp_path}/said 2>&1 </dev/null; echo $? >{tmp_path}/status")]}
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    ends = not {"kill", "delete"} & set(words)  # otherwise what comes of the command is open
    begun = time.monotonic()
    if verb == "start":
        runtime("create", "--bundle", str(b.path), name, **streams)
        runtime("start", name, check=ends)
    else:
        runtime("run", "--detach", "--bundle", str(b.path), name, check=ends, **streams)
    assert time.monotonic() - begun < SOON
    assert (tmp_path / "status").read_text() == "0\n", (tmp_path / "said").read_text()
    assert (runtime.root / name).exists() == ("--force" not in words)


HANGING = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")


@pytest.mark.parametrize("kind", HANGING)
@pytest.mark.pyrunc_only("runc leaves the command and its hook there")
def test_delete_by_force_beside_a_hook_that_hangs(runtime, bundle, tmp_path, kind):
    b = bundle()
    up = volume(b) / "up"
    b.mount("/volume", "bind", str(up.parent), "bind")
    where = "/volume" if kind == "startContainer" else up.parent
    b.config["hooks"] = {kind: [shell(f"echo >{where}/up; exec sleep 100")]}
    b.config["hooks"]["poststop"] = [shell(f"echo ended >>{tmp_path}/log")]
    name = runtime.prepare(b)
    command = runtime.popen("run", "--detach", "--bundle", str(b.path), name, stdin=-3, stdout=-3, stderr=-3)
    wait_for(up.exists, "the hook to run")
    begun = time.monotonic()
    runtime("delete", "--force", name)
    assert time.monotonic() - begun < SOON
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)
    assert command.wait(20) != 0
    assert (tmp_path / "log").read_text() == "ended\n"


@pytest.mark.pyrunc_only("runc takes no notice")
def test_a_command_beside_one_that_waits_for_a_hook_is_told_who_works(runtime, bundle):
    b = bundle()
    up = volume(b) / "up"
    b.mount("/volume", "bind", str(up.parent), "bind")
    b.config["hooks"] = {"startContainer": [shell("echo >/volume/up; exec sleep 100")]}
    name = runtime.create(b)
    command = runtime.popen("start", name)
    wait_for(up.exists, "the hook to run")
    said = runtime.refuses("pause", name)
    assert f"another command has been working on this container for 10 s: start (pid {command.pid})" in said, said
    runtime("delete", "--force", name)
    assert command.wait(20) == 1
    command.communicate()


@pytest.mark.pyrunc_only("runc takes no notice")
@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_a_command_that_was_killed_keeps_nobody_out(runtime, bundle, kind):
    """Neither one that was alone at work nor one that was not."""
    b = bundle()
    up = volume(b) / "up"
    b.mount("/volume", "bind", str(up.parent), "bind")
    where = "/volume" if kind == "startContainer" else up.parent
    b.config["hooks"] = {kind: [shell(f"echo >{where}/up; exec sleep 100")]}
    name = runtime.create(b)
    command = runtime.popen("start", name)
    wait_for(up.exists, "the hook to run")
    hooks = keeper.children(command.pid)
    command.kill()
    command.communicate()
    begun = time.monotonic()
    runtime("pause", name)
    runtime("resume", name)
    assert time.monotonic() - begun < SOON
    for hook in hooks:
        os.kill(hook, signal.SIGKILL)


# The freezer


@pytest.mark.v1
@pytest.mark.parametrize("end", ["exit 1", "kill -TERM $PPID; sleep 2"], ids=["failure", "signal"])
@pytest.mark.pyrunc_only("runc waits for ever")
def test_a_create_whose_cgroup_is_frozen_can_be_ended(runtime, bundle, end):
    """On version 1 SIGKILL does not reach a frozen process."""
    b = bundle()
    name = runtime.prepare(b)
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    state = f"/sys/fs/cgroup/freezer/{name}-parent/{name}/freezer.state"
    freeze = f"i=0; while ! grep -q FROZEN {state} && test $i -lt 100; do echo FROZEN >{state}; i=$((i+1)); sleep 0.02; done"
    b.config["hooks"] = {"createRuntime": [shell(f"{freeze}; {end}")]}
    b.save()
    begun = time.monotonic()
    done = runtime("create", "--bundle", str(b.path), name, check=False, timeout=30)
    assert done.returncode != 0
    assert "has not ended" not in done.stderr
    assert time.monotonic() - begun < SOON
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)


# A life that outlasts its first thread

LEADER = """
#include <pthread.h>
#include <unistd.h>
void *lives(void *_) { for (;;) pause(); }
int main(void) { pthread_t t; pthread_create(&t, 0, lives, 0); pthread_exit(0); }
"""


@pytest.mark.pyrunc_only("runc calls it stopped")
@pytest.mark.parametrize("how", ["kill", "delete"])
def test_a_first_thread_that_ends_is_not_the_end(runtime, bundle, how):
    from integration.looking import compiled

    b = bundle("/bin/leader")
    (b.rootfs / "bin/leader").write_bytes(compiled(LEADER, "-static", "-pthread").read_bytes())
    (b.rootfs / "bin/leader").chmod(0o755)
    name = runtime.start(b)
    pid = runtime.pid(name)
    wait_for(lambda: "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2], "the first thread to end")
    assert runtime.state(name)["status"] == "running"
    assert runtime.state(name)["pid"] == pid
    if how == "kill":
        runtime.end(name)
        runtime("delete", name)
    else:
        runtime("delete", "--force", name)
    assert not Path(f"/proc/{pid}").exists() or not keeper.running(pid)


# Pid namespaces


@pytest.mark.pyrunc_only("runc signals its own process group")
def test_a_process_that_our_pid_namespace_does_not_have_is_not_signalled(runtime, bundle):
    """It reads as 0, which kill(2) takes for the caller's own group."""
    name = runtime.start(bundle())
    pid = runtime.pid(name)
    argv = ["unshare", "--pid", "--fork", "--mount-proc", *runtime.argv("kill", "--all", name, "USR1")]
    done = subprocess.run(argv, stdin=-3, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert keeper.running(pid)


# Long paths


def deep(where: Path, length: int) -> str:
    """Make directories below WHERE so that the path of the last has LENGTH bytes, and return it."""
    path, here = str(where), os.open(where, os.O_PATH)
    while len(path) < length:
        left = length - len(path) - 1
        name = "d" * (min(200, left) if left - 200 != 1 else 100)
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_PATH, dir_fd=here)
        os.close(here)
        path, here = f"{path}/{name}", inner
    Path("/proc/self/fd", str(here), "word").write_text(str(length))
    os.close(here)
    assert len(path) == length
    return path


@pytest.mark.parametrize("length", [4091, 4092, 4093, 4095])
def test_the_source_of_a_mount_is_not_cut_off(runtime, bundle, tmp_path, length):
    b = mapped(bundle("cat", "/mnt/word"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep").chmod(0o700)
    b.mount("/mnt", "bind", deep(tmp_path / "deep", length), "bind")
    try:
        assert runtime.output(b) == str(length)
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)
