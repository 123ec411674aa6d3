"""The process of a hook: environment, directory, signals, what confines it, and what becomes of those that it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.harness.failures import fails
from integration.harness.keeper import running
from integration.harness.runtime import wait_for
from integration.looking import become, fields, give
from integration.test_seccomp import forbidding, profile, rule
from integration.test_spec_hooks import KINDS, shell, whole_life, with_shared

IN_RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")
IN_CONTAINER = ("createContainer", "startContainer")
SHELLS_OWN = ("PWD=", "OLDPWD=", "SHLVL=", "_=", "LINES=", "COLUMNS=")
BUSYBOX_PATH = "PATH=/sbin:/usr/sbin:/bin:/usr/bin"  # where there is none


@pytest.fixture
def shared(tmp_path):
    """Make a directory that hooks on both sides reach by one name, and whoever they are can write to."""
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o777)
    return path


def without_env(words):
    return {"path": "/bin/sh", "args": ["sh", "-c", words]}


def environment(text):
    return {line for line in text.splitlines() if not line.startswith(SHELLS_OWN)}


# Environment


@pytest.mark.parametrize("kind", IN_RUNTIME)
def test_a_hook_without_env_has_the_runtimes(runtime, bundle, shared, kind, monkeypatch):
    monkeypatch.setenv("A_WORD", "with spaces\tand \N{SNOWMAN}")
    b = with_shared(bundle(), shared)
    b.config["hooks"] = {kind: [without_env(f"/usr/bin/env >{shared}/env")]}
    whole_life(runtime, b)
    expected = {f"{name}={value}" for name, value in os.environ.items()}
    assert environment((shared / "env").read_text()) == environment("\n".join(expected))


@pytest.mark.parametrize(("env", "home"), [([], "/home/somebody"), (["HOME=/own"], "/own")])
@pytest.mark.parametrize("kind", IN_CONTAINER)
def test_a_hook_in_the_container_without_env_has_the_processs(runtime, bundle, shared, kind, env, home):
    if runtime.name != "pyrunc" and kind == "createContainer":
        pytest.skip("runc: none; crun: the runtime's")
    b = become(with_shared(bundle(), shared), 1234)
    with (b.rootfs / "etc/passwd").open("a") as file:
        file.write("somebody:x:1234:1234::/home/somebody:/bin/sh\n")
    b.process["env"] = ["PATH=/bin:/usr/bin", "ONE=1", "ONE=two", *env]
    b.config["hooks"] = {kind: [without_env(f"env >{shared}/env")]}
    whole_life(runtime, b)
    assert environment((shared / "env").read_text()) == {"PATH=/bin:/usr/bin", "ONE=two", f"HOME={home}"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_env_is_empty(runtime, bundle, shared, kind):
    if runtime.name == "runc" and kind == "startContainer":
        pytest.skip("runc: as without env")
    b = with_shared(bundle(), shared)
    b.config["hooks"] = {kind: [{**without_env(f"env >{shared}/env"), "env": []}]}
    whole_life(runtime, b)
    assert environment((shared / "env").read_text()) <= {BUSYBOX_PATH}


# Directory


@pytest.mark.parametrize("kind", KINDS)
def test_the_directory_that_a_hook_starts_in(runtime, bundle, shared, kind, tmp_path, monkeypatch):
    """The bundle in the runtime's namespace, wherever it was called from; the container's root, and where its process does."""
    if runtime.name == "runc" and kind in ("poststart", "poststop"):
        pytest.skip("runc: where the command was called")
    b = with_shared(bundle(), shared)
    b.process["cwd"] = "/tmp"
    b.config["hooks"] = {kind: [shell(f"pwd -P >{shared}/where; ls >{shared}/there")]}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    whole_life(runtime, b)
    where = (shared / "where").read_text().strip()
    there = (shared / "there").read_text().split()
    if kind == "startContainer":
        assert where == "/tmp"
    elif kind == "createContainer":
        assert {"bin", "etc", "proc"} <= set(there)
    else:
        assert where == os.path.realpath(b.path)
        assert {"config.json", "rootfs"} <= set(there)


def test_a_startcontainer_hook_is_where_its_user_may_not_go(runtime, bundle, shared):
    """The process was there before it became its user, and so is the hook."""
    b = become(with_shared(bundle("true"), shared), 1000)
    (b.rootfs / "closed").mkdir(mode=0o700)
    (b.rootfs / "closed/x").mkdir(mode=0o755)
    b.process["cwd"] = "/closed/x"
    b.config["hooks"] = {"startContainer": [shell(f"stat -c %i . >{shared}/inode")]}
    runtime.run(b)
    assert int((shared / "inode").read_text()) == (b.rootfs / "closed/x").stat().st_ino


def test_a_createcontainer_hook_is_inside_the_containers_mounts(runtime, bundle, shared):
    """Its directory is that of the mount which becomes the root: what it makes there is there, and mounts are seen."""
    b = with_shared(bundle("cat", "/made"), shared)
    b.config["hooks"] = {"createContainer": [shell("cat proc/self/comm >made; readlink proc/self/ns/mnt >>made")]}
    assert runtime.output(b).startswith("cat\nmnt:[")


@pytest.mark.pyrunc_only("where the command was called")
def test_a_poststop_hook_runs_without_its_bundle(runtime, bundle, shared):
    b = bundle("true")
    b.config["hooks"] = {"poststop": [shell(f"pwd >{shared}/where")]}
    name = runtime.start(b)
    runtime.wait(name, "stopped")
    b.path.rename(b.path.with_name("gone"))
    runtime("delete", name)
    assert (shared / "where").read_text() == "/\n"


# Signals


@pytest.mark.parametrize("kind", KINDS)
def test_no_signal_is_ignored_or_blocked(runtime, bundle, shared, kind):
    """Whatever the caller ignores, 32 and 33 among them, which the C library keeps for itself."""
    b = with_shared(bundle(), shared)
    b.config["hooks"] = {kind: [shell(f"exec cat /proc/self/status >{shared}/status")]}
    b.save()
    name = runtime.new_id()
    ignoring = "trap '' HUP INT USR1 PIPE; exec \"$@\""
    for words in (("create", "--bundle", str(b.path), name), ("start", name)):
        subprocess.run(["sh", "-c", ignoring, "sh", *runtime.argv(*words)], check=True, stdin=-3, stdout=-3, stderr=-3)
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    subprocess.run(["sh", "-c", ignoring, "sh", *runtime.argv("delete", name)], check=True)
    found = fields((shared / "status").read_text())
    if runtime.name == "runc":  # Go hands on what was ignored before it
        assert int(found["SigIgn"], 16) & (3 << 31) == int(found["SigBlk"], 16) == 0
    else:
        assert found["SigIgn"] == found["SigBlk"] == "0" * 16


# What a hook leaves


@pytest.mark.pyrunc_only("waits until they have closed its output")
@pytest.mark.parametrize("kind", IN_RUNTIME)
def test_what_a_hook_leaves_running_is_not_waited_for(runtime, bundle, shared, kind):
    b = bundle()
    b.config["hooks"] = {kind: [shell(f"sleep 1000 & echo $! >{shared}/pid")]}
    begun = time.monotonic()
    whole_life(runtime, b)
    left = int((shared / "pid").read_text())
    assert time.monotonic() - begun < 15
    assert running(left)
    os.kill(left, signal.SIGKILL)


@pytest.mark.pyrunc_only("kills the hook alone, and waits for its children")
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
def test_a_timeout_ends_all_that_a_hook_has_started(runtime, bundle, shared, kind):
    b = with_shared(bundle(), shared)
    b.config["hooks"] = {kind: [shell(f"(trap '' TERM; echo $$ >{shared}/pid; exec sleep 777.{os.getpid()}) | cat", timeout=1)]}
    begun = time.monotonic()
    name = runtime.prepare(b)
    log = b.path / "log"
    runtime("--log", str(log), "create", "--bundle", str(b.path), name, check=False, stdout=-3, stderr=-3)
    runtime("--log", str(log), "start", name, check=False)
    runtime("--log", str(log), "delete", "--force", name, check=False)
    assert time.monotonic() - begun < 15
    assert "hook ran past specified timeout of 1.0s" in log.read_text()
    marked = f"sleep\0777.{os.getpid()}\0".encode()

    def left():
        return [path for path in Path("/proc").glob("[0-9]*/cmdline") if _read(path) == marked]

    wait_for(lambda: not left(), left, what="what the hook had started to end")


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("seconds", [3_000_000, 2**31 - 1])
def test_a_timeout_of_a_month_and_of_a_lifetime(runtime, bundle, seconds):
    b = bundle("echo", "ran")
    b.config["hooks"] = {kind: [{"path": "/bin/true", "timeout": seconds}] for kind in (*IN_RUNTIME, *IN_CONTAINER)}
    assert runtime.output(b) == "ran\n"


@pytest.mark.pyrunc_only("waits for the hook")
@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_hook_that_hangs(runtime, bundle, shared, verb, number):
    """Alone in its process group, it would not hear of what a terminal sends to ours."""
    b = bundle()
    b.config["hooks"] = {"createRuntime": [shell(f"echo $$ >{shared}/pid; exec sleep 1000")]}
    name = runtime.prepare(b)
    process = runtime.popen(verb, "--bundle", str(b.path), name)
    pid = shared / "pid"
    wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"), "the hook to begin")
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert not running(int(pid.read_text()))
    assert not (runtime.root / name).exists()


# Programs of the image, confined as the container's own program


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("new_privileges", [True, False])
def test_a_startcontainer_hook_has_what_the_process_has(runtime, bundle, shared, uid, new_privileges):
    """Ids, capabilities, filter, no_new_privs, umask and limits: what the program itself sees of itself, but its own name and numbers."""
    words = "cat /proc/self/status /proc/self/limits; umask; cat /proc/self/oom_score_adj"
    b = become(give(forbidding(with_shared(bundle("sh", "-c", words), shared), rule("mkdir", "mkdirat")), "CAP_KILL"), uid)
    b.process["noNewPrivileges"] = not new_privileges
    b.process["rlimits"] = [{"type": f"RLIMIT_{kind}", "hard": 200, "soft": 100} for kind in ("NOFILE", "CORE", "NPROC")]
    b.process["user"]["umask"] = 0o77
    b.process["oomScoreAdj"] = 17
    b.config["hooks"] = {"startContainer": [shell(f"{{ {words}; mkdir /data/x; }} >{shared}/seen 2>&1; true")]}
    program = runtime.output(b)
    hook = (shared / "seen").read_text()
    names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters")
    assert [fields(hook)[name] for name in names] == [fields(program)[name] for name in names]
    assert fields(hook)["Seccomp"] == "2"
    tail = program[program.index("Limit ") :]
    assert tail in hook
    assert "17" in tail.split()[-1]
    assert "mkdir: can't create directory '/data/x': Operation not permitted" in hook


@pytest.mark.pyrunc_only("needs more calls")
@pytest.mark.parametrize("way", ["execve", "execveat"])
def test_the_filter_of_a_hook_need_not_allow_how_hooks_are_run(runtime, bundle, way):
    """The filter is loaded by the hook's own process: no fork, pipe or wait of the runtime's is under it."""
    names = """
        brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink readlinkat getrandom write
        exit_group getuid setuid setgid getgid ioctl fstat newfstatat prctl uname futex rt_sigaction rt_sigprocmask execve
    """
    more = [way] if way == "execveat" else []
    b = profile(bundle("/bin/echo", "ran"), "SCMP_ACT_KILL_PROCESS", rule(*names.split(), *more, action="SCMP_ACT_ALLOW"))
    b.config["hooks"] = {"startContainer": [{"path": "/bin/echo", "args": ["echo", "hook"]}]}
    assert runtime.output(b) == "ran\n"
    b.config["hooks"] = {"startContainer": [{"path": "/bin/cat"}]}
    assert "killed by signal 31 (bad system call, by the seccomp filter)" in fails(runtime, b, verb="run")


@pytest.mark.pyrunc_only("words of our own")
@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL"])
def test_a_filter_that_lets_no_hook_be_executed(runtime, bundle, action):
    b = profile(bundle(), action)
    b.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    said = fails(runtime, b, verb="run")
    assert "/hooks/startContainer/0" in said
    assert ("operation not permitted" if action == "SCMP_ACT_ERRNO" else "by the seccomp filter") in said


@pytest.mark.pyrunc_only("has no interpreter to protect")
@pytest.mark.parametrize("target", ["/proc/self/exe", "/proc/1/exe"])
def test_a_startcontainer_hook_is_not_our_own_interpreter(runtime, bundle, target):
    """As the container's program: neither by a link, nor behind `#!` (CVE-2019-5736)."""
    b = bundle()
    (b.rootfs / "bin/a-link").symlink_to(target)
    (b.rootfs / "bin/a-script").write_text(f"#!{target}\n")
    (b.rootfs / "bin/a-script").chmod(0o755)
    for name in ("a-link", "a-script"):
        b.config["hooks"] = {"startContainer": [{"path": f"/bin/{name}"}]}
        said = fails(runtime, b, verb="run")
        assert "/hooks/startContainer/0" in said
        assert "permission denied" in said or "could not be opened" in said


def test_a_startcontainer_hook_may_be_a_script(runtime, bundle, shared):
    b = with_shared(bundle("true"), shared)
    (b.rootfs / "bin/hook").write_text(f"#!/bin/sh -u\necho $0 $@ >{shared}/seen; cat >{shared}/state\n")
    (b.rootfs / "bin/hook").chmod(0o755)
    b.config["hooks"] = {"startContainer": [{"path": "/bin/hook", "args": ["zero", "one", "two"]}]}
    name = runtime.new_id()
    b.save()
    runtime("run", "--bundle", str(b.path), name)
    assert (shared / "seen").read_text() == "/bin/hook one two\n"
    assert json.loads((shared / "state").read_text())["id"] == name
