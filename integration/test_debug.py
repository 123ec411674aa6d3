"""--debug says what is found, what is chosen and what is done, each op with its time; without it there is no such line."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

OP = re.compile(r"(host|child) +\d+\.\d{3} ms +\d+\.\d{3} ms  (.*)")


def messages(text):
    """Return the debug messages in lines of a JSON log, or of runc's text."""
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    found = [row["msg"] for row in rows if row["level"] == "debug"]
    found += [json.loads(part) for part in re.findall(r'level=debug msg=("(?:[^"\\]|\\.)*")', text)]
    return found


def ops(text, side):
    return [match[2] for message in messages(text) if (match := OP.fullmatch(message)) and match[1] == side]


@pytest.mark.parametrize("kind", ["text", "json", None])
def test_lines_come_where_they_are_asked_for(runtime, bundle, tmp_path, kind):
    b = bundle("echo", "ran")
    name = runtime.prepare(b)
    log = ["--log", str(tmp_path / "log"), "--log-format", kind] if kind else []
    done = runtime("--debug", *log, "run", "--bundle", str(b.path), name)
    assert done.stdout == "ran\n"
    found = done.stderr
    if kind:
        assert found == ""
        found = (tmp_path / "log").read_text()
    mark = '"level":"debug"' if kind == "json" else "level=debug"
    assert mark in found.replace('": "', '":"')
    assert len(messages(found)) > 3


def test_without_it_there_are_none(runtime, bundle, tmp_path):
    b = bundle("echo", "ran")
    name = runtime.prepare(b)
    done = runtime("--log", str(tmp_path / "log"), "run", "--bundle", str(b.path), name)
    assert done.stderr == ""
    assert "debug" not in (tmp_path / "log").read_text()


@pytest.mark.pyrunc_only("has no plan")
def test_each_op_of_the_plan_is_said_once_and_in_order(runtime, bundle, tmp_path):
    """But what comes when the filter is near, and in the new process the barriers."""
    b = bundle("true")
    b.process["env"].append("SECRET=of-mine")
    name = runtime.prepare(b)
    plan = json.loads(runtime("plan", "--json", str(b.path)).stdout)
    runtime("--debug", "--log", str(tmp_path / "log"), "run", "--bundle", str(b.path), name)
    text = (tmp_path / "log").read_text()
    host = [op.removeprefix("-- ").partition("(")[0].split(" ")[0] for op in ops(text, "host")]
    assert host == [op["call"] for op in plan["host"]]
    last = [op["call"] for op in plan["child"]].index("announce_exec")
    child = [op["call"] for op in plan["child"][:last] if op["call"] not in ("barrier", "wait_for_start", "respawn")]
    assert [op.partition("(")[0] for op in ops(text, "child")] == child
    assert "of-mine" not in text
    assert any("(chose /bin/true; at /process/args/0)" in op for op in ops(text, "child"))
    assert any("at /mounts/0" in op for op in ops(text, "child"))


@pytest.mark.pyrunc_only("says other things")
def test_what_is_found_and_chosen(runtime, bundle, tmp_path):
    b = bundle()
    name = runtime.prepare(b)
    log = ("--debug", "--log", str(tmp_path / "log"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runtime(*log, "create", "--bundle", str(b.path), name, **quiet)
    text = "\n".join(messages((tmp_path / "log").read_text()))
    assert "found Linux " in text
    assert f"chose bundle {b.path}, rootfs {b.rootfs}; namespaces: pid, " in text
    assert f"/{name}-parent/{name}" in text
    (tmp_path / "log").unlink()
    runtime(*log, "start", name)
    assert f"found container {name}: created, init {runtime.pid(name)}" in (tmp_path / "log").read_text()
    runtime(*log, "exec", name, "true")
    assert any("setns" in op for op in ops((tmp_path / "log").read_text(), "child") + ops((tmp_path / "log").read_text(), "host"))
    runtime(*log, "kill", name, "KILL")
    runtime.wait(name, "stopped")
    runtime(*log, "delete", name)
    assert f"found container {name}: stopped" in (tmp_path / "log").read_text()


@pytest.mark.pyrunc_only("says other things")
def test_what_failed_is_the_last_op(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "tmpfs", "tmpfs", "size=nonsense")
    name = runtime.prepare(b)
    done = runtime("--debug", "run", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert 'level=error msg="pyrunc run failed: ' in done.stderr
    assert ops(done.stderr, "child")[-1].startswith("fsconfig(fs7")


@pytest.mark.pyrunc_only("says other things")
def test_a_full_log_does_not_stop_it(runtime, bundle):
    b = bundle("echo", "ran")
    name = runtime.prepare(b)
    done = runtime("--debug", "--log", "/dev/full", "run", "--bundle", str(b.path), name)
    assert done.stdout == "ran\n"
    assert done.stderr.splitlines() == ["pyrunc run: warning: the log cannot be written: no space left on device"]


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_what_scripts_wait_for_in_the_log_of_runc(runtime, bundle, verb):
    """The same words at the same moments, in this order."""
    b = bundle("sleep", "100") if verb == "exec" else bundle("true")
    rules = [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": rules}
    wanted = ["nsexec container setup", "child process in init()"]
    if verb == "exec":
        b.process["execCPUAffinity"] = {"initial": "0"}
        name = runtime.start(b)
        text = runtime("--debug", "exec", name, "true").stderr
        wanted.append("setns_init: about to exec")
        assert any("nsexec" in line and "affinity: 0x1" in line for line in messages(text))
    else:
        name = runtime.prepare(b)
        text = runtime("--debug", "run", "--bundle", str(b.path), name).stderr
        wanted.append("init: closing the pipe to signal completion")
    said = messages(text)
    places = [next(index for index, line in enumerate(said) if words in line) for words in wanted]
    assert places == sorted(places)
    assert "seccomp filter flags: 2" in said
