"""run.oci.*: annotations of crun's that are honoured (crun(1), docs/crun.md)."""

from __future__ import annotations

import os
import signal
import stat

import pytest

from integration.harness.failures import fails
from integration.harness.receiver import Receiver
from integration.looking import mapped

pytestmark = pytest.mark.cruns("runc has no annotations of its own")
ours = pytest.mark.pyrunc_only("crun does otherwise, see docs/crun.md")
GROUPS = (54, 1054)


def annotate(b, **more):
    b.config["annotations"] = {f"run.oci.{name.replace('__', '.')}": text for name, text in more.items()}
    return b


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("0", False), (None, False)])
@pytest.mark.parametrize("user", [0, 1000])
def test_groups_of_the_caller_stay(runtime, bundle, value, kept, user):
    b = bundle("grep", "Groups", "/proc/self/status")
    b.process["user"] = {"uid": user, "gid": user}
    if value is not None:
        annotate(b, keep_original_groups=value)
    found = runtime.output(b, extra_groups=GROUPS).split()[1:]
    assert found == ([str(each) for each in GROUPS] if kept else [])


def test_an_exec_keeps_them_too(runtime, bundle):
    name = runtime.start(annotate(bundle(), keep_original_groups="1"))
    found = runtime("exec", name, "grep", "Groups", "/proc/self/status", extra_groups=GROUPS).stdout
    assert found.split()[1:] == [str(each) for each in GROUPS]


def test_in_a_user_namespace_they_are_nobodys(runtime, bundle):
    b = annotate(mapped(bundle("grep", "Groups", "/proc/self/status")), keep_original_groups="1")
    assert runtime.output(b, extra_groups=(54,)).split()[1:] == ["65534"]


def shell(line):
    return {"path": "/bin/sh", "args": ["sh", "-c", line], "env": ["PATH=/usr/bin:/bin"]}


def hooked(b, directory, **more):
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    b.config["hooks"] = {kind: [shell(f"echo {kind}; echo {kind} error >&2")] for kind in kinds}
    return annotate(b, hooks__stdout=str(directory / "out"), hooks__stderr=str(directory / "err"), **more)


@pytest.mark.parametrize("user", [False, True])
def test_what_hooks_say_goes_to_files(runtime, bundle, tmp_path, user):
    b = bundle("true")
    b = hooked(mapped(b) if user else b, tmp_path)
    (tmp_path / "out").write_text("before\n")
    runtime.run(b)
    kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    assert (tmp_path / "out").read_text().split() == ["before", *kinds]
    assert (tmp_path / "err").read_text().splitlines() == [f"{kind} error" for kind in kinds]
    assert stat.S_IMODE((tmp_path / "err").stat().st_mode) & 0o077 == 0


@ours
def test_a_program_of_the_image_gets_no_file_of_the_hosts(runtime, bundle, tmp_path):
    """A startContainer hook is one; and neither the waiting init nor the program has it open."""
    b = hooked(bundle(), tmp_path)
    b.config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "echo inside; ls -l /proc/self/fd >&2"]}]
    name = runtime.create(b)
    for what in ("create", "start"):
        open_files = [os.readlink(f"/proc/{runtime.pid(name)}/fd/{fd}") for fd in os.listdir(f"/proc/{runtime.pid(name)}/fd")]
        assert not [path for path in open_files if str(tmp_path / "out") in path or str(tmp_path / "err") in path], what
        if what == "create":
            runtime("start", name)
    assert "inside" not in (tmp_path / "out").read_text()


@ours
@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("a link", "it is a symbolic link"),
        ("a pipe", "it is a pipe that nobody reads"),
        ("a directory", "is a directory"),
        ("nothing", "make its directory"),
    ],
)
def test_what_is_no_file_is_refused(runtime, bundle, tmp_path, there, said):
    b = hooked(bundle(), tmp_path)
    del b.config["hooks"]["poststop"]  # which would run, and say the same as a warning
    path = tmp_path / "dir/out"
    if there != "nothing":
        path.parent.mkdir()
        target = tmp_path / "target"
        {"a link": lambda: path.symlink_to(target), "a pipe": lambda: os.mkfifo(path), "a directory": path.mkdir}[there]()
    b.config["annotations"]["run.oci.hooks.stdout"] = str(path)
    found = fails(runtime, b)
    assert said in found
    assert "at /annotations/run.oci.hooks.stdout;" in found
    assert not (tmp_path / "target").exists()


def test_without_hooks_no_file_is_made(runtime, bundle, tmp_path):
    b = hooked(bundle("true"), tmp_path)
    del b.config["hooks"]
    runtime.run(b)
    if runtime.name == "pyrunc":
        assert not (tmp_path / "out").exists()


@pytest.mark.pyrunc_only("crun ends with another status")
def test_a_hook_that_fails_still_ends_create(runtime, bundle, tmp_path):
    b = hooked(bundle(), tmp_path)
    b.config["hooks"]["createRuntime"] = [shell("echo gone; exit 3")]
    found = fails(runtime, b)
    assert "3" in found
    assert "gone" in (tmp_path / "out").read_text()


@pytest.mark.parametrize("verb", ["create", "run"])
def test_a_pidfd_is_sent(runtime, bundle, tmp_path, verb):
    receiver = Receiver(tmp_path / "socket")
    b = annotate(bundle(), pidfd_receiver=str(tmp_path / "socket"))
    name = runtime.create(b) if verb == "create" else runtime.prepare(b)
    if verb == "run":
        runtime("run", "--detach", "--bundle", str(b.path), name, stdout=None, stderr=None)
    word, pidfd = receiver.receive()
    pid = runtime.pid(name)
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        assert f"Pid:\t{pid}\n" in file.read()
    assert len(word) == 1
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    runtime.wait(name, "stopped")


@ours
def test_nobody_to_receive_it(runtime, bundle, tmp_path):
    assert "cannot send a descriptor to socket" in fails(runtime, annotate(bundle(), pidfd_receiver=str(tmp_path / "none")))


@ours
@pytest.mark.parametrize("name", ["systemd.subgroup", "delegate-cgroup"])
def test_what_is_for_scopes_of_systemd_alone(runtime, bundle, name):
    b = annotate(bundle("true"), **{name.replace(".", "__"): "inner"})
    assert f"warning: run.oci.{name} has no effect (at /annotations/run.oci.{name};" in runtime.run(b).stderr
    for wrong in ("a/b", ".."):
        b.config["annotations"] = {f"run.oci.{name}": wrong}
        done = runtime.run(b, check=False)
        assert done.returncode == 1
        assert f'"{wrong}" is not the name of one cgroup (at /annotations/run.oci.{name};' in done.stderr


def profile(*names):
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": list(names), "action": "SCMP_ACT_ERRNO"}]}


@pytest.mark.parametrize("times", [1, 2])
def test_a_rule_for_no_system_call_fails(runtime, bundle, times):
    """By a filter that is compiled, and by one of the cache."""
    b = annotate(bundle("true"), seccomp_fail_unknown_syscall="1")
    b.linux["seccomp"] = profile("acct", "no_such_call")
    for _ in range(times):
        said = fails(runtime, b)
        assert "no_such_call" in said
        assert runtime.name == "crun" or "at /linux/seccomp/syscalls/0/names/1;" in said


@pytest.mark.parametrize("value", ["0", None])
def test_without_the_annotation_it_does_not(runtime, bundle, value):
    b = bundle("true")
    b.linux["seccomp"] = profile("no_such_call")
    if value is not None:
        annotate(b, seccomp_fail_unknown_syscall=value)
    runtime.run(b)


@ours
@pytest.mark.parametrize("name", ["handler", "seccomp.receiver", "seccomp_bpf_data"])
def test_what_only_crun_does_is_warned_of(runtime, bundle, name):
    done = runtime.run(annotate(bundle("true"), **{name.replace(".", "__"): "x"}))
    assert f"pyrunc run: warning: run.oci.{name} is crun's, and ignored here (at /annotations/run.oci.{name};" in done.stderr
