"""Bad input: one clear line, a status that is not 0, and nothing left behind."""

from __future__ import annotations

import json
import os

import pytest

from integration.harness import failures
from integration.harness.leaks import cgroup_directories


def fails(runtime, b, text=None):
    """Try to create B; check that nothing stays, and return standard error."""
    name = runtime.new_id()
    if text is None:
        b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
        b.save()
    else:
        (b.path / "config.json").write_text(text)
    done = runtime("create", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert not done.stdout
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)
    if runtime.name == "pyrunc":
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr
    return done.stderr.replace(str(b.path), "BUNDLE").rstrip("\n")


only = pytest.mark.pyrunc_only("words of our own")


@only
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            "BUNDLE/config.json: invalid JSON at line 1 column 2: Expecting property name enclosed in double quotes"
            " (the document must be JSON (RFC 8259) in UTF-8)",
        ),
        ('{"ociVersion": "1.0.0", "ociVersion": "1.0.0"}', 'config.json: key "ociVersion" stands twice in one object (remove one)'),
        ('{"ociVersion": NaN}', "config.json: invalid JSON: NaN is not JSON (the document must be JSON (RFC 8259) in UTF-8)"),
        ("[]", "expected an object, found an array (write an object there, or remove it)"),
        ("[" * 100000, "config.json: nested too deeply (the document must be JSON (RFC 8259) in UTF-8)"),
        ("{}", "ociVersion is missing (at /ociVersion; the specification requires it)"),
        (
            '{"ociVersion": "2.0.0"}',
            'expected a version from 1.0.0 to 1.3.x, found "2.0.0" (at /ociVersion; this runtime follows 1.3.0)',
        ),
    ],
)
def test_documents(runtime, bundle, text, message):
    found = fails(runtime, bundle(), text)
    assert found == "pyrunc create failed: " + message.replace("BUNDLE/", "")


def edit(config, pointer, value):
    *path, last = pointer.split("/")[1:]
    for step in path:
        config = config[int(step)] if isinstance(config, list) else config[step]
    if value is KeyError:
        del config[last]
    elif isinstance(config, list):
        config[int(last)] = value
    else:
        config[last] = value


@only
@pytest.mark.parametrize(
    ("pointer", "value", "message"),
    [
        ("/process/args", [], "args[0] is missing (at /process/args; name the program to run)"),
        ("/process/args", "sh", 'expected an array, found "sh" (at /process/args; put it in brackets: [ ])'),
        ("/process/args", ["sh", 1], "expected a string, found 1 (at /process/args/1; put it in quotes)"),
        ("/process/user/uid", "root", 'expected an integer, found "root" (at /process/user/uid; write an integer there, or remove it)'),
        (
            "/process/user/uid",
            2**32 - 1,
            "expected an integer from 0 to 4294967294, found 4294967295 (at /process/user/uid; correct it, or remove it)",
        ),
        ("/process/ioPriority", {"class": "a"}, 'expected one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE, found "a" (at /process/ioPriority/class; write one of these)'),
        ("/linux/netDevices", {"eth0": {"name": 23}}, "expected a string, found 23 (at /linux/netDevices/eth0/name; put it in quotes)"),
        ("/linux/resources/hugepageLimits", [{"pageSize": "64kB", "limit": 1}], 'expected a size such as 2MB, found "64kB" (at /linux/resources/hugepageLimits/0/pageSize; write a size such as 2MB there, or remove it)'),
        ("/linux/namespaces/0/path", False, "expected a string, found false (at /linux/namespaces/0/path; put it in quotes)"),
        ("/process/user/uid", 1.0, "expected an integer, found 1.0 (at /process/user/uid; write an integer there, or remove it)"),
        ("/process/user/gid", True, "expected an integer, found true (at /process/user/gid; write an integer there, or remove it)"),
        ("/process/cwd", "tmp", 'expected an absolute path, found "tmp" (at /process/cwd; let it begin with "/", such as "/tmp")'),
        ("/process", KeyError, "process is missing (at /process; say what is to run)"),
        ("/root", KeyError, "root is missing (at /root; say where the root file system is)"),
        (
            "/root/path",
            "nowhere",
            "cannot use the rootfs: stat BUNDLE/nowhere: no such file or directory"
            " (at /root/path; unpack the image there, or correct the path: it is relative to the bundle)",
        ),
        (
            "/linux/namespaces/0/type",
            "foo",
            "expected one of pid, network, mount, ipc, uts, user, cgroup, time, "
            'found "foo" (at /linux/namespaces/0/type; write one of these)',
        ),
        ("/linux/namespaces/0", {"type": "mount"}, "namespace mount is listed twice (at /linux/namespaces/4/type; remove one)"),
        ("/linux/namespaces/3", {"type": "cgroup"}, 'hostname needs a uts namespace (at /hostname; add {"type": "uts"} to /linux/namespaces)'),
        ("/mounts/0/destination", KeyError, "destination is missing (at /mounts/0/destination; the specification requires it)"),
        ("/linux/intelRdt", "x", 'expected an object, found "x" (at /linux/intelRdt; write an object there, or remove it)'),
        ("/process/rlimits/0/soft", 4096, "soft limit 4096 is above hard 1024 (at /process/rlimits/0/soft; lower it, or raise hard)"),
        ("/process/env", ["A"], 'environment entry "A" has no "=" (at /process/env/0; write it as "NAME=value")'),
        ("/linux/cgroupsPath", "/a/../../b", 'cgroupsPath "/a/../../b" leads upwards (at /linux/cgroupsPath; remove "..")'),
    ],
)
def test_values(runtime, bundle, pointer, value, message):
    b = bundle()
    edit(b.config, pointer, value)
    if "cgroupsPath" in pointer:
        assert fails(runtime, b, json.dumps(b.config)) == "pyrunc create failed: " + message
    else:
        assert fails(runtime, b) == "pyrunc create failed: " + message


THREE = (
    'expected an absolute path, found "tmp" (at /process/cwd; let it begin with "/", such as "/tmp")'
    "; 2 more: /mounts/0/destination, /linux/namespaces/0/type"
)


@only
@pytest.mark.parametrize("verb", ["create", "run"])
def test_three_violations(runtime, bundle, verb):
    b = bundle()
    b.process["cwd"] = "tmp"
    del b.config["mounts"][0]["destination"]
    b.linux["namespaces"][0]["type"] = "foo"
    assert failures.fails(runtime, b, verb=verb) == f"pyrunc {verb} failed: {THREE}"
    assert runtime.refuses("plan", str(b.path)) == f"pyrunc plan failed: {THREE}"


@only
def test_three_violations_of_a_process(runtime, bundle, tmp_path):
    name = runtime.start(bundle())
    document = tmp_path / "process.json"
    document.write_text(json.dumps({"cwd": "/", "args": ["true", 1], "env": [None], "rlimits": [{"type": "RLIMIT_AS", "hard": -1}]}))
    said = runtime.refuses("exec", "--process", str(document), name, status=255)
    assert said == "pyrunc exec failed: expected a string, found 1 (at /args/1; put it in quotes); 3 more: /env/0, /rlimits/0/hard, /rlimits/0/soft"
    document.write_text(json.dumps({"cwd": "/", "args": [""], "env": ["A", "B"]}))
    said = runtime.refuses("exec", "--process", str(document), name, status=255)
    assert said == "pyrunc exec failed: args[0] is missing (at /args; name the program to run); 2 more: /env/0, /env/1"
    assert runtime.status(name) == "running"
    runtime.end(name)


@only
def test_an_unreadable_bundle(runtime, tmp_path):
    name = runtime.new_id()
    done = runtime("create", "--bundle", str(tmp_path / "none"), name, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"pyrunc create failed: cannot read the bundle: open {tmp_path}/none/config.json: no such file or directory"
        " (a bundle is a directory with a config.json and a rootfs)\n"
    )


@only
def test_a_command_that_is_not_there(runtime, bundle):
    found = fails(runtime, bundle("no-such"))
    assert found == (
        "pyrunc create failed: unable to start container process: error during container init: "
        'exec: "no-such": executable file not found in $PATH'
        " (at /process/args/0; correct the name or PATH, or put the program into the image)"
    )


def test_commands_that_cannot_run(runtime, bundle):
    assert "executable file not found in $PATH" in fails(runtime, bundle("no-such"))
    assert "no such file or directory" in fails(runtime, bundle("/no/such"))
    assert "permission denied" in fails(runtime, bundle("/etc/passwd"))


@only
@pytest.mark.parametrize(
    ("first", "hint"),
    [
        ("#!/bin/nosuch\n", 'its interpreter "/bin/nosuch" could not be opened'),
        ("#!/bin/sh\r\n", "its first line ends in CR LF (at /process/args/0; save it with Unix line ends"),
        ("#!\n", "exec format error: nothing follows #!"),
    ],
)
def test_scripts_that_cannot_run(runtime, bundle, first, hint):
    b = bundle("/script")
    (b.rootfs / "script").write_text(first)
    (b.rootfs / "script").chmod(0o755)
    assert hint in fails(runtime, b)


@only
def test_a_mount_that_the_kernel_refuses(runtime, bundle):
    b = bundle("true")
    b.mount("/data", "tmpfs", "tmpfs", "size=nonsense")
    found = fails(runtime, b)
    assert found.startswith(
        "pyrunc create failed: unable to start container process: error during container init: "
        'error mounting "tmpfs" to rootfs at "/data": fsconfig(fs7, FSCONFIG_SET_STRING, "size", "nonsense", 0): '
        "invalid argument: "
    )
    assert "(at /mounts/7/options/0; correct the value of size, or remove it)" in found


@only
@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-x\n", "x" * 1025, "ä"])
def test_ids(runtime, bundle, name):
    done = runtime("create", "--bundle", str(bundle().path), "--", name, check=False)
    assert done.returncode == 1
    assert "invalid container ID format" in done.stderr
    assert not [entry for entry in os.listdir(runtime.root) if not entry.startswith(".")]


def test_json_log(runtime, bundle, tmp_path):
    log = tmp_path / "log"
    b = bundle("no-such")
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    runtime("--log", str(log), "--log-format", "json", "create", "--bundle", str(b.path), name, check=False)
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["level"] == "error"
    assert "executable file not found in $PATH" in last["msg"]
    assert last["time"][10] == "T"


def test_text_log(runtime, tmp_path):
    log = tmp_path / "log"
    runtime("--log", str(log), "state", "none", check=False)
    assert "level=error" in log.read_text()
    assert "container does not exist" in log.read_text()


def test_start_names_the_step_that_failed_whatever_create_was_asked(runtime, bundle):
    """`start` makes the plan again, and does not know the options of `create`."""
    if runtime.name != "pyrunc":
        pytest.skip("the words are ours")
    b = bundle("true")
    b.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    name = runtime.create(b, "--no-new-keyring", "--no-pivot")
    said = runtime.refuses("start", name)
    assert "error running startContainer hook #0: /bin/false: exit status 1" in said
    assert "(at /hooks/startContainer/0" in said
